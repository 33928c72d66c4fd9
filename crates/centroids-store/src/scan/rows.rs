//! Rows with their identities: kept up to date, and searched.

use std::collections::HashMap;

use centroids_core::{Distance, Metric, Pid};
use rayon::prelude::*;

use super::dot::PANEL_ROWS;
use super::matrix::Matrix;
use super::nearest::Nearest;
use crate::member::MemberId;
use crate::precision::Precision;

/// Queries whose scores are made together: what stays in a core's cache beside a panel.
const QUERY_BLOCK: usize = 128;

/// What a row is: an identity's centroid, or one of its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowId {
    pub(crate) pid: Pid,
    /// Which of an identity's sub-centroids, from 1; 0 is the centroid of all its images.
    pub(crate) sub: i64,
    pub(crate) member: Option<MemberId>,
}

impl RowId {
    /// A centroid.
    pub(crate) fn centroid(pid: Pid, sub: i64) -> Self {
        Self { pid, sub, member: None }
    }

    /// An image.
    pub(crate) fn image(pid: Pid, member: MemberId) -> Self {
        Self { pid, sub: 0, member: Some(member) }
    }
}

/// Vectors that are searched.
pub(crate) struct Rows {
    dim: usize,
    metric: Metric,
    precision: Precision,
    matrix: Matrix,
    ids: Vec<RowId>,
    /// The camera of an image; `None` for centroids and unknown cameras.
    cameras: Vec<Option<u32>>,
    /// Lengths of the rows as they are compared: 1 where the metric normalises.
    lengths: Vec<f32>,
    longest: f32,
    /// Whether all lengths are 1, so that the dot product is the score.
    uniform: bool,
    place: HashMap<RowId, usize>,
}

/// A row to be.
pub(crate) struct NewRow<'a> {
    pub(crate) id: RowId,
    pub(crate) camera: Option<u32>,
    /// Of length 1, or 0; `[dim]`.
    pub(crate) direction: &'a [f32],
    /// Of the vector before it was made a direction.
    pub(crate) norm: f64,
}

