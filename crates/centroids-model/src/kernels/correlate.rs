//! Convolution as a matrix product whose left factor is never stored as a whole: rows are the
//! positions of a window, columns the values under it.

use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::Epilogue;
use super::gemm::{Multiply, Packed, depth_blocks, even_block};
use super::lanes::{Isa, ROW, Rows, tile_size};
use super::storage::{SharedOutput, with_scratch};
use super::window::{Position, Window};

/// Rows of a block: what stays near the core while all columns are computed (about 250 KiB).
const BLOCK_ROWS: usize = 224;

/// Where the position (y, x) of a window lies in the output `[n, h, w, channels]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Height and width of the output.
    pub(super) size: [usize; 2],
    /// Output pixels from one position to the next.
    pub(super) step: [usize; 2],
    /// Output pixel of the first position.
    pub(super) first: [usize; 2],
}

impl Target {
    /// The output whose pixels are the positions.
    pub(super) fn every_pixel(size: [usize; 2]) -> Target {
        Target { size, step: [1, 1], first: [0, 0] }
    }

    /// Number of the output pixel at a position.
    #[inline(always)]
    pub(super) fn pixel(&self, position: Position) -> usize {
        let y = position.y * self.step[0] + self.first[0];
        let x = position.x * self.step[1] + self.first[1];
        (position.n * self.size[0] + y) * self.size[1] + x
    }
}

/// Where the results of a convolution go.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) output: SharedOutput<'a>,
    pub(super) target: Target,
    /// Whether the results are added to what is there.
    pub(super) accumulate: bool,
}

/// Multiplies the values under the window at every position of `batch` images with `weight`
/// (`[values, channels]`).
///
/// # Safety
/// The output must hold the pixels of the target for `weight.n` channels each, which no one else
/// reaches.
pub(super) unsafe fn correlate(
    isa: Isa,
    (images, batch): (&[f32], usize),
    window: &Window,
    weight: &Packed,
    destination: Destination<'_>,
    epilogue: Option<&Epilogue<'_>>,
) {
    let [mr, _] = tile_size(isa);
    let rows = batch * window.positions();
    let block = even_block(rows, BLOCK_ROWS, mr);
    let blocks = rows.div_ceil(block);
    let groups = weight.column_groups(rayon::current_num_threads().div_ceil(blocks));
    (0..blocks * groups.len()).into_par_iter().with_max_len(1).for_each(|task| {
        let (first, columns) = (task / groups.len() * block, &groups[task % groups.len()]);
        let part = Part { isa, images, window, weight, destination, epilogue };
        // SAFETY: parts share no element of the output, for which the caller answers.
        unsafe { part.run(first..(first + block).min(rows), columns) };
    });
}

struct Part<'a> {
    isa: Isa,
    images: &'a [f32],
    window: &'a Window,
    weight: &'a Packed,
    destination: Destination<'a>,
    epilogue: Option<&'a Epilogue<'a>>,
}

impl Part<'_> {
    unsafe fn run(&self, positions: Range<usize>, columns: &Range<usize>) {
        let [mr, _] = tile_size(self.isa);
        let Destination { output, target, accumulate } = self.destination;
        let walk = self.window.walk(positions.clone());
        let pixels: Vec<usize> = walk.map(|position| target.pixel(position)).collect();
        let channels = self.weight.n;
        let rows: Vec<*mut f32> =
            pixels.iter().map(|pixel| output.pointer(pixel * channels)).collect();
        let panels = positions.len().next_multiple_of(mr) * ROW;
        with_scratch([panels, 0], |a, _| {
            for (block, depth) in depth_blocks(self.weight.k) {
                self.pack(positions.clone(), depth.clone(), a);
                let last = depth.end == self.weight.k;
                let multiply = Multiply {
                    k: depth.len(),
                    a: (&*a, Rows),
                    b: self.weight.block(0, block, columns),
                    rows: &rows,
                    columns: columns.clone(),
                    accumulate: accumulate || block > 0,
                    finish: self.epilogue.filter(|_| last).map(|epilogue| (epilogue, &*pixels)),
                };
                // SAFETY: the rows are pixels of the output, for which the caller answers.
                unsafe { multiply.run_on(self.isa) };
            }
        });
    }

    /// Packs the values under the window, one row of [`ROW`] elements for each position.
    fn pack(&self, positions: Range<usize>, depth: Range<usize>, a: &mut [f32]) {
        let padded = self.window.has_padding();
        for (position, row) in self.window.walk(positions).zip(a.chunks_exact_mut(ROW)) {
            if padded {
                row[..depth.len()].fill(0.0);
            }
            self.window.runs(self.images, position, &depth, |values, at| {
                row[at..][..values.len()].copy_from_slice(values);
            });
        }
    }
}
