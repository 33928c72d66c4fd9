//! Mean and variance of the channels of a convolution's result, taken while it is near the core: the
//! batch norm that follows need not read it once more for them.
//!
//! A result is divided into leaves, a few pixels each. How many depends on its shape alone, and they
//! are merged in order: equal inputs give equal bits, whatever the number of threads.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::lanes::{Lanes, vectorized};
use super::storage::{Output, SharedOutput};

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
}

/// The moments of a map on their way from the convolution to the batch norm.
#[derive(Clone, Debug, Default)]
pub(super) struct MomentsLink(Arc<Mutex<Option<Moments>>>);

impl MomentsLink {
    pub(super) fn leave(&self, moments: Moments) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(moments);
    }

    pub(super) fn take(&self) -> Option<Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Moments of every leaf: its mean and the sum of squared distances from it.
pub(super) struct Leaves {
    /// `[leaves, 2, channels]`
    values: Output,
    /// Units of a leaf; a unit is a pixel or a tile of them.
    size: usize,
    channels: usize,
}

impl Leaves {
    /// Leaves of `size` units each, but for the last, that make up `units`.
    pub(super) fn new(units: usize, size: usize, channels: usize) -> Self {
        Self { values: Output::new(units.div_ceil(size) * 2 * channels), size, channels }
    }

    /// A handle for the tasks of a parallel loop.
    pub(super) fn share(&mut self) -> SharedLeaves<'_> {
        SharedLeaves { values: self.values.share(), size: self.size, channels: self.channels }
    }

    /// The moments of all leaves together; leaf i has `pixels(i)`.
    ///
    /// # Safety
    /// Every leaf must have been measured, for all channels.
    pub(super) unsafe fn merge(self, pixels: impl Fn(usize) -> usize) -> Moments {
        /// Channels of a task.
        const PART: usize = 128;
        let channels = self.channels;
        // SAFETY: passed on to the caller.
        let values = unsafe { self.values.into_values() };
        let counts: Vec<f64> =
            (0..values.len() / (2 * channels)).map(|leaf| pixels(leaf) as f64).collect();
        let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
        let parts = mean.par_chunks_mut(PART).zip(variance.par_chunks_mut(PART));
        parts.enumerate().for_each(|(i, (mean, variance))| {
            vectorized(|| merge_channels(&values[i * PART..], channels, &counts, mean, variance));
        });
        Moments { mean, variance }
    }
}

/// Merges the leaves of some channels in double precision: a leaf adds its squares and, for each of
/// its pixels, the distance of its mean from that of the first leaf.
#[inline(always)]
fn merge_channels(
    leaves: &[f32],
    channels: usize,
    counts: &[f64],
    mean: &mut [f32],
    variance: &mut [f32],
) {
    let center = &leaves[..mean.len()];
    let (mut sums, mut squares) = (vec![0.0f64; mean.len()], vec![0.0f64; mean.len()]);
    for (leaf, count) in leaves.chunks(2 * channels).zip(counts) {
        let (means, distances) = (&leaf[..mean.len()], &leaf[channels..][..mean.len()]);
        let totals = sums.iter_mut().zip(&mut squares);
        for (((sum, square), center), (mean, own)) in
            totals.zip(center).zip(means.iter().zip(distances))
        {
            let delta = f64::from(*mean) - f64::from(*center);
            *sum += count * delta;
            *square += f64::from(*own) + count * delta * delta;
        }
    }
    let total: f64 = counts.iter().sum();
    for (c, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        let delta = sums[c] / total;
        *mean = (f64::from(center[c]) + delta) as f32;
        *variance = ((squares[c] / total - delta * delta).max(0.0)) as f32;
    }
}

/// Access to [`Leaves`] from the tasks of a parallel loop.
#[derive(Clone, Copy)]
pub(super) struct SharedLeaves<'a> {
    values: SharedOutput<'a>,
    pub(super) size: usize,
    channels: usize,
}

impl SharedLeaves<'_> {
    /// Measures some channels of the pixels of a leaf, which start at `rows`.
    ///
    /// # Safety
    /// The rows must be valid for the channels, no one else may measure these channels of the leaf,
    /// and the machine must have the unit of `V`.
    #[inline(always)]
    pub(super) unsafe fn measure<V: Lanes>(
        self,
        leaf: usize,
        rows: &[*mut f32],
        channels: Range<usize>,
    ) {
        /// Vectors at once: sums that do not wait for each other.
        const PANEL: usize = 4;
        let start = self.values.pointer(leaf * 2 * self.channels);
        self.values.pointer(leaf * 2 * self.channels + self.channels + channels.end);
        let targets = [start, start.wrapping_add(self.channels)];
        let Range { start: mut channel, end } = channels;
        // SAFETY: the targets reach to the last channel, as checked above; the rest is passed on.
        unsafe {
            while channel + PANEL * V::LEN <= end {
                measure_panel::<V, PANEL>(rows, channel, targets);
                channel += PANEL * V::LEN;
            }
            while channel + V::LEN <= end {
                measure_panel::<V, 1>(rows, channel, targets);
                channel += V::LEN;
            }
            for channel in channel..end {
                measure_panel::<f32, 1>(rows, channel, targets);
            }
        }
    }
}

