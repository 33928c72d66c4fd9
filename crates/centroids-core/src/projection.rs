//! Vectors on a plane, for people to look at.

use crate::distance::{dot, length};
use crate::embeddings::Embeddings;

/// Rounds of the power iteration; it ends earlier where the direction stands still.
const ROUNDS: usize = 300;

/// Vectors in the plane in which they spread most.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// `[n]`: each row's place on the first and second principal axis.
    pub points: Vec<[f64; 2]>,
    /// Share of the vectors' variance along each axis.
    pub explained: [f64; 2],
}

/// Principal component analysis to two dimensions, by power iteration on the centred vectors; no
/// matrix of `d × d` is made. Deterministic: it starts from the row farthest from the mean, and the
/// largest component of each axis is positive. Where rows do not spread, points are zero.
pub fn principal_plane(set: &Embeddings) -> Projection {
    let (n, d) = (set.len(), set.dim());
    let mut mean = vec![0.0; d];
    for row in 0..n {
        mean.iter_mut().zip(set.row(row)).for_each(|(mean, &x)| *mean += f64::from(x) / n as f64);
    }
    let centred = |row: usize| -> Vec<f64> {
        set.row(row).iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean).collect()
    };
    let mut rows: Vec<Vec<f64>> = (0..n).map(centred).collect(); // [n, d]
    let total: f64 = rows.iter().map(|row| dot(row, row)).sum();
    let mut projection = Projection { points: vec![[0.0; 2]; n], explained: [0.0; 2] };
    for axis in 0..2 {
        let Some(direction) = principal_axis(&rows) else { break };
        let mut along = 0.0;
        for (row, point) in rows.iter_mut().zip(&mut projection.points) {
            let place = dot(row, &direction);
            row.iter_mut().zip(&direction).for_each(|(x, direction)| *x -= place * direction);
            point[axis] = place;
            along += place * place;
        }
        projection.explained[axis] = along / total;
    }
    projection
}

/// The unit vector along which centred rows spread most, `[d]`; `None` if they do not.
fn principal_axis(rows: &[Vec<f64>]) -> Option<Vec<f64>> {
    let first = rows.iter().max_by(|a, b| length(a).total_cmp(&length(b)))?;
    let mut axis = unit(first.clone())?;
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; axis.len()];
        for row in rows {
            let place = dot(row, &axis);
            next.iter_mut().zip(row).for_each(|(next, x)| *next += place * x);
        }
        let next = unit(next)?;
        let moved = 1.0 - dot(&next, &axis);
        axis = next;
        if moved < 1e-13 {
            break;
        }
    }
    let largest = axis.iter().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    let sign = largest.signum();
    Some(axis.into_iter().map(|x| sign * x).collect())
}

fn unit(mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let length = length(&vector);
    vector.iter_mut().for_each(|x| *x /= length);
    (length > 1e-12).then_some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    fn set(dim: usize, values: Vec<f32>) -> Embeddings {
        let n = values.len() / dim;
        let paths = vec![String::new(); n];
        Embeddings::new(dim, values, vec![Pid(1); n], vec![None; n], paths).unwrap()
    }

    #[test]
    fn the_plane_holds_what_spreads_most() {
        // Spread 4 along the second dimension, 1 along the third, 0.01 along the first.
        let rows = [[5.0, 4.0, 0.0], [5.0, -4.0, 0.0], [5.01, 0.0, 1.0], [4.99, 0.0, -1.0]];
        let found = principal_plane(&set(3, rows.concat()));
        for (point, row) in found.points.iter().zip(&rows) {
            let near = |a: f64, b: f32| (a - f64::from(b)).abs() < 0.02;
            assert!(near(point[0], row[1]) && near(point[1], row[2]), "{point:?} of {row:?}");
        }
        assert!((found.explained[0] - 32.0 / 34.0).abs() < 1e-4, "{:?}", found.explained);
        assert!((found.explained[1] - 2.0 / 34.0).abs() < 1e-4);
    }

    #[test]
    fn equal_rows_do_not_spread() {
        let found = principal_plane(&set(2, vec![3.0, 1.0, 3.0, 1.0]));
        assert_eq!(found, Projection { points: vec![[0.0; 2]; 2], explained: [0.0; 2] });
    }
}
