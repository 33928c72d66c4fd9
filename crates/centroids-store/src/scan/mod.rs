//! Exact search over rows in memory: which rows can be among the `k` nearest.
//!
//! A row is a direction (a vector of length 1, or 0) in `f32` or `f16` with what its dot product is
//! multiplied by and added to. Scores are single-precision and only choose candidates: every row
//! whose score could belong to the `k` best within the bound of rounding is one, and the caller
//! orders candidates by their exact distances.

mod aligned;
mod dot;
mod matrix;
mod nearest;
mod rows;

pub(crate) use rows::{NewRow, RowId, Rows};