impl Rows {
    pub(crate) fn new(dim: usize, metric: Metric, precision: Precision) -> Self {
        Self {
            dim,
            metric,
            precision,
            matrix: Matrix::new(dim, precision),
            ids: Vec::new(),
            cameras: Vec::new(),
            lengths: Vec::new(),
            longest: 0.0,
            uniform: true,
            place: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    #[cfg(feature = "usearch")]
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// A row as it is compared, `[dim]`.
    pub(crate) fn vector(&self, row: usize) -> Vec<f32> {
        let mut vector = self.matrix.row(row, self.dim);
        vector.iter_mut().for_each(|value| *value *= self.lengths[row]);
        vector
    }

    /// Where a row is.
    pub(crate) fn place(&self, id: RowId) -> Option<usize> {
        self.place.get(&id).copied()
    }

    pub(crate) fn ids(&self) -> &[RowId] {
        &self.ids
    }

    pub(crate) fn cameras(&self) -> &[Option<u32>] {
        &self.cameras
    }

    pub(crate) fn reserve(&mut self, rows: usize) {
        self.matrix.reserve(rows);
        self.place.reserve(rows);
    }

    /// Puts a row in, in the place of one that is the same thing.
    pub(crate) fn put(&mut self, row: &NewRow<'_>) {
        self.remove(row.id);
        let length = compared_length(&self.metric, row.norm);
        self.place.insert(row.id, self.ids.len());
        self.ids.push(row.id);
        self.cameras.push(row.camera);
        self.lengths.push(length);
        self.longest = self.longest.max(length);
        self.uniform &= length == 1.0;
        self.matrix.push(row.direction);
    }

    /// Takes a row out, if it is there.
    pub(crate) fn remove(&mut self, id: RowId) {
        let Some(row) = self.place.remove(&id) else {
            return;
        };
        self.matrix.swap_remove(row);
        self.ids.swap_remove(row);
        self.cameras.swap_remove(row);
        self.lengths.swap_remove(row);
        if let Some(moved) = self.ids.get(row) {
            self.place.insert(*moved, row);
        }
    }

    /// For each query the rows that can belong to its `k` nearest, by rows or, with `by_pid`, by
    /// identities. `skip` leaves rows out.
    pub(crate) fn candidates(
        &self,
        queries: &[Vec<f64>],
        k: usize,
        by_pid: bool,
        skip: &(impl Fn(usize) -> bool + Sync),
    ) -> Vec<Vec<RowId>> {
        let group = |row: usize| if by_pid { self.ids[row].pid.0 } else { row as i64 };
        let mut found = Vec::with_capacity(queries.len());
        for block in queries.chunks(QUERY_BLOCK) {
            let stride = self.matrix.stride();
            let mut padded = vec![0.0_f32; block.len() * stride];
            for (row, query) in padded.chunks_mut(stride).zip(block) {
                row.iter_mut().zip(query).for_each(|(to, from)| *to = *from as f32);
            }
            let none = || -> Vec<Nearest> {
                block.iter().map(|query| Nearest::new(k, self.error(query))).collect()
            };
            let panels = self.len().div_ceil(PANEL_ROWS);
            let scan = |(mut nearest, mut scores): (Vec<Nearest>, Vec<f32>), panel: usize| {
                self.scan(panel, &padded, &mut scores, &mut nearest, (skip, &group));
                (nearest, scores)
            };
            let merged = (0..panels)
                .into_par_iter()
                .with_min_len(8)
                .fold(|| (none(), vec![0.0; block.len() * PANEL_ROWS]), scan)
                .map(|(nearest, _)| nearest)
                .reduce(none, |a, b| a.into_iter().zip(b).map(|(a, b)| a.merge(b)).collect());
            let rows = merged.into_iter().map(|nearest| nearest.finish(group));
            found.extend(rows.map(|rows| rows.into_iter().map(|row| self.ids[row]).collect()));
        }
        found
    }

    /// One panel of rows for a block of queries.
    fn scan(
        &self,
        panel: usize,
        queries: &[f32],
        scores: &mut [f32],
        nearest: &mut [Nearest],
        (skip, group): (&impl Fn(usize) -> bool, &impl Fn(usize) -> i64),
    ) {
        let first = panel * PANEL_ROWS;
        let rows = PANEL_ROWS.min(self.len() - first);
        if (first..first + rows).all(skip) {
            return;
        }
        self.matrix.scores(first, rows, queries, scores);
        for (scores, nearest) in scores.chunks_mut(PANEL_ROWS).zip(nearest) {
            let scores = &mut scores[..rows];
            if !self.uniform {
                for (score, &length) in scores.iter_mut().zip(&self.lengths[first..]) {
                    *score = self.scored(*score, length);
                }
            }
            for (row, &score) in (first..).zip(scores.iter()) {
                if nearest.wants(score) && !skip(row) {
                    nearest.offer(score, row, group);
                }
            }
        }
    }

    /// What orders rows as the distance to `length × direction` does: a larger score is nearer.
    fn scored(&self, dot: f32, length: f32) -> f32 {
        match self.metric.distance {
            Distance::Cosine => dot * length,
            Distance::SquaredEuclidean => length * (dot - 0.5 * length),
        }
    }

    /// How far a score can be from the exact one: the rounding of rows and queries, of the sums in
    /// eight lanes, and of what is made of them.
    fn error(&self, query: &[f64]) -> f32 {
        const UNIT: f64 = f32::EPSILON as f64 / 2.0;
        let stride = self.matrix.stride() as f64;
        let (unit, least) = match self.precision {
            Precision::F32 => (0.0, 0.0),
            // Half a unit in the last place, and half the smallest number.
            Precision::F16 => (2.0_f64.powi(-11), 2.0_f64.powi(-25) * stride.sqrt()),
        };
        let length = query.iter().map(|value| value * value).sum::<f64>().sqrt();
        let longest = f64::from(self.longest);
        let dot = longest * length * ((stride / 8.0 + 16.0) * UNIT + unit + least);
        let made = if self.uniform { 0.0 } else { 8.0 * UNIT * longest * (length + longest) };
        (dot + made) as f32
    }
}

/// The length of a vector of this norm when it is compared.
fn compared_length(metric: &Metric, norm: f64) -> f32 {
    if metric.normalize || metric.distance == Distance::Cosine {
        let mut length = [norm];
        metric.prepare(&mut length);
        // Of anything but the shortest vectors it is 1.
        length[0] as f32
    } else {
        norm as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(metric: Metric, precision: Precision, vectors: &[[f64; 2]]) -> Rows {
        let mut rows = Rows::new(2, metric, precision);
        for (pid, vector) in vectors.iter().enumerate() {
            let norm = vector[0].hypot(vector[1]);
            let direction = vector.map(|value| (value / norm) as f32);
            let id = RowId::centroid(Pid(pid as i64), 0);
            rows.put(&NewRow { id, camera: None, direction: &direction, norm });
        }
        rows
    }

    fn nearest(rows: &Rows, query: [f64; 2], skip: usize) -> Vec<i64> {
        let found = rows.candidates(&[query.to_vec()], 1, false, &|row| row == skip);
        found[0].iter().map(|id| id.pid.0).collect()
    }

    #[test]
    fn lengths_count_where_the_metric_does_not_normalise() {
        let vectors = [[10.0, 10.0], [1.0, 0.5], [0.0, 3.0]];
        let raw = Metric { normalize: false, ..Metric::default() };
        for precision in [Precision::F32, Precision::F16] {
            let unit = rows(Metric::default(), precision, &vectors);
            assert_eq!(nearest(&unit, [0.9, 0.436], 9), [1]);
            let diagonal = [0.5_f64.sqrt(); 2];
            assert_eq!(nearest(&unit, diagonal, 9), [0]);
            assert_eq!(nearest(&unit, diagonal, 0), [1]);
            let raw = rows(raw, precision, &vectors);
            assert_eq!(nearest(&raw, [2.0, 2.0], 9), [1]);
        }
    }

    #[test]
    fn rows_come_and_go() {
        let mut rows =
            rows(Metric::default(), Precision::F32, &[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
        let id = |pid| RowId::centroid(Pid(pid), 0);
        rows.remove(id(0));
        rows.remove(id(7));
        assert_eq!((rows.len(), nearest(&rows, [1.0, 0.0], 9)), (2, vec![2]));
        rows.put(&NewRow { id: id(1), camera: None, direction: &[1.0, 0.0], norm: 5.0 });
        assert_eq!((rows.len(), nearest(&rows, [1.0, 0.0], 9)), (2, vec![1]));
    }
}
