//! Convolution of every channel with a kernel of its own.

use rayon::prelude::*;

use super::conv_shape::ConvShape;
use super::correlate::Destination;
use super::epilogue::Epilogue;
use super::lanes::{Isa, Lanes, Task, dispatch};
use super::storage::{filled, written};
use super::window::{Position, Window};

/// Positions of one task.
const BLOCK: usize = 256;

/// Some taps of weight `[c, 1, kh, kw]`, in the order given: `[taps, c]`.
pub(super) fn by_tap(
    weight: &[f32],
    taps: &[usize],
    shape: &ConvShape,
    scale: Option<&[f32]>,
) -> Vec<f32> {
    let of_tap = |tap: &usize| {
        let values = weight[*tap..].iter().step_by(shape.taps()).enumerate();
        values.map(|(channel, value)| value * scale.map_or(1.0, |scale| scale[channel]))
    };
    taps.iter().flat_map(|tap| of_tap(tap).collect::<Vec<_>>()).collect()
}

/// The pixels under a window that are no padding: tap and offset of the pixel's values.
fn taps(window: &Window, position: Position) -> impl Iterator<Item = (usize, usize)> {
    let Window { step, first, size, image: [height, width], channels, .. } = *window;
    (0..size[0] * size[1]).filter_map(move |tap| {
        let y = (position.y * step[0] + tap / size[1]).checked_add_signed(first[0]);
        let x = (position.x * step[1] + tap % size[1]).checked_add_signed(first[1]);
        let (y, x) = (y.filter(|y| *y < height)?, x.filter(|x| *x < width)?);
        Some((tap, ((position.n * height + y) * width + x) * channels))
    })
}

/// Multiplies the pixels under the window with `weight` (`[taps, c]`), channel by channel.
///
/// # Safety
/// The output must hold the pixels of the target, which no one else reaches.
pub(super) unsafe fn correlate(
    isa: Isa,
    (images, batch): (&[f32], usize),
    window: &Window,
    weight: &[f32],
    Destination { output, target, accumulate }: Destination<'_>,
    epilogue: Option<&Epilogue<'_>>,
) {
    let positions = batch * window.positions();
    (0..positions.div_ceil(BLOCK)).into_par_iter().for_each(|block| {
        let range = block * BLOCK..(block * BLOCK + BLOCK).min(positions);
        for position in window.walk(range) {
            let pixel = target.pixel(position);
            // SAFETY: the pixel belongs to this position, and the caller answers for the output.
            let values = unsafe { output.slice(pixel * window.channels, window.channels) };
            // SAFETY: what is added to has been written.
            let sums = if accumulate { unsafe { written(values) } } else { filled(values, 0.0) };
            let after = epilogue.map(|epilogue| (epilogue, pixel));
            dispatch(isa, Products { images, window, weight, position, sums, after });
        }
    });
}

struct Products<'a> {
    images: &'a [f32],
    window: &'a Window,
    weight: &'a [f32],
    position: Position,
    sums: &'a mut [f32],
    after: Option<(&'a Epilogue<'a>, usize)>,
}

impl Task for Products<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let channels = self.sums.len();
        for (tap, offset) in taps(self.window, self.position) {
            let pixel = &self.images[offset..][..channels];
            let weight = &self.weight[tap * channels..][..channels];
            for ((sum, pixel), weight) in self.sums.iter_mut().zip(pixel).zip(weight) {
                *sum += pixel * weight;
            }
        }
        if let Some((epilogue, pixel)) = self.after {
            // SAFETY: the sums are all channels of the pixel.
            unsafe { epilogue.apply_row::<V>(pixel, 0..channels, self.sums.as_mut_ptr()) };
        }
    }
}

/// Gradient of weight `[c, 1, kh, kw]`. Blocks of positions are summed in order.
pub(super) fn weight_gradient(isa: Isa, images: &[f32], window: &Window, dz: &[f32]) -> Vec<f32> {
    let channels = window.channels;
    let (positions, len) = (dz.len() / channels, window.depth());
    let block = positions.div_ceil(32).max(BLOCK);
    let sums: Vec<Vec<f32>> = (0..positions.div_ceil(block))
        .into_par_iter()
        .map(|part| {
            let mut sums = vec![0.0f32; len];
            let range = part * block..(part * block + block).min(positions);
            for (position, dz) in
                window.walk(range.clone()).zip(dz[range.start * channels..].chunks_exact(channels))
            {
                dispatch(isa, WeightProducts { images, window, position, dz, sums: &mut sums });
            }
            sums
        })
        .collect();
    let taps = len / channels;
    let total = |i: usize| {
        let (channel, tap) = (i / taps, i % taps);
        sums.iter().map(|sums| sums[tap * channels + channel]).sum()
    };
    (0..len).map(total).collect()
}

struct WeightProducts<'a> {
    images: &'a [f32],
    window: &'a Window,
    position: Position,
    dz: &'a [f32],
    /// `[taps, c]`
    sums: &'a mut [f32],
}

impl Task for WeightProducts<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let channels = self.dz.len();
        for (tap, offset) in taps(self.window, self.position) {
            let pixel = &self.images[offset..][..channels];
            let sums = &mut self.sums[tap * channels..][..channels];
            for ((sum, pixel), dz) in sums.iter_mut().zip(pixel).zip(self.dz) {
                *sum += pixel * dz;
            }
        }
    }
}
