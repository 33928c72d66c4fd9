//! 3×3 convolutions of stride 1 by Winograd's algorithm F(4×4, 3×3).
//!
//! A tile of 4×4 results needs 36 products per pair of channels instead of 144: image tiles `d` of
//! 6×6 pixels and kernels `g` are transformed, multiplied elementwise (summed over channels: 36
//! matrix products) and transformed back, `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` (Lavin and Gray 2016, §4.2).
//! The gradient of `g` is the transpose of the same: `Gᵀ [(A dy Aᵀ) ⊙ (Bᵀ d B)] G`.

use std::ops::Range;

use rayon::prelude::*;

use super::correlate::Destination;
use super::epilogue::Epilogue;
use super::gemm::{MAX_TILE, Multiply, Packed, depth_blocks, even_block};
use super::lanes::{Isa, KC, Lanes, ROW, Rows, Task, dispatch, tile_size};
use super::storage::{odd_lines, with_scratch};
use super::weight_view::WeightView;
use super::window::Window;

/// Side of a tile of results, and of the pixels it is made of.
pub(super) const SIDE: usize = 4;
pub(super) const PATCH: usize = SIDE + 2;
/// Products of a tile.
pub(super) const POINTS: usize = PATCH * PATCH;
/// Tiles of a block: what stays near the core between the transforms and the products.
const BLOCK_TILES: usize = 72;

/// Whether the algorithm applies, and needs clearly fewer products although tiles at the edge may
/// stand out and transforms cost time too.
pub(super) fn pays(window: &Window, channels_out: usize) -> bool {
    let tiles = window.grid.map(|size| size.div_ceil(SIDE)).iter().product::<usize>();
    window.size == [3, 3]
        && window.step == [1, 1]
        && window.channels.min(channels_out) >= 32
        && 6 * tiles < window.positions()
}

/// One dimension of a transform from `N` to `M` values.
pub(super) trait Transform<const N: usize, const M: usize> {
    /// # Safety
    /// The machine has the unit of `V`.
    unsafe fn line<V: Lanes>(x: [V; N]) -> [V; M];
}

/// Both dimensions.
#[inline(always)]
pub(super) unsafe fn transform<T: Transform<N, M>, V: Lanes, const N: usize, const M: usize>(
    x: [[V; N]; N],
) -> [[V; M]; M] {
    // SAFETY: passed on to the caller.
    unsafe {
        let zero = V::splat(0.0);
        let mut half = [[zero; N]; M];
        for j in 0..N {
            let column = T::line(x.map(|row| row[j]));
            for (half, value) in half.iter_mut().zip(column) {
                half[j] = value;
            }
        }
        let mut whole = [[zero; M]; M];
        for (whole, half) in whole.iter_mut().zip(half) {
            *whole = T::line(half);
        }
        whole
    }
}

/// The algorithm interpolates polynomials at 0, ±P, ±Q and infinity. These points err half as much
/// as the usual 0, ±1, ±2 and are exact in binary.
const P: f32 = 0.625;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;
/// Norms of the interpolation at 0, ±P and ±Q.
const N0: f32 = P2 * Q2;
const NP: f32 = 2.0 * P2 * (P2 - Q2);
const NQ: f32 = 2.0 * Q2 * (Q2 - P2);

/// `Bᵀ`
struct Image;

impl Transform<PATCH, PATCH> for Image {
    #[inline(always)]
    unsafe fn line<V: Lanes>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        // SAFETY: passed on to the caller.
        unsafe {
            let [minus_p2, minus_q2] = [V::splat(-P2), V::splat(-Q2)];
            let [outer, inner] = [V::splat(N0), V::splat(-(P2 + Q2))];
            let (even_p, odd_p) = (e.mul_add(c, minus_q2), d.mul_add(b, minus_q2).mul(V::splat(P)));
            let (even_q, odd_q) = (e.mul_add(c, minus_p2), d.mul_add(b, minus_p2).mul(V::splat(Q)));
            [
                e.mul_add(c, inner).mul_add(a, outer),
                even_p.add(odd_p),
                even_p.sub(odd_p),
                even_q.add(odd_q),
                even_q.sub(odd_q),
                f.mul_add(d, inner).mul_add(b, outer),
            ]
        }
    }
}

/// `Aᵀ`
struct Product;

