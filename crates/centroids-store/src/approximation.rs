//! What is said of an approximate search.

use serde::Serialize;

/// How good the graph is that a search went through.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Approximation {
    /// Rows it was made of.
    pub rows: usize,
    /// Share of the exact nearest neighbours of some rows that it finds, measured when it was made.
    pub recall: f64,
    /// Neighbours that were looked for.
    pub neighbours: usize,
    /// Rows they were looked for of.
    pub sample: usize,
    /// How long it took to make.
    pub seconds: f64,
}
