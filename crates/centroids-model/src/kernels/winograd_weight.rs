//! Gradient of a 3×3 kernel by the transpose of [`winograd`](super::winograd).

use std::ops::Range;

use rayon::prelude::*;

use super::gemm::Multiply;
use super::lanes::{Columns, Isa, Lanes, Task, dispatch, tile_size};
use super::storage::{Output, SharedOutput, odd_lines};
use super::window::Window;
use super::winograd::{
    KernelGradient, PATCH, POINTS, PerChannel, ProductGradient, SIDE, Tiles, TransformImages,
    per_channel, transform,
};

/// Tiles that are transformed before they are multiplied.
const BLOCK_TILES: usize = 128;
/// Tiles transformed by one task.
const TASK_TILES: usize = 8;

/// The gradient `[channels of dz, channels of the images, 3, 3]` from images `[n, h, w, c]` and the
/// gradient `dz` `[n, positions, channels]` of the convolution's result.
pub(super) fn weight_gradient(
    isa: Isa,
    images: &[f32],
    window: &Window,
    dz: &[f32],
    channels: usize,
) -> Vec<f32> {
    let batch = dz.len() / channels / window.positions();
    let [mr, nr] = tile_size(isa);
    let sources = Sources {
        isa,
        images,
        dz,
        tiles: Tiles::new(window, batch),
        channels: [channels, window.channels],
        // The last register tile reads beyond the channels.
        stride: channels.next_multiple_of(mr).next_multiple_of(16) + 16,
        width: window.channels.next_multiple_of(nr),
        nr,
    };
    let mut sums = Output::new(POINTS * odd_lines(channels * window.channels));
    sums.clear_gaps(channels * window.channels);
    let block = BLOCK_TILES.min(sources.tiles.count);
    let mut patches = Output::new(POINTS * odd_lines(block * sources.width));
    let mut gradients = Output::new(POINTS * odd_lines(block * sources.stride));
    for first in (0..sources.tiles.count).step_by(BLOCK_TILES) {
        let block = first..(first + BLOCK_TILES).min(sources.tiles.count);
        patches.clear_gaps(block.len() * sources.width);
        gradients.clear_gaps(block.len() * sources.stride);
        sources.transform(block.clone(), patches.share(), gradients.share());
        // SAFETY: all points of the block's tiles have just been written, padding included.
        let factors = unsafe { (gradients.values(), patches.values()) };
        sources.multiply(factors, block.len(), first > 0, sums.share());
    }
    // SAFETY: the first block has written every sum.
    let sums = unsafe { sums.into_values() };
    kernel_gradients(isa, &sums, channels, window.channels)
}

struct Sources<'a> {
    isa: Isa,
    images: &'a [f32],
    dz: &'a [f32],
    tiles: Tiles<'a>,
    /// Channels of dz and of the images.
    channels: [usize; 2],
    /// Distance of the tiles of a transformed dz.
    stride: usize,
    /// Columns of all panels of transformed images.
    width: usize,
    nr: usize,
}

impl Sources<'_> {
    /// Transforms the tiles of a block: images into panels, `[POINTS, panels, tiles, nr]`, gradients
    /// into `[POINTS, tiles, stride]`.
    fn transform(
        &self,
        block: Range<usize>,
        patches: SharedOutput<'_>,
        gradients: SharedOutput<'_>,
    ) {
        let zeros = vec![0.0; self.channels[0].max(self.channels[1])];
        let len = block.len();
        (0..len.div_ceil(TASK_TILES)).into_par_iter().for_each(|task| {
            let first = task * TASK_TILES;
            let range = first..(first + TASK_TILES).min(len);
            let tiles = block.start + range.start..block.start + range.end;
            let point = odd_lines(len * self.width);
            let target = |tile: usize, channel: usize| {
                let line = channel / self.nr * len + first + tile;
                (patches.pointer(line * self.nr + channel % self.nr), point)
            };
            let (images, grid) = (self.images, self.tiles);
            let task = TransformImages {
                images,
                tiles: grid,
                range: tiles.clone(),
                zeros: &zeros,
                target,
            };
            dispatch(self.isa, task);
            if self.width > self.channels[1] {
                self.clear_padding(range.clone(), len, patches);
            }
            let (sources, first) = (self, range.start);
            let task = TransformGradients { sources, tiles, first, len, zeros: &zeros, gradients };
            dispatch(self.isa, task);
        });
    }

    /// Zeros the columns of the last panel that are no channels.
    fn clear_padding(&self, tiles: Range<usize>, len: usize, patches: SharedOutput<'_>) {
        let (panel, column) = (self.channels[1] / self.nr, self.channels[1] % self.nr);
        for p in 0..POINTS {
            for tile in tiles.clone() {
                let point = p * odd_lines(len * self.width);
                let start = point + (panel * len + tile) * self.nr + column;
                // SAFETY: the tile belongs to this task.
                unsafe { patches.slice(start, self.nr - column) }
                    .fill(std::mem::MaybeUninit::new(0.0));
            }
        }
    }

    /// Adds the products of a block to the sums `[POINTS, channels of dz, channels of the images]`.
    fn multiply(
        &self,
        (gradients, patches): (&[f32], &[f32]),
        tiles: usize,
        accumulate: bool,
        sums: SharedOutput<'_>,
    ) {
        let [rows, columns] = self.channels;
        (0..POINTS).into_par_iter().with_max_len(1).for_each(|p| {
            let point = p * odd_lines(rows * columns);
            let row = |row: usize| sums.pointer(point + row * columns);
            let (a, b) = (tiles * self.stride, tiles * self.width);
            let multiply = Multiply {
                k: tiles,
                a: (&gradients[p * odd_lines(a)..][..a], Columns(self.stride)),
                b: &patches[p * odd_lines(b)..],
                rows: &(0..rows).map(row).collect::<Vec<_>>(),
                columns: 0..columns,
                accumulate,
                finish: None,
            };
            // SAFETY: the sums of a point belong to one task.
            unsafe { multiply.run_on(self.isa) };
        });
    }
}

