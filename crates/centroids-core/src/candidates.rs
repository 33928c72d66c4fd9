//! The units that queries are compared with, and the distances to them.

use std::ops::Range;

use rayon::prelude::*;

use crate::centroid::{CentroidOf, mean_of, rows_by_pid};
use crate::embeddings::Embeddings;
use crate::ids::Pid;
use crate::protocol::Metric;

/// Queries whose distances are computed together: enough that making a candidate's vector costs
/// little per query, few enough that 2048-dimensional queries stay in the processor's cache.
const QUERY_BLOCK: usize = 32;

/// What is ranked: each candidate is the mean of some gallery rows of one pid. An image is the mean
/// of itself. Their vectors are made when needed, so no second copy of the gallery is held.
pub(crate) struct Candidates<'a> {
    gallery: &'a Embeddings,
    metric: &'a Metric,
    of: CentroidOf,
    /// Whether each candidate is an image.
    by_row: bool,
    pids: Vec<Pid>,
    /// Rows of all candidates, one after the other; candidate `i` ends at `ends[i]`.
    rows: Vec<usize>,
    ends: Vec<usize>,
}

impl<'a> Candidates<'a> {
    /// No candidates yet.
    pub(crate) fn new(gallery: &'a Embeddings, metric: &'a Metric) -> Self {
        let (pids, rows, ends) = (Vec::new(), Vec::new(), Vec::new());
        Self { gallery, metric, of: metric.centroid_of, by_row: false, pids, rows, ends }
    }

    /// Each kept image that is not junk.
    pub(crate) fn images(
        gallery: &'a Embeddings,
        metric: &'a Metric,
        keep: impl Fn(usize) -> bool,
    ) -> Self {
        let mut images = Self { of: CentroidOf::Raw, by_row: true, ..Self::new(gallery, metric) };
        for (row, &pid) in gallery.pids().iter().enumerate() {
            if pid != Pid::JUNK && keep(row) {
                images.push(pid, &[row]);
            }
        }
        images
    }

    /// Each image that is not junk, the images of each pid side by side; ascending by pid and row.
    pub(crate) fn images_by_pid(gallery: &'a Embeddings, metric: &'a Metric) -> Self {
        let mut images = Self { of: CentroidOf::Raw, by_row: true, ..Self::new(gallery, metric) };
        for (pid, rows) in rows_by_pid(gallery.pids()) {
            rows.iter().for_each(|&row| images.push(pid, &[row]));
        }
        images
    }

    /// The mean of each pid's kept images, junk left out; ascending by pid.
    pub(crate) fn means(
        gallery: &'a Embeddings,
        metric: &'a Metric,
        keep: impl Fn(usize) -> bool,
    ) -> Self {
        let mut means = Self::new(gallery, metric);
        for (pid, mut rows) in rows_by_pid(gallery.pids()) {
            rows.retain(|&row| keep(row));
            means.push(pid, &rows);
        }
        means
    }

    /// Adds the mean of `rows`; without rows there is no candidate.
    pub(crate) fn push(&mut self, pid: Pid, rows: &[usize]) {
        if !rows.is_empty() {
            self.pids.push(pid);
            self.rows.extend_from_slice(rows);
            self.ends.push(self.rows.len());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pids.len()
    }

    pub(crate) fn pids(&self) -> &[Pid] {
        &self.pids
    }

    /// What decides between candidates at equal distances: the row of an image, else the number.
    pub(crate) fn place(&self, candidate: usize) -> usize {
        if self.by_row { self.rows(candidate)[0] } else { candidate }
    }

    /// The candidates of one pid, which lie side by side unless they are images in row order.
    pub(crate) fn of_pid(&self, pid: Pid) -> Range<usize> {
        let start = self.pids.partition_point(|other| *other < pid);
        start..start + self.pids[start..].partition_point(|other| *other == pid)
    }

    /// The candidates of every pid, side by side as in [`of_pid`](Self::of_pid).
    pub(crate) fn classes(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        let class = |of_pid: &[Pid]| {
            start += of_pid.len();
            start - of_pid.len()..start
        };
        self.pids.chunk_by(|a, b| a == b).map(class).collect()
    }

    /// Gallery rows of a candidate, ascending.
    pub(crate) fn rows(&self, candidate: usize) -> &[usize] {
        let start = if candidate == 0 { 0 } else { self.ends[candidate - 1] };
        &self.rows[start..self.ends[candidate]]
    }

    /// Hands `see` the number of each query and its distances to every candidate, which it may
    /// change. On all threads; results in the queries' order.
    pub(crate) fn each_query<R: Send>(
        &self,
        query: &Embeddings,
        queries: &[usize],
        see: impl Fn(usize, &mut [f64]) -> R + Sync,
    ) -> Vec<R> {
        if queries.len() < rayon::current_num_threads() {
            // Too few for a query per thread: all threads go through the candidates of each.
            let one =
                |&i: &usize| see(i, &mut self.distances_to(&self.metric.prepared(query.row(i))));
            return queries.iter().map(one).collect();
        }
        let see_block = |block: &[usize]| -> Vec<R> {
            let distances = self.distances(query, block);
            block.iter().zip(distances).map(|(&i, mut row)| see(i, &mut row)).collect()
        };
        queries.par_chunks(QUERY_BLOCK).flat_map_iter(see_block).collect()
    }

    /// Distances of several queries to every candidate: `[queries.len()][self.len()]`.
    fn distances(&self, query: &Embeddings, queries: &[usize]) -> Vec<Vec<f64>> {
        let vectors: Vec<_> = queries.iter().map(|&i| self.metric.prepared(query.row(i))).collect();
        let mut distances = vec![Vec::with_capacity(self.len()); queries.len()];
        let mut scratch = vec![0.0; self.gallery.dim()];
        for candidate in 0..self.len() {
            self.write_vector(self.rows(candidate), &mut scratch);
            for (vector, distances) in vectors.iter().zip(&mut distances) {
                distances.push(self.metric.distance.between_prepared(vector, &scratch));
            }
        }
        distances
    }

    /// Distances of one prepared query to every candidate, computed by all threads: `[self.len()]`.
    fn distances_to(&self, vector: &[f64]) -> Vec<f64> {
        let scratch = || vec![0.0; self.gallery.dim()];
        (0..self.len())
            .into_par_iter()
            .map_init(scratch, |scratch, candidate| {
                self.write_vector(self.rows(candidate), scratch);
                self.metric.distance.between_prepared(vector, scratch)
            })
            .collect()
    }

    pub(crate) fn metric(&self) -> &Metric {
        self.metric
    }

    /// Exact distance of one prepared query to a candidate.
    pub(crate) fn distance(&self, vector: &[f64], candidate: usize) -> f64 {
        self.distance_to_mean(vector, self.rows(candidate))
    }

    /// Distance of one prepared query to the mean of any gallery rows; there must be one at least.
    pub(crate) fn distance_to_mean(&self, vector: &[f64], rows: &[usize]) -> f64 {
        let mut scratch = vec![0.0; self.gallery.dim()];
        self.write_vector(rows, &mut scratch);
        self.metric.distance.between_prepared(vector, &scratch)
    }

    /// Writes the mean of these rows, ready to be compared, into `vector`, `[dim]`.
    pub(crate) fn write_vector(&self, rows: &[usize], vector: &mut [f64]) {
        mean_of(self.gallery, rows, self.of, vector);
        self.metric.prepare(vector);
    }
}