impl Transform<PATCH, SIDE> for Product {
    #[inline(always)]
    unsafe fn line<V: Lanes>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        // SAFETY: passed on to the caller.
        unsafe {
            let [even_p, even_q] = [b.add(c), d.add(e)];
            let [odd_p, odd_q] = [b.sub(c), d.sub(e)];
            [
                a.add(even_p).add(even_q),
                odd_p.mul(V::splat(P)).mul_add(odd_q, V::splat(Q)),
                even_p.mul(V::splat(P2)).mul_add(even_q, V::splat(Q2)),
                f.mul_add(odd_p, V::splat(P * P2)).mul_add(odd_q, V::splat(Q * Q2)),
            ]
        }
    }
}

/// `A`
pub(super) struct ProductGradient;

impl Transform<SIDE, PATCH> for ProductGradient {
    #[inline(always)]
    unsafe fn line<V: Lanes>([a, b, c, d]: [V; 4]) -> [V; 6] {
        // SAFETY: passed on to the caller.
        unsafe {
            let even_p = a.mul_add(c, V::splat(P2));
            let even_q = a.mul_add(c, V::splat(Q2));
            let odd_p = b.mul(V::splat(P)).mul_add(d, V::splat(P * P2));
            let odd_q = b.mul(V::splat(Q)).mul_add(d, V::splat(Q * Q2));
            let [plus_p, minus_p] = [even_p.add(odd_p), even_p.sub(odd_p)];
            [a, plus_p, minus_p, even_q.add(odd_q), even_q.sub(odd_q), d]
        }
    }
}

/// Four numbers in double precision.
///
/// Kernels are transformed so: the norms above are no binary fractions, and their rounding would
/// tilt every result the same way.
#[derive(Clone, Copy)]
struct Doubles([f64; 4]);

impl Doubles {
    #[inline(always)]
    fn zip(self, other: Self, value: impl Fn(f64, f64) -> f64) -> Self {
        Doubles(std::array::from_fn(|i| value(self.0[i], other.0[i])))
    }

    #[inline(always)]
    fn times(self, factor: f64) -> Self {
        Doubles(self.0.map(|value| value * factor))
    }
}

/// `G`
#[inline(always)]
fn kernel_line([a, b, c]: [Doubles; 3]) -> [Doubles; 6] {
    let [p, q] = [f64::from(P), f64::from(Q)];
    let [norm_p, norm_q] = [2.0 * p * p * (p * p - q * q), 2.0 * q * q * (q * q - p * p)];
    let even = |x: f64, norm: f64| a.zip(c, |a, c| (a + c * (x * x)) * (1.0 / norm));
    let [even_p, even_q] = [even(p, norm_p), even(q, norm_q)];
    let [odd_p, odd_q] = [b.times(p / norm_p), b.times(q / norm_q)];
    [
        a.times(1.0 / (p * p * q * q)),
        even_p.zip(odd_p, |even, odd| even + odd),
        even_p.zip(odd_p, |even, odd| even - odd),
        even_q.zip(odd_q, |even, odd| even + odd),
        even_q.zip(odd_q, |even, odd| even - odd),
        c,
    ]
}

/// `Gᵀ`
pub(super) struct KernelGradient;

impl Transform<PATCH, 3> for KernelGradient {
    #[inline(always)]
    unsafe fn line<V: Lanes>([a, b, c, d, e, f]: [V; 6]) -> [V; 3] {
        // SAFETY: passed on to the caller.
        unsafe {
            let [even_p, even_q] = [b.add(c), d.add(e)];
            let [odd_p, odd_q] = [b.sub(c), d.sub(e)];
            let near = even_p.mul(V::splat(1.0 / NP)).mul_add(even_q, V::splat(1.0 / NQ));
            [
                near.mul_add(a, V::splat(1.0 / N0)),
                odd_p.mul(V::splat(P / NP)).mul_add(odd_q, V::splat(Q / NQ)),
                f.mul_add(even_p, V::splat(P2 / NP)).mul_add(even_q, V::splat(Q2 / NQ)),
            ]
        }
    }
}

/// Work on the channels of a tile, a vector at a time.
pub(super) trait PerChannel {
    /// # Safety
    /// The machine has the unit of `V`, and the channels from this one fill a vector.
    unsafe fn at<V: Lanes>(&mut self, channel: usize);
}

