//! Rows of numbers in memory, padded to whole vectors.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::aligned::Aligned;
use super::dot::{LANES, PANEL_ROWS, Panel, TILE, panel_scores};
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
    /// into `scratch.scores`: `[query][row]`, see [`panel_scores`].
    pub(super) fn scores(&self, first: usize, rows: usize, queries: &[f32], scratch: &mut Scratch) {
        let stride = self.stride;
        let range = first * stride..(first + rows) * stride;
        let scores = &mut scratch.scores;
        match &self.numbers {
            Numbers::F32(numbers) => {
                panel_scores(Panel { rows: &numbers[range], queries, stride }, scores);
            }
            Numbers::F16(numbers) if queries.len() <= TILE.1 * stride => {
                panel_scores(Panel { rows: &numbers[range], queries, stride }, scores);
            }
            Numbers::F16(numbers) => {
                // Many queries: widened once, not once per tile.
                scratch.wide.resize(PANEL_ROWS * stride, 0.0);
                let wide = &mut scratch.wide[..rows * stride];
                numbers[range].convert_to_f32_slice(wide);
                panel_scores(Panel { rows: wide, queries, stride }, scores);
            }
        }
    }
}

/// Room for one panel's scores.
pub(super) struct Scratch {
    /// `[queries][PANEL_ROWS]`
    pub(super) scores: Vec<f32>,
    wide: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(queries: usize) -> Self {
        Self { scores: vec![0.0; queries * PANEL_ROWS], wide: Vec::new() }
    }
}

fn swap_remove<T: Copy>(numbers: &mut Aligned<T>, row: usize, stride: usize) {
    let last = numbers.len() - stride;
    numbers.copy_within(last.., row * stride);
    numbers.truncate(last);
}
