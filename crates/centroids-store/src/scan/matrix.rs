//! Rows of numbers in memory, padded to whole vectors.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::aligned::Aligned;
use super::dot::{LANES, Panel, panel_scores};
use crate::precision::{Precision, narrow};

/// `[len, stride]` in one of two widths; what is beyond `dim` is zero.
pub(super) struct Matrix {
    stride: usize,
    numbers: Numbers,
}

enum Numbers {
    F32(Aligned<f32>),
    F16(Aligned<f16>),
}

impl Matrix {
    pub(super) fn new(dim: usize, precision: Precision) -> Self {
        let numbers = match precision {
            Precision::F32 => Numbers::F32(Aligned::new()),
            Precision::F16 => Numbers::F16(Aligned::new()),
        };
        Self { stride: dim.next_multiple_of(LANES), numbers }
    }

    /// Numbers of a row, padding included.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        match &mut self.numbers {
            Numbers::F32(numbers) => numbers.reserve(rows * self.stride),
            Numbers::F16(numbers) => numbers.reserve(rows * self.stride),
        }
    }

    /// Appends a row, `[dim]`.
    pub(super) fn push(&mut self, row: &[f32]) {
        let padding = [0.0; LANES];
        let padding = &padding[..self.stride - row.len()];
        match &mut self.numbers {
            Numbers::F32(numbers) => {
                numbers.extend_from_slice(row);
                numbers.extend_from_slice(padding);
            }
            Numbers::F16(numbers) => {
                numbers.extend_from_slice(&narrow(row));
                numbers.extend_from_slice(&narrow(padding));
            }
        }
    }

    /// A row without its padding, `[dim]`.
    pub(super) fn row(&self, row: usize, dim: usize) -> Vec<f32> {
        let range = row * self.stride..row * self.stride + dim;
        match &self.numbers {
            Numbers::F32(numbers) => numbers[range].to_vec(),
            Numbers::F16(numbers) => numbers[range].to_f32_vec(),
        }
    }

    /// Takes a row out; the last one takes its place.
    pub(super) fn swap_remove(&mut self, row: usize) {
        match &mut self.numbers {
            Numbers::F32(numbers) => swap_remove(numbers, row, self.stride),
            Numbers::F16(numbers) => swap_remove(numbers, row, self.stride),
        }
    }

    /// Dot products of the rows `first..first + rows` with all queries, `[queries.len() / stride]`,
    /// into `scores`: `[query][PANEL_ROWS]`, see [`panel_scores`].
    pub(super) fn scores(&self, first: usize, rows: usize, queries: &[f32], scores: &mut [f32]) {
        let stride = self.stride;
        let range = first * stride..(first + rows) * stride;
        match &self.numbers {
            Numbers::F32(numbers) => {
                panel_scores(Panel { rows: &numbers[range], queries, stride }, scores);
            }
            Numbers::F16(numbers) => {
                panel_scores(Panel { rows: &numbers[range], queries, stride }, scores);
            }
        }
    }
}

fn swap_remove<T: Copy>(numbers: &mut Aligned<T>, row: usize, stride: usize) {
    let last = numbers.len() - stride;
    numbers.copy_within(last.., row * stride);
    numbers.truncate(last);
}