/// All channels, the last few one by one.
#[inline(always)]
pub(super) unsafe fn per_channel<V: Lanes>(channels: usize, work: &mut impl PerChannel) {
    let whole = channels / V::LEN * V::LEN;
    for channel in (0..whole).step_by(V::LEN) {
        // SAFETY: passed on to the caller.
        unsafe { work.at::<V>(channel) };
    }
    for channel in whole..channels {
        // SAFETY: as above; one float is a vector everywhere.
        unsafe { work.at::<f32>(channel) };
    }
}

/// The transformed kernels: [`POINTS`] right factors `[channels, columns]`.
pub(super) fn kernels(isa: Isa, view: &WeightView<'_>) -> Packed {
    let shape = [view.depth[0], view.columns[0]];
    Packed::new(isa, POINTS, shape, |rows, columns, panels, nr| {
        let taps = std::array::from_fn(|i| view.taps[i]);
        dispatch(isa, TransformKernels { view, taps, rows, columns, panels, nr });
    })
}

struct TransformKernels<'a, 'b, 'c> {
    view: &'a WeightView<'a>,
    taps: [usize; 9],
    rows: Range<usize>,
    columns: Range<usize>,
    panels: &'b mut [&'c mut [f32]],
    nr: usize,
}

impl Task for TransformKernels<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        for first in (0..self.rows.len()).step_by(GATHERED) {
            let rows = first..(first + GATHERED).min(self.rows.len());
            let kernels = self.gather(rows.clone());
            for (i, kernels) in rows.zip(&kernels) {
                for j in (0..self.nr).step_by(4) {
                    self.transform(i, j, kernels);
                }
            }
        }
    }
}

/// Rows whose kernels are gathered at once: those of a column lie side by side in memory.
const GATHERED: usize = 8;

/// The kernels of a row, tap by tap.
type KernelRow = [[f32; MAX_TILE[1]]; 9];

impl TransformKernels<'_, '_, '_> {
    #[inline(always)]
    fn gather(&self, rows: Range<usize>) -> [KernelRow; GATHERED] {
        let ([_, row_step], [_, column_step]) = (self.view.depth, self.view.columns);
        let mut gathered = [[[0.0; MAX_TILE[1]]; 9]; GATHERED];
        for (j, column) in self.columns.clone().enumerate() {
            let scale = self.view.scale.map_or(1.0, |scale| scale[column]);
            for (kernels, i) in gathered.iter_mut().zip(rows.clone()) {
                let start = (self.rows.start + i) * row_step + column * column_step;
                let kernel = &self.view.weight[start..][..9];
                for (tap, source) in self.taps.iter().enumerate() {
                    kernels[tap][j] = kernel[*source] * scale;
                }
            }
        }
        gathered
    }

    /// Transforms four kernels of row `i`.
    #[inline(always)]
    fn transform(&mut self, i: usize, j: usize, kernels: &KernelRow) {
        let tap =
            |tap: usize| Doubles(std::array::from_fn(|lane| f64::from(kernels[tap][j + lane])));
        let half: [_; 3] = std::array::from_fn(|x| kernel_line([tap(x), tap(3 + x), tap(6 + x)]));
        for y in 0..PATCH {
            let points = kernel_line(half.map(|column| column[y]));
            for (panel, point) in self.panels[y * PATCH..][..PATCH].iter_mut().zip(points) {
                let target = &mut panel[i * self.nr + j..][..4];
                target.copy_from_slice(&point.0.map(|value| value as f32));
            }
        }
    }
}

/// The tiles of a batch of results, counted through all images.
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a> {
    window: &'a Window,
    /// Rows and columns of tiles in an image.
    grid: [usize; 2],
    pub(super) count: usize,
}

impl<'a> Tiles<'a> {
    pub(super) fn new(window: &'a Window, batch: usize) -> Self {
        let grid = window.grid.map(|size| size.div_ceil(SIDE));
        Tiles { window, grid, count: batch * grid[0] * grid[1] }
    }

    /// Image, and the row and column of the first result of a tile.
    fn corner(&self, tile: usize) -> [usize; 3] {
        let (row, column) = (tile / self.grid[1], tile % self.grid[1]);
        [row / self.grid[0], row % self.grid[0] * SIDE, column * SIDE]
    }