/// Moments of `N` vectors of channels: their mean first, then the distances from it, whose sum makes
/// up for the rounding of the mean.
#[inline(always)]
unsafe fn measure_panel<V: Lanes, const N: usize>(
    rows: &[*mut f32],
    channel: usize,
    [mean, distances]: [*mut f32; 2],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let load = |row: *mut f32, j: usize| V::load(row.add(channel + j * V::LEN));
        let share = V::splat(1.0 / rows.len() as f32);
        let mut center = [V::splat(0.0); N];
        for row in rows {
            for (j, sum) in center.iter_mut().enumerate() {
                *sum = sum.add(load(*row, j));
            }
        }
        center = center.map(|sum| sum.mul(share));
        let (mut sums, mut squares) = ([V::splat(0.0); N], [V::splat(0.0); N]);
        for row in rows {
            for j in 0..N {
                let delta = load(*row, j).sub(center[j]);
                sums[j] = sums[j].add(delta);
                squares[j] = squares[j].mul_add(delta, delta);
            }
        }
        for j in 0..N {
            let (at, delta) = (channel + j * V::LEN, sums[j].mul(share));
            center[j].add(delta).store(mean.add(at));
            squares[j].sub(sums[j].mul(delta)).store(distances.add(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::conv::{forward, forward_measured, prepare};
    use super::super::conv_shape::ConvShape;
    use super::super::epilogue::After;
    use super::super::lanes::Isa;
    use super::super::testing::{assert_close, values};
    use super::Moments;

    /// The definition, in double precision: mean and biased variance of every channel.
    fn definition(map: &[f32], channels: usize) -> [Vec<f64>; 2] {
        let pixels = (map.len() / channels) as f64;
        let channel = |c: usize| map[c..].iter().step_by(channels).map(|x| f64::from(*x));
        let mean: Vec<f64> = (0..channels).map(|c| channel(c).sum::<f64>() / pixels).collect();
        let square = |c: usize| channel(c).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / pixels;
        let variance = (0..channels).map(square).collect();
        [mean, variance]
    }

    fn check(shape: &ConvShape, depthwise: bool, offset: f32, tolerance: f64) {
        let inputs = if depthwise { 1 } else { shape.channels_in };
        let mut images = values(shape.pixels_in() * shape.channels_in, 1);
        images.iter_mut().for_each(|x| *x += offset);
        let weight = values(shape.channels_out * inputs * shape.taps(), 2);
        for isa in Isa::available() {
            let weight = prepare(isa, shape, &weight, depthwise, None);
            let (map, Moments { mean, variance }) = forward_measured(isa, shape, &images, &weight);
            let what = format!("{isa:?}, {shape:?}, depthwise {depthwise}");
            assert!(map == forward(isa, shape, &images, &weight, After::Nothing), "map, {what}");
            let expected = definition(&map, shape.channels_out);
            for ((actual, expected), name) in
                [mean, variance].iter().zip(&expected).zip(["mean", "variance"])
            {
                let actual: Vec<f64> = actual.iter().map(|x| f64::from(*x)).collect();
                assert_close(&actual, expected, tolerance, &format!("{name}, {what}"));
            }
        }
    }

    proptest! {
        #[test]
        fn every_vector_unit_agrees_with_the_definition(
            batch in 1usize..5,
            channels in [1usize..70, 1..70],
            size in [1usize..18, 1..18],
            kernel in prop::sample::select(vec![1usize, 3]),
            stride in 1usize..3,
            depthwise in any::<bool>(),
        ) {
            let [ci, co] = if depthwise { [channels[0]; 2] } else { channels };
            let image = [batch, ci, size[0], size[1]];
            let shape = ConvShape::new(image, co, [kernel; 2], [stride; 2], [kernel / 2; 2]);
            check(&shape, depthwise, 0.0, 1e-6);
        }
    }

    #[test]
    fn tiles_that_stand_out_and_many_leaves_are_measured() {
        let winograd = |size| ConvShape::new(size, 50, [3, 3], [1, 1], [1, 1]);
        check(&winograd([3, 35, 13, 9]), false, 0.0, 1e-6);
        check(&winograd([2, 40, 64, 32]), false, 0.0, 1e-6);
        check(&ConvShape::new([3, 20, 90, 50], 40, [1, 1], [1, 1], [0, 0]), false, 0.0, 1e-6);
    }

    #[test]
    fn a_large_offset_does_not_spoil_the_variance() {
        let shape = ConvShape::new([4, 9, 16, 16], 9, [1, 1], [1, 1], [0, 0]);
        check(&shape, true, 256.0, 2e-6);
        check(&shape, false, 256.0, 2e-6);
    }

    #[test]
    fn threads_change_no_bit() {
        for shape in [
            ConvShape::new([3, 40, 64, 32], 70, [1, 1], [1, 1], [0, 0]),
            ConvShape::new([3, 40, 64, 32], 70, [3, 3], [1, 1], [1, 1]),
            ConvShape::new([1, 40, 4, 4], 200, [1, 1], [1, 1], [0, 0]),
        ] {
            let images = values(shape.pixels_in() * shape.channels_in, 1);
            let weight = values(shape.channels_out * shape.channels_in * shape.taps(), 2);
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let isa = Isa::chosen();
                    let weight = prepare(isa, &shape, &weight, false, None);
                    let (_, moments) = forward_measured(isa, &shape, &images, &weight);
                    [moments.mean, moments.variance]
                })
            };
            let one = run(1);
            for threads in [2, 3, 7] {
                assert_eq!(run(threads), one, "{threads} threads, {shape:?}");
            }
        }
    }
}
