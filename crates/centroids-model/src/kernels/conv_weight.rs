//! Gradient of a convolution's weight: a matrix product over all pixels.

use std::ops::Range;

use rayon::prelude::*;

use super::gemm::{Multiply, depth_blocks};
use super::lanes::{Columns, Isa, KC, Lanes, Task, dispatch, tile_size};
use super::storage::{CHUNK, Output, with_scratch};
use super::window::Window;

/// Rows and columns of the gradient that one task computes.
const PART: [usize; 2] = [216, 512];
/// Tasks that keep all threads busy; with fewer parts than this the pixels are divided too.
const TASKS: usize = 8;

/// The gradient `[channels of dz, values under the window]` from images `[n, h, w, c]` and the
/// gradient `dz` `[n, positions, channels]` of the convolution's result.
///
/// How the sum over pixels is divided depends on the shape alone, and so do the bits.
pub(super) fn weight_gradient(
    isa: Isa,
    images: &[f32],
    window: &Window,
    dz: &[f32],
    channels: usize,
) -> Vec<f32> {
    let (depth, pixels) = (window.depth(), dz.len() / channels);
    let [mr, nr] = tile_size(isa);
    let rows = parts(channels, PART[0] / mr * mr, mr);
    let columns = parts(depth, PART[1], nr);
    let areas = rows.len() * columns.len();
    let split = pixels.div_ceil(TASKS.div_ceil(areas)).max(512).min(pixels);
    let splits = pixels.div_ceil(split);
    let mut sums = Output::new(splits * channels * depth);
    let shared = sums.share();
    (0..splits * areas).into_par_iter().with_max_len(1).for_each(|task| {
        let (split_index, area) = (task / areas, task % areas);
        let part = Part {
            isa,
            sources: (images, dz),
            window,
            channels,
            rows: rows[area / columns.len()].clone(),
            columns: columns[area % columns.len()].clone(),
            panels: [mr, nr],
        };
        let pixels = split_index * split..((split_index + 1) * split).min(pixels);
        let row = |row: usize| shared.pointer((split_index * channels + row) * depth);
        let rows: Vec<*mut f32> = part.rows.clone().map(row).collect();
        // SAFETY: every task has its own rows and columns of its own sum.
        unsafe { part.run(pixels, &rows) };
    });
    // SAFETY: the tasks cover every element of every sum, and none is without pixels.
    total(unsafe { sums.into_values() }, channels * depth)
}

/// Ranges of at most about `most`, as equal as whole tiles of `tile` allow, that cover `0..len`.
fn parts(len: usize, most: usize, tile: usize) -> Vec<Range<usize>> {
    let part = len.div_ceil(len.div_ceil(most)).next_multiple_of(tile);
    (0..len).step_by(part).map(|first| first..(first + part).min(len)).collect()
}

/// Adds up sums of `len` elements, in order.
fn total(mut sums: Vec<f32>, len: usize) -> Vec<f32> {
    let (first, rest) = sums.split_at_mut(len);
    for sum in rest.chunks_exact(len) {
        first.par_chunks_mut(CHUNK).zip(sum.par_chunks(CHUNK)).for_each(|(first, sum)| {
            first.iter_mut().zip(sum).for_each(|(first, value)| *first += value);
        });
    }
    sums.truncate(len);
    sums
}

/// Some rows and columns of the gradient.
struct Part<'a> {
    isa: Isa,
    /// Images and the gradient of the result.
    sources: (&'a [f32], &'a [f32]),
    window: &'a Window,
    channels: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    /// Size of a register tile.
    panels: [usize; 2],
}

impl Part<'_> {
    /// Sums over some pixels.
    ///
    /// # Safety
    /// The target must be valid for the columns and reached by no one else.
    unsafe fn run(&self, pixels: Range<usize>, target: &[*mut f32]) {
        let [mr, nr] = self.panels;
        // A cut tile reads beyond its rows.
        let lens = [KC * PART[0] + mr, KC * self.columns.len().next_multiple_of(nr)];
        with_scratch(lens, |a, b| {
            for (block, range) in depth_blocks(pixels.len()) {
                let k = range.len();
                let pack = Pack { part: self, pixels: pixels.start + range.start, k, a, b };
                dispatch(self.isa, pack);
                let multiply = Multiply {
                    k,
                    a: (&*a, Columns(PART[0])),
                    b,
                    rows: target,
                    columns: self.columns.clone(),
                    accumulate: block > 0,
                    finish: None,
                };
                // SAFETY: passed on to the caller.
                unsafe { multiply.run_on(self.isa) };
            }
        });
    }
}

/// Packs both factors for `k` pixels.
struct Pack<'a, 'b> {
    part: &'a Part<'a>,
    pixels: usize,
    k: usize,
    a: &'b mut [f32],
    b: &'b mut [f32],
}

impl Task for Pack<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Part { sources: (images, dz), window, channels, rows, columns, .. } = self.part;
        let pixels = self.pixels..self.pixels + self.k;
        for (k, pixel) in pixels.clone().enumerate() {
            let values = &dz[pixel * channels..][rows.clone()];
            self.a[k * PART[0]..][..values.len()].copy_from_slice(values);
        }
        let padded = window.has_padding();
        let panel = V::NR * self.k;
        for (k, position) in window.walk(pixels).enumerate() {
            if padded {
                let lines = self.b.chunks_exact_mut(panel).take(columns.len().div_ceil(V::NR));
                lines.for_each(|lines| lines[k * V::NR..][..V::NR].fill(0.0));
            }
            window.runs(images, position, columns, |values, at| {
                into_panels(values, at, k, &mut *self.b, [V::NR, self.k]);
            });
        }
    }
}

/// Writes `values` as elements `at..` of line `k` of panels of `width` columns and `lines` lines.
#[inline(always)]
fn into_panels(
    mut values: &[f32],
    mut at: usize,
    k: usize,
    panels: &mut [f32],
    [width, lines]: [usize; 2],
) {
    while !values.is_empty() {
        let (panel, column) = (at / width, at % width);
        let target = &mut panels[(panel * lines + k) * width..][..width][column..];
        if values.len() >= width && column == 0 {
            target.copy_from_slice(&values[..width]);
            (values, at) = (&values[width..], at + width);
        } else {
            let len = target.len().min(values.len());
            target.iter_mut().zip(values).for_each(|(target, value)| *target = *value);
            (values, at) = (&values[len..], at + len);
        }
    }
}
