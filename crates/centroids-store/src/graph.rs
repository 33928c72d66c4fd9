//! Approximate search: a graph over the rows (HNSW, by `usearch`), with its recall.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use centroids_core::Distance;
use rayon::prelude::*;
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use crate::approximation::Approximation;
use crate::error::Error;
use crate::scan::{RowId, Rows};

/// Neighbours of a vector in the graph, how many are looked at when it is put in, and how many when
/// one is searched for.
const CONNECTIVITY: usize = 32;
const EXPANSION_ADD: usize = 128;
const EXPANSION_SEARCH: usize = 128;

/// Vectors whose neighbours are compared with the exact ones, and how many.
const SAMPLE: usize = 100;
const NEIGHBOURS: usize = 10;

/// The share of rows, one in so many, after whose change the graph is made anew.
const AGEING: usize = 4;

/// Candidates for one hit, so that 16 bits and the graph's errors near the last hit cost no recall.
const FETCH: usize = 2;

/// Vectors in 16 bits, linked with their neighbours.
pub(crate) struct Graph {
    index: Index,
    /// What a key of the graph is; keys are not used twice.
    ids: Vec<RowId>,
    keys: HashMap<RowId, u64>,
    changes: usize,
    report: Approximation,
}

impl Graph {
    /// Links all rows, on all threads, and measures the recall.
    ///
    /// # Errors
    /// [`Error::Approximate`].
    pub(crate) fn build(rows: &Rows) -> Result<Self, Error> {
        let start = Instant::now();
        let options = IndexOptions {
            dimensions: rows.dim(),
            metric: MetricKind::L2sq,
            quantization: ScalarKind::F16,
            connectivity: CONNECTIVITY,
            expansion_add: EXPANSION_ADD,
            expansion_search: EXPANSION_SEARCH,
            multi: false,
        };
        let index = Index::new(&options).map_err(failed)?;
        let threads = rayon::current_num_threads();
        index.reserve_capacity_and_threads(rows.len(), threads).map_err(failed)?;
        let add = |row| index.add(row as u64, &rows.vector(row));
        (0..rows.len()).into_par_iter().try_for_each(add).map_err(failed)?;
        let ids = rows.ids().to_vec();
        let keys = ids.iter().copied().zip(0..).collect();
        let report = Approximation {
            rows: rows.len(),
            recall: 1.0,
            neighbours: NEIGHBOURS,
            sample: 0,
            seconds: start.elapsed().as_secs_f64(),
        };
        let mut graph = Self { index, ids, keys, changes: 0, report };
        (graph.report.recall, graph.report.sample) = graph.measure(rows)?;
        Ok(graph)
    }

    /// How good it is.
    pub(crate) fn report(&self) -> &Approximation {
        &self.report
    }

    /// Whether so much has changed that it should be made anew.
    pub(crate) fn is_old(&self) -> bool {
        self.changes > self.report.rows / AGEING + SAMPLE
    }

    /// Whether a search for so many hits is worth it: far fewer than there are rows.
    pub(crate) fn suits(k: usize, rows: &Rows) -> bool {
        k.saturating_mul(4 * FETCH) < rows.len()
    }

    /// Puts a row in, in the place of one that is the same thing.
    ///
    /// # Errors
    /// [`Error::Approximate`].
    pub(crate) fn put(&mut self, id: RowId, vector: &[f32]) -> Result<(), Error> {
        self.remove(id)?;
        if self.index.size() == self.index.capacity() {
            let capacity = self.index.size() + self.index.size() / 2 + SAMPLE;
            let threads = rayon::current_num_threads();
            self.index.reserve_capacity_and_threads(capacity, threads).map_err(failed)?;
        }
        let key = self.ids.len() as u64;
        self.index.add(key, vector).map_err(failed)?;
        self.changes += 1;
        self.ids.push(id);
        self.keys.insert(id, key);
        Ok(())
    }

    /// Takes a row out, if it is there.
    ///
    /// # Errors
    /// [`Error::Approximate`].
    pub(crate) fn remove(&mut self, id: RowId) -> Result<(), Error> {
        if let Some(key) = self.keys.remove(&id) {
            self.changes += 1;
            self.index.remove(key).map_err(failed)?;
        }
        Ok(())
    }

    /// For each query rows that are probably among its `k` nearest, by rows or, with `by_pid`, by
    /// identities.
    ///
    /// # Errors
    /// [`Error::Approximate`].
    pub(crate) fn candidates(
        &self,
        queries: &[Vec<f64>],
        k: usize,
        by_pid: bool,
    ) -> Result<Vec<Vec<RowId>>, Error> {
        let one = |query: &Vec<f64>| {
            let query: Vec<f32> = query.iter().map(|&value| value as f32).collect();
            let mut fetch = FETCH * k + NEIGHBOURS;
            loop {
                let found = self.nearest(&query, fetch)?;
                let pids: HashSet<_> = found.iter().map(|id| id.pid).collect();
                if !by_pid || pids.len() >= k || fetch >= self.index.size() {
                    return Ok(found);
                }
                fetch *= 2;
            }
        };
        queries.par_iter().map(one).collect()
    }

    fn nearest(&self, query: &[f32], count: usize) -> Result<Vec<RowId>, Error> {
        let found = self.index.search(query, count).map_err(failed)?;
        Ok(found.keys.iter().filter_map(|&key| self.ids.get(key as usize).copied()).collect())
    }

    /// The share of rows' exact nearest neighbours that is found, over rows at even spaces, and the
    /// number of these rows.
    fn measure(&self, rows: &Rows) -> Result<(f64, usize), Error> {
        let step = rows.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<usize> = (0..rows.len()).step_by(step).collect();
        let vector =
            |row: usize| -> Vec<f64> { rows.vector(row).into_iter().map(f64::from).collect() };
        let queries: Vec<Vec<f64>> = sample.iter().map(|&row| vector(row)).collect();
        let nearest = |query: &[f64], own: usize, candidates: &[RowId]| -> HashSet<RowId> {
            let distance = |id: RowId| {
                let other = vector(rows.place(id)?);
                Some((Distance::SquaredEuclidean.between_prepared(query, &other), id))
            };
            let others = candidates.iter().filter(|id| **id != rows.ids()[own]);
            let mut others: Vec<_> = others.filter_map(|&id| distance(id)).collect();
            others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.pid.cmp(&b.1.pid)));
            others.into_iter().take(NEIGHBOURS).map(|(_, id)| id).collect()
        };
        let k = NEIGHBOURS + 1;
        let exact = rows.candidates(&queries, k, false, &|_| false);
        let found = self.candidates(&queries, k, false)?;
        let (mut right, mut wanted) = (0, 0);
        for (((query, own), exact), found) in queries.iter().zip(sample).zip(exact).zip(found) {
            let exact = nearest(query, own, &exact);
            right += nearest(query, own, &found).intersection(&exact).count();
            wanted += exact.len();
        }
        let recall = if wanted == 0 { 1.0 } else { right as f64 / wanted as f64 };
        Ok((recall, queries.len()))
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Approximate { reason: error.to_string() }
}
