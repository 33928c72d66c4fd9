//! Blocked matrix product of packed factors.
//!
//! `C = A · B` is computed in blocks of [`KC`] along the inner dimension. Each factor is packed into
//! panels: the left one of `MR` rows, the right one of `NR` columns, the size of a register tile.
//! Every element of C is summed in one order, whoever computes which part of it: the bits do not
//! depend on the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::Epilogue;
use super::lanes::{ALayout, Isa, KC, Lanes, Task, TileRows, dispatch, tile_size};
use super::storage::{Output, filled, odd_lines};

/// Right factors `[k, n]` of one shape: per block of [`KC`] rows, panels of `nr` columns, row by
/// row; columns beyond `n` are zero.
pub(super) struct Packed {
    values: Vec<f32>,
    count: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    nr: usize,
}

impl Packed {
    /// Packs what `fill(rows, columns, panels, nr)` writes for every one of `count` factors: element
    /// (row, column) of the given ranges at `[(row - rows.start) * nr + column - columns.start]` of
    /// its panel, which starts as zeros.
    pub(super) fn new(
        isa: Isa,
        count: usize,
        [k, n]: [usize; 2],
        fill: impl Fn(Range<usize>, Range<usize>, &mut [&mut [f32]], usize) + Sync,
    ) -> Packed {
        let [_, nr] = tile_size(isa);
        let panels = n.div_ceil(nr);
        let width = panels * nr;
        let stride = odd_lines(k * width);
        let mut values = Output::new(count * stride);
        values.clear_gaps(k * width);
        let shared = values.share();
        (0..k.div_ceil(KC) * panels).into_par_iter().for_each(|task| {
            let (block, panel) = (task / panels, task % panels);
            let rows = block * KC..(block * KC + KC).min(k);
            let columns = panel * nr..(panel * nr + nr).min(n);
            let start = rows.start * width + panel * rows.len() * nr;
            let mut panels: Vec<&mut [f32]> = (0..count)
                .map(|factor| {
                    // SAFETY: every task has its own panel of every factor.
                    let panel = unsafe { shared.slice(factor * stride + start, rows.len() * nr) };
                    filled(panel, 0.0)
                })
                .collect();
            fill(rows, columns, &mut panels, nr);
        });
        // SAFETY: the tasks cover all panels, and each fills its own.
        Packed { values: unsafe { values.into_values() }, count, k, n, nr }
    }

    /// Rows `block * KC..` of some columns, which start with a panel, of a factor.
    pub(super) fn block(&self, factor: usize, block: usize, columns: &Range<usize>) -> &[f32] {
        let width = self.n.div_ceil(self.nr) * self.nr;
        let rows = KC.min(self.k - block * KC);
        let start = block * KC * width + columns.start * rows;
        debug_assert!(factor < self.count && columns.start.is_multiple_of(self.nr));
        &self.values[factor * odd_lines(self.k * width) + start..]
    }

    /// The columns in `parts` groups of whole panels.
    pub(super) fn column_groups(&self, parts: usize) -> Vec<Range<usize>> {
        let panels = self.n.div_ceil(self.nr);
        let group = panels.div_ceil(parts.max(1)).max(1) * self.nr;
        (0..self.n).step_by(group).map(|first| first..(first + group).min(self.n)).collect()
    }
}

/// Ranges of the blocks of an inner dimension.
pub(super) fn depth_blocks(k: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (0..k.div_ceil(KC)).map(move |block| (block, block * KC..(block * KC + KC).min(k)))
}

/// Rows of a block, in whole tiles of `tile` and about `most` at most, such that all threads finish
/// `rows` at about the same time.
pub(super) fn even_block(rows: usize, most: usize, tile: usize) -> usize {
    let threads = rayon::current_num_threads();
    let least = rows.div_ceil(most).div_ceil(threads);
    let block = |rounds: usize| rows.div_ceil(rounds * threads).next_multiple_of(tile);
    let longest = |block: usize| rows.div_ceil(block).div_ceil(threads) * block;
    (least..=2 * least).map(block).min_by_key(|block| longest(*block)).unwrap_or(tile)
}