    /// Offsets of the pixels under a tile in `[n, h, w, channels]`; none where padding lies.
    fn patch(&self, tile: usize) -> [Option<usize>; POINTS] {
        let [n, y, x] = self.corner(tile);
        let Window { first, image: [height, width], channels, .. } = *self.window;
        std::array::from_fn(|i| {
            let y = (y + i / PATCH).checked_add_signed(first[0]).filter(|y| *y < height)?;
            let x = (x + i % PATCH).checked_add_signed(first[1]).filter(|x| *x < width)?;
            Some(((n * height + y) * width + x) * channels)
        })
    }

    /// Numbers of the results of a tile; none where it stands out of the image.
    pub(super) fn results(&self, tile: usize) -> [Option<usize>; SIDE * SIDE] {
        let [n, y, x] = self.corner(tile);
        let [height, width] = self.window.grid;
        std::array::from_fn(|i| {
            let (y, x) = (y + i / SIDE, x + i % SIDE);
            (y < height && x < width).then_some((n * height + y) * width + x)
        })
    }
}

/// Transforms the channels of one patch; point `p` of channel c goes to `target(p, c)`.
struct TransformPatch<F> {
    pixels: [*const f32; POINTS],
    target: F,
}

impl<F: FnMut(usize) -> (*mut f32, usize)> PerChannel for TransformPatch<F> {
    #[inline(always)]
    unsafe fn at<V: Lanes>(&mut self, channel: usize) {
        let (target, step) = (self.target)(channel);
        // SAFETY: the pixels hold this vector of channels, and the target has room for it.
        unsafe {
            let pixel = |y: usize, x: usize| V::load(self.pixels[PATCH * y + x].add(channel));
            let patch = std::array::from_fn(|y| std::array::from_fn(|x| pixel(y, x)));
            let points = transform::<Image, V, PATCH, PATCH>(patch);
            for (p, point) in points.as_flattened().iter().enumerate() {
                point.store(target.add(p * step));
            }
        }
    }
}

/// Transforms the patches of some tiles.
pub(super) struct TransformImages<'a, F> {
    pub(super) images: &'a [f32],
    pub(super) tiles: Tiles<'a>,
    pub(super) range: Range<usize>,
    /// A pixel of padding.
    pub(super) zeros: &'a [f32],
    /// Where point 0 of (tile, channel) goes, and how far from it the next point lies.
    pub(super) target: F,
}

impl<F: FnMut(usize, usize) -> (*mut f32, usize)> Task for TransformImages<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let channels = self.tiles.window.channels;
        for (i, tile) in self.range.enumerate() {
            let pixel = |offset: usize| self.images[offset..][..channels].as_ptr();
            let pixels =
                self.tiles.patch(tile).map(|offset| offset.map_or(self.zeros.as_ptr(), pixel));
            let target = |channel| (self.target)(i, channel);
            // SAFETY: every pixel holds all channels, and the target was made for all tiles.
            unsafe { per_channel::<V>(channels, &mut TransformPatch { pixels, target }) };
        }
    }
}

/// Convolves `batch` images with [`kernels`].
///
/// # Safety
/// The output must hold the window's positions for `kernels.n` channels each, which no one else
/// reaches.
pub(super) unsafe fn correlate(
    isa: Isa,
    (images, batch): (&[f32], usize),
    window: &Window,
    kernels: &Packed,
    destination: Destination<'_>,
    epilogue: Option<&Epilogue<'_>>,
) {
    let [mr, _] = tile_size(isa);
    let tiles = Tiles::new(window, batch);
    let block = even_block(tiles.count, BLOCK_TILES, mr);
    let blocks = tiles.count.div_ceil(block);
    let groups = kernels.column_groups(rayon::current_num_threads().div_ceil(blocks));
    let zeros = vec![0.0; window.channels];
    (0..blocks * groups.len()).into_par_iter().with_max_len(1).for_each(|task| {
        let (first, columns) = (task / groups.len() * block, groups[task % groups.len()].clone());
        let range = first..(first + block).min(tiles.count);
        let part = Part { isa, images, tiles, kernels, zeros: &zeros, range, columns };
        // SAFETY: parts share no element of the output, for which the caller answers.
        unsafe { part.run(destination, epilogue) };
    });
}

/// Some tiles and channels of the result.
struct Part<'a> {
    isa: Isa,
    images: &'a [f32],
    tiles: Tiles<'a>,
    kernels: &'a Packed,
    zeros: &'a [f32],
    range: Range<usize>,
    columns: Range<usize>,
}

