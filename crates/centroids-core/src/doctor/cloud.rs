//! The members of one or two classes as points: what merging and splitting look at.
//!
//! Points are embeddings as the metric prepares them, compared by squared Euclidean distance, and
//! their mean is plain: the geometry of k-means.

use crate::distance::{Distance, length};
use crate::embeddings::Embeddings;
use crate::protocol::Metric;

/// Points of some rows.
pub(super) struct Cloud {
    dim: usize,
    /// `[n, dim]`
    values: Vec<f64>,
}

/// Some of the points of a cloud.
pub(super) struct Part {
    pub(super) members: Vec<usize>,
    /// `[dim]`
    pub(super) mean: Vec<f64>,
    /// Mean squared distance of the points to the mean of all of them, unbiased; 0 of one point.
    variance: f64,
}

impl Cloud {
    pub(super) fn new(set: &Embeddings, metric: &Metric, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&row| metric.prepared(set.row(row))).collect();
        Self { dim: set.dim(), values }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    pub(super) fn point(&self, i: usize) -> &[f64] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// There must be at least one member.
    pub(super) fn part(&self, members: Vec<usize>) -> Part {
        let mut mean = vec![0.0; self.dim];
        for &i in &members {
            mean.iter_mut().zip(self.point(i)).for_each(|(mean, value)| *mean += value);
        }
        mean.iter_mut().for_each(|value| *value /= members.len() as f64);
        let total: f64 = members.iter().map(|&i| squared(self.point(i), &mean)).sum();
        let variance = total / (members.len() - 1).max(1) as f64;
        Part { members, mean, variance }
    }

    /// Share of the members of `own` that are nearer to `other` than to the mean of the rest of `own`;
    /// equally near ones count half. Both must have two members or more.
    ///
    /// A mean of `n` points is farther from everything by `variance/n` on average, which would favour
    /// the larger part; both distances are freed of it.
    pub(super) fn overlap(&self, own: &Part, other: &Part) -> f64 {
        let n = own.members.len() as f64;
        let misplaced = |&i: &usize| {
            // The mean of the others is farther from a point than that of all by n/(n − 1).
            let to_rest = squared(self.point(i), &own.mean) * (n / (n - 1.0)).powi(2);
            let to_rest = to_rest - own.variance / (n - 1.0);
            let to_other =
                squared(self.point(i), &other.mean) - other.variance / other.members.len() as f64;
            let difference = to_other - to_rest;
            if difference.abs() <= RESOLUTION * squared_length(self.point(i)) {
                0.5
            } else {
                f64::from(u8::from(difference < 0.0))
            }
        };
        own.members.iter().map(misplaced).sum::<f64>() / n
    }

    /// Share of the variance along the line between two parts that lies between them, each point
    /// judged without itself; both must have two members or more.
    ///
    /// With `a` and `b` the squared distances of a point to the mean of the rest of its part and to that
    /// of the other, and `d` that between those means, `r = (b − a)/d` is its place on the line: 0
    /// half-way, 1 beside its own mean. The share is `1 / (1 + mean((r − 1)²))`.
    pub(super) fn explained(&self, parts: &[Part; 2]) -> f64 {
        let [left, right] = parts;
        let places = self.places(left, right).chain(self.places(right, left));
        let within: f64 = places.map(|place| (place - 1.0).powi(2)).sum();
        let n = left.members.len() + right.members.len();
        1.0 / (1.0 + within / n as f64)
    }

    /// Where the members of `own` lie on the line: see [`explained`](Self::explained).
    fn places<'a>(&'a self, own: &'a Part, other: &'a Part) -> impl Iterator<Item = f64> + 'a {
        let n = own.members.len() as f64;
        own.members.iter().map(move |&i| {
            let point = self.point(i);
            let rest: Vec<f64> =
                own.mean.iter().zip(point).map(|(mean, x)| (n * mean - x) / (n - 1.0)).collect();
            let [a, b] = [squared(point, &rest), squared(point, &other.mean)];
            let apart = squared(&rest, &other.mean);
            if apart > 0.0 { (b - a) / apart } else { 0.0 }
        })
    }
}

/// Differences of distances below this share of the squared length are rounding.
pub(super) const RESOLUTION: f64 = 1e-12;

pub(super) fn squared_length(vector: &[f64]) -> f64 {
    length(vector).powi(2)
}

pub(super) fn squared(a: &[f64], b: &[f64]) -> f64 {
    Distance::SquaredEuclidean.between_prepared(a, b)
}