/// A part of C, and one block of the inner dimension.
pub(super) struct Multiply<'a, A> {
    /// Depth of the block.
    pub(super) k: usize,
    /// The left factor.
    pub(super) a: (&'a [f32], A),
    /// Panels of the right factor, each `k × NR`.
    pub(super) b: &'a [f32],
    /// Where the rows of this part start in C.
    pub(super) rows: &'a [*mut f32],
    /// Its columns.
    pub(super) columns: Range<usize>,
    /// Whether the product is added to C.
    pub(super) accumulate: bool,
    /// What is done to C in the end, and which pixels the rows are.
    pub(super) finish: Option<(&'a Epilogue<'a>, &'a [usize])>,
}

/// Largest register tile of any unit.
pub(super) const MAX_TILE: [usize; 2] = [14, 32];

impl<A: ALayout> Multiply<'_, A> {
    /// Computes the part.
    ///
    /// # Safety
    /// The rows must be valid for the columns and reached by no one else.
    pub(super) unsafe fn run_on(self, isa: Isa) {
        dispatch(isa, self);
    }

    /// A tile that is cut off by the edge of C.
    #[inline(always)]
    unsafe fn cut<V: Lanes>(
        &self,
        a: *const f32,
        b: &[f32],
        rows: &[*mut f32],
        columns: Range<usize>,
    ) {
        let mut whole = [0.0f32; MAX_TILE[0] * MAX_TILE[1]];
        let start = whole.as_mut_ptr();
        // SAFETY: the buffer holds MR rows of NR elements.
        let whole_rows: [*mut f32; MAX_TILE[0]] =
            std::array::from_fn(|i| unsafe { start.add(i.min(V::MR - 1) * V::NR) });
        let target = TileRows { rows: &whole_rows, column: 0, accumulate: false };
        // SAFETY: the panels were made for this depth, and the target is the buffer.
        unsafe { V::tile(self.k, (a, self.a.1), b.as_ptr(), target) };
        for (row, whole) in rows.iter().zip(whole.chunks_exact(V::NR)) {
            for (column, value) in columns.clone().zip(whole) {
                // SAFETY: rows and columns are those of C.
                unsafe {
                    let target = row.add(column);
                    *target = if self.accumulate { *target + value } else { *value };
                }
            }
        }
    }
}

impl<A: ALayout> Task for Multiply<'_, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let ((a, layout), panel) = (self.a, self.k * V::NR);
        let last = layout.offset(self.rows.len().next_multiple_of(V::MR) - 1, self.k - 1);
        assert!(last < a.len(), "left factor of a matrix product");
        for (j, column) in self.columns.clone().step_by(V::NR).enumerate() {
            let b = &self.b[j * panel..][..panel];
            let columns = column..(column + V::NR).min(self.columns.end);
            for (i, rows) in self.rows.chunks(V::MR).enumerate() {
                // SAFETY: `a` reaches to the last element of the last tile, the panel has k rows, a
                // whole tile has MR rows, and the caller answers for the rows.
                unsafe {
                    let a = a.as_ptr().add(layout.offset(i * V::MR, 0));
                    if rows.len() == V::MR && columns.len() == V::NR {
                        let accumulate = self.accumulate;
                        let target = TileRows { rows, column, accumulate };
                        V::tile(self.k, (a, self.a.1), b.as_ptr(), target);
                    } else {
                        self.cut::<V>(a, b, rows, columns.clone());
                    }
                }
            }
            if let Some((epilogue, pixels)) = self.finish {
                for (row, pixel) in self.rows.iter().zip(pixels) {
                    // SAFETY: the caller answers for the rows.
                    unsafe { epilogue.apply_row::<V>(*pixel, columns.clone(), *row) };
                }
            }
        }
    }
}