impl Part<'_> {
    unsafe fn run(self, destination: Destination<'_>, epilogue: Option<&Epilogue<'_>>) {
        let [mr, _] = tile_size(self.isa);
        let rows = self.range.len().next_multiple_of(mr);
        let point = odd_lines(self.kernels.k.div_ceil(KC) * rows * ROW);
        let width = self.columns.len();
        let products = POINTS * odd_lines(self.range.len() * width);
        with_scratch([POINTS * point, products], |transformed, products| {
            let target = |tile: usize, channel: usize| {
                let at = (channel / KC * rows + tile) * ROW + channel % KC;
                (transformed[at..][..(POINTS - 1) * point + 1].as_mut_ptr(), point)
            };
            dispatch(
                self.isa,
                TransformImages {
                    images: self.images,
                    tiles: self.tiles,
                    range: self.range.clone(),
                    zeros: self.zeros,
                    target,
                },
            );
            self.multiply(transformed, [rows, point], products);
            let results = TransformProducts { part: &self, products, destination, epilogue };
            dispatch(self.isa, results);
        });
    }

    /// The products `[tiles, columns]` of all points.
    fn multiply(&self, transformed: &[f32], [rows, point]: [usize; 2], products: &mut [f32]) {
        let width = self.columns.len();
        let tiles = self.range.len() * width;
        let products = products.chunks_exact_mut(odd_lines(tiles)).map(|point| &mut point[..tiles]);
        for (p, products) in products.enumerate() {
            let targets: Vec<*mut f32> =
                products.chunks_exact_mut(width).map(|row| row.as_mut_ptr()).collect();
            for (block, depth) in depth_blocks(self.kernels.k) {
                let a = &transformed[p * point + block * rows * ROW..][..rows * ROW];
                let multiply = Multiply {
                    k: depth.len(),
                    a: (a, Rows),
                    b: self.kernels.block(p, block, &self.columns),
                    rows: &targets,
                    columns: 0..width,
                    accumulate: block > 0,
                    finish: None,
                };
                // SAFETY: the rows are those of `products`, borrowed mutably here.
                unsafe { multiply.run_on(self.isa) };
            }
        }
    }
}

/// Transforms the products of a part into results.
struct TransformProducts<'a, 'b> {
    part: &'a Part<'a>,
    products: &'a [f32],
    destination: Destination<'b>,
    epilogue: Option<&'a Epilogue<'a>>,
}

impl Task for TransformProducts<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Part { tiles, kernels, range, columns, .. } = self.part;
        let Destination { output, accumulate, .. } = self.destination;
        let width = columns.len();
        for (i, tile) in range.clone().enumerate() {
            let results = tiles.results(tile);
            let row = |pixel: usize| output.pointer(pixel * kernels.n);
            let mut transform = TransformTile {
                products: self.products[i * width..].as_ptr(),
                step: odd_lines(range.len() * width),
                results: results
                    .map(|pixel| pixel.map(|pixel| row(pixel).wrapping_add(columns.start))),
                accumulate,
            };
            // SAFETY: products and output hold all columns of the part, which has them alone.
            unsafe {
                per_channel::<V>(width, &mut transform);
                if let Some(epilogue) = self.epilogue {
                    for pixel in results.into_iter().flatten() {
                        epilogue.apply_row::<V>(pixel, columns.clone(), row(pixel));
                    }
                }
            }
        }
    }
}

struct TransformTile {
    products: *const f32,
    /// Distance of the points.
    step: usize,
    results: [Option<*mut f32>; SIDE * SIDE],
    accumulate: bool,
}

impl PerChannel for TransformTile {
    #[inline(always)]
    unsafe fn at<V: Lanes>(&mut self, channel: usize) {
        // SAFETY: products and results hold this vector of channels.
        unsafe {
            let point = |p: usize| V::load(self.products.add(p * self.step + channel));
            let points = std::array::from_fn(|y| std::array::from_fn(|x| point(PATCH * y + x)));
            let values = transform::<Product, V, PATCH, SIDE>(points);
            for (result, value) in self.results.iter().zip(values.as_flattened()) {
                if let Some(result) = result {
                    let result = result.add(channel);
                    let value = if self.accumulate { V::load(result).add(*value) } else { *value };
                    value.store(result);
                }
            }
        }
    }
}