/// Transforms the gradients of some tiles.
struct TransformGradients<'a> {
    sources: &'a Sources<'a>,
    tiles: Range<usize>,
    /// Number of the first of them in its block of `len` tiles.
    first: usize,
    len: usize,
    zeros: &'a [f32],
    gradients: SharedOutput<'a>,
}

impl Task for TransformGradients<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Sources { dz, tiles, channels: [channels, _], stride, .. } = *self.sources;
        for (i, tile) in self.tiles.enumerate() {
            let pixel = |pixel: usize| dz[pixel * channels..][..channels].as_ptr();
            let results =
                tiles.results(tile).map(|result| result.map_or(self.zeros.as_ptr(), pixel));
            let line = (self.first + i) * stride;
            let (target, step) = (self.gradients.pointer(line), odd_lines(self.len * stride));
            // SAFETY: every result holds all channels, and the line belongs to this task.
            unsafe {
                per_channel::<V>(channels, &mut TransformGradient { results, target, step });
                for p in 0..POINTS {
                    let padding =
                        self.gradients.slice(line + p * step + channels, stride - channels);
                    padding.fill(std::mem::MaybeUninit::new(0.0));
                }
            }
        }
    }
}

struct TransformGradient {
    results: [*const f32; SIDE * SIDE],
    target: *mut f32,
    step: usize,
}

impl PerChannel for TransformGradient {
    #[inline(always)]
    unsafe fn at<V: Lanes>(&mut self, channel: usize) {
        // SAFETY: the results hold this vector of channels, and the target has room for it.
        unsafe {
            let result = |y: usize, x: usize| V::load(self.results[SIDE * y + x].add(channel));
            let tile = std::array::from_fn(|y| std::array::from_fn(|x| result(y, x)));
            let points = transform::<ProductGradient, V, SIDE, PATCH>(tile);
            for (p, point) in points.as_flattened().iter().enumerate() {
                point.store(self.target.add(p * self.step + channel));
            }
        }
    }
}

/// Transforms sums `[POINTS, rows, columns]` into `[rows, columns, 3, 3]`.
fn kernel_gradients(isa: Isa, sums: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut output = Output::new(rows * columns * 9);
    output.as_mut_slice().par_chunks_exact_mut(columns * 9).enumerate().for_each(
        |(row, kernels)| {
            let (sums, step) = (&sums[row * columns..], odd_lines(rows * columns));
            assert!(sums.len() >= (POINTS - 1) * step + columns);
            let kernels = kernels.as_mut_ptr().cast();
            dispatch(isa, TransformSums { sums: sums.as_ptr(), step, kernels, columns });
        },
    );
    // SAFETY: every row was written.
    unsafe { output.into_values() }
}

/// Transforms the sums of one row.
struct TransformSums {
    sums: *const f32,
    /// Distance of the points.
    step: usize,
    kernels: *mut f32,
    columns: usize,
}

impl Task for TransformSums {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        // SAFETY: sums and kernels hold all columns.
        unsafe { per_channel::<V>(self.columns, &mut self) };
    }
}

impl PerChannel for TransformSums {
    #[inline(always)]
    unsafe fn at<V: Lanes>(&mut self, channel: usize) {
        // SAFETY: sums and kernels hold this vector of columns.
        unsafe {
            let point = |p: usize| V::load(self.sums.add(p * self.step + channel));
            let points = std::array::from_fn(|y| std::array::from_fn(|x| point(PATCH * y + x)));
            let kernel = transform::<KernelGradient, V, PATCH, 3>(points);
            let mut taps = [[0.0f32; 16]; 9];
            for (taps, values) in taps.iter_mut().zip(kernel.as_flattened()) {
                values.store(taps.as_mut_ptr());
            }
            for lane in 0..V::LEN {
                for (tap, values) in taps.iter().enumerate() {
                    *self.kernels.add((channel + lane) * 9 + tap) = values[lane];
                }
            }
        }
    }
}
