//! Batch normalisation of a channels-last feature map by the statistics of the batch, followed by a
//! shortcut and an activation; and its gradients.
//!
//! Pixels are summed in blocks in single precision, and the blocks in order in double precision:
//! equal inputs give equal bits, whatever the number of threads.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::channels_last::ChannelsLast;
use super::epilogue::Activation;
use super::lanes::vectorized;
use super::storage::{Output, tensor};

/// Elements of a block: what stays near the core between two passes.
const BLOCK: usize = 1 << 16;

/// Mean and variance of each channel.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    pub(super) mean: Vec<f32>,
    /// Biased.
    pub(super) variance: Vec<f32>,
    pub(super) epsilon: f64,
}

impl Statistics {
    fn inverse_std(&self, channel: usize) -> f64 {
        1.0 / (f64::from(self.variance[channel]) + self.epsilon).sqrt()
    }

    /// Mean and variance as tensors `[c]`.
    pub(super) fn tensors(&self) -> [FlexTensor; 2] {
        [&self.mean, &self.variance].map(|values| tensor(values.clone(), [values.len()]))
    }

    /// `gamma / std`
    fn scale(&self, gamma: &[f32]) -> Vec<f32> {
        let scale = |(c, gamma): (usize, &f32)| (f64::from(*gamma) * self.inverse_std(c)) as f32;
        gamma.iter().enumerate().map(scale).collect()
    }
}

/// What the result is made of besides the map.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) activation: Activation,
}

/// Elements of a block of whole pixels.
fn block_len(channels: usize) -> usize {
    (BLOCK / channels).max(1) * channels
}

/// Mean and biased variance of every channel of `[pixels, channels]`.
pub(super) fn statistics(x: &[f32], channels: usize, epsilon: f64) -> Statistics {
    let blocks: Vec<_> =
        x.par_chunks(block_len(channels)).map(|block| moments(block, channels)).collect();
    let (mut mean, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    let mut count = 0.0;
    // Chan, Golub and LeVeque 1979: the moments of two sets from those of each.
    for ([block_mean, block_squares], block) in blocks.iter().zip(x.chunks(block_len(channels))) {
        let pixels = (block.len() / channels) as f64;
        let total = count + pixels;
        let share = pixels / total;
        let sums = mean.iter_mut().zip(&mut squares);
        for ((mean, squares), (other, others)) in sums.zip(block_mean.iter().zip(block_squares)) {
            let delta = other - *mean;
            *mean += delta * share;
            *squares += others + delta * delta * (count * share);
        }
        count = total;
    }
    Statistics {
        mean: mean.into_iter().map(|mean| mean as f32).collect(),
        variance: squares.into_iter().map(|squares| (squares / count) as f32).collect(),
        epsilon,
    }
}

/// Mean and sum of squared distances from it, of every channel of a block.
fn moments(block: &[f32], channels: usize) -> [Vec<f64>; 2] {
    let mut sums = Sums::new(channels);
    vectorized(|| {
        for pixel in block.chunks_exact(channels) {
            sums.add(|sums| sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x));
        }
    });
    let pixels = (block.len() / channels) as f64;
    let mean: Vec<f64> = sums.total().into_iter().map(|sum| sum / pixels).collect();
    let center: Vec<f32> = mean.iter().map(|mean| *mean as f32).collect();
    let mut sums = Sums::new(channels);
    vectorized(|| {
        for pixel in block.chunks_exact(channels) {
            sums.add(|sums| {
                for ((sum, x), mean) in sums.iter_mut().zip(pixel).zip(&center) {
                    *sum += (x - mean) * (x - mean);
                }
            });
        }
    });
    [mean, sums.total()]
}

/// Sums over pixels: a few in single precision, then these in double.
struct Sums {
    few: Vec<f32>,
    pixels: usize,
    total: Vec<f64>,
}

impl Sums {
    /// Pixels summed in single precision.
    const FEW: usize = 32;

    fn new(len: usize) -> Self {
        Self { few: vec![0.0; len], pixels: 0, total: vec![0.0; len] }
    }

    /// Lets `add` add a pixel.
    #[inline(always)]
    fn add(&mut self, add: impl FnOnce(&mut [f32])) {
        add(&mut self.few);
        self.pixels += 1;
        if self.pixels.is_multiple_of(Self::FEW) {
            self.carry();
        }
    }

    #[inline(always)]
    fn carry(&mut self) {
        for (total, few) in self.total.iter_mut().zip(&mut self.few) {
            *total += f64::from(*few);
            *few = 0.0;
        }
    }

    fn total(mut self) -> Vec<f64> {
        self.carry();
        self.total
    }
}

/// `activation(normalised x + shortcut)`
pub(super) fn apply(
    x: &[f32],
    statistics: &Statistics,
    affine: Affine<'_>,
    shortcut: Option<&[f32]>,
) -> Vec<f32> {
    let (channels, scale) = (affine.gamma.len(), statistics.scale(affine.gamma));
    let per_channel = || statistics.mean.iter().zip(&scale).zip(affine.beta);
    let len = block_len(channels);
    let mut output = Output::new(x.len());
    let blocks = output.as_mut_slice().par_chunks_mut(len).zip(x.par_chunks(len));
    blocks.enumerate().for_each(|(i, (targets, x))| {
        let pixels = targets.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
        let shortcut = shortcut.map(|shortcut| &shortcut[i * len..][..x.len()]);
        vectorized(|| match shortcut {
            None => pixels.for_each(|(targets, x)| {
                for ((target, x), ((mean, scale), beta)) in
                    targets.iter_mut().zip(x).zip(per_channel())
                {
                    target.write(affine.activation.of((x - mean) * scale + beta));
                }
            }),
            Some(shortcut) => {
                pixels.zip(shortcut.chunks_exact(channels)).for_each(|((targets, x), shortcut)| {
                    let values = targets.iter_mut().zip(x).zip(shortcut);
                    for (((target, x), shortcut), ((mean, scale), beta)) in
                        values.zip(per_channel())
                    {
                        let value = (x - mean) * scale + beta + shortcut;
                        target.write(affine.activation.of(value));
                    }
                });
            }
        });
    });
    // SAFETY: the blocks of `x` cover the output, which is as long.
    unsafe { output.into_values() }
}

/// Gradients of the map, gamma and beta, and of the shortcut if there was one.
pub(super) struct Gradients {
    pub(super) x: ChannelsLast,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    pub(super) shortcut: Option<ChannelsLast>,
}

/// Gradients from that of the result, `dy`. With a shortcut the result itself tells where the
/// activation passed; without one it is computed again.
pub(super) fn backward(
    x: &ChannelsLast,
    statistics: &Statistics,
    affine: Affine<'_>,
    result: Option<&ChannelsLast>,
    dy: ChannelsLast,
) -> Gradients {
    let pass =
        Backward { x: x.values(), statistics, affine, scale: statistics.scale(affine.gamma) };
    match (result, affine.activation) {
        (Some(result), activation) => {
            let masked = mask(dy, result.values(), activation);
            let again = masked.share();
            Gradients { shortcut: Some(masked), ..pass.run(again, |_| true) }
        }
        (None, Activation::Identity) => pass.run(dy, |_| true),
        (None, Activation::Relu) => pass.run(dy, |y| Activation::Relu.passes(y)),
        (None, Activation::Relu6) => pass.run(dy, |y| Activation::Relu6.passes(y)),
    }
}

/// `dy` where the activation passed, else zero.
fn mask(dy: ChannelsLast, result: &[f32], activation: Activation) -> ChannelsLast {
    match activation {
        Activation::Identity => dy,
        Activation::Relu => mask_by(dy, result, |y| Activation::Relu.passes(y)),
        Activation::Relu6 => mask_by(dy, result, |y| Activation::Relu6.passes(y)),
    }
}

fn mask_by(
    dy: ChannelsLast,
    result: &[f32],
    passes: impl Fn(f32) -> bool + Copy + Sync,
) -> ChannelsLast {
    dy.map_with(BLOCK, |i, dy| {
        let result = &result[i * BLOCK..][..dy.len()];
        vectorized(|| {
            for (dy, y) in dy.iter_mut().zip(result) {
                *dy = if passes(*y) { *dy } else { 0.0 };
            }
        });
    })
}

struct Backward<'a> {
    x: &'a [f32],
    statistics: &'a Statistics,
    affine: Affine<'a>,
    scale: Vec<f32>,
}

impl Backward<'_> {
    /// All gradients but the shortcut's, where dy counts only where `passes(y)`.
    fn run(&self, dy: ChannelsLast, passes: impl Fn(f32) -> bool + Copy + Sync) -> Gradients {
        let [beta, gamma] = self.sums(dy.values(), passes);
        let x = self.input(dy, [&beta, &gamma], passes);
        Gradients { x, gamma, beta, shortcut: None }
    }

    /// Per channel the sums of dy and of dy · x̂, where x̂ = (x − mean) / std.
    fn sums(&self, dy: &[f32], passes: impl Fn(f32) -> bool + Copy + Sync) -> [Vec<f32>; 2] {
        let channels = self.scale.len();
        let len = block_len(channels);
        let blocks: Vec<_> = (self.x.par_chunks(len).zip(dy.par_chunks(len)))
            .map(|(x, dy)| self.block_sums(x, dy, passes))
            .collect();
        let mut total = vec![0.0f64; 2 * channels];
        for sums in &blocks {
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        let dot = |c: usize| (total[channels + c] * self.statistics.inverse_std(c)) as f32;
        [(0..channels).map(|c| total[c] as f32).collect(), (0..channels).map(dot).collect()]
    }

    /// Sums of dy, then those of dy · (x − mean), over a block.
    fn block_sums(&self, x: &[f32], dy: &[f32], passes: impl Fn(f32) -> bool + Copy) -> Vec<f64> {
        let channels = self.scale.len();
        let [mean, scale, beta] = self.per_channel();
        let mut sums = Sums::new(2 * channels);
        vectorized(|| {
            for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                sums.add(|sums| {
                    let (sums, dots) = sums.split_at_mut(channels);
                    let dots = &mut dots[..channels];
                    for c in 0..channels {
                        let centered = x[c] - mean[c];
                        // Loaded first: a conditional load would not be vectorised.
                        let dy = dy[c];
                        let dy = if passes(centered * scale[c] + beta[c]) { dy } else { 0.0 };
                        sums[c] += dy;
                        dots[c] += dy * centered;
                    }
                });
            }
        });
        sums.total()
    }

    /// Mean, scale and beta.
    fn per_channel(&self) -> [&[f32]; 3] {
        let channels = self.scale.len();
        [&self.statistics.mean[..channels], &self.scale[..], &self.affine.beta[..channels]]
    }

    /// `scale · (dy − mean(dy) − x̂ · mean(dy · x̂))`, in place where nothing else holds dy.
    fn input(
        &self,
        dy: ChannelsLast,
        [sum, dot]: [&[f32]; 2],
        passes: impl Fn(f32) -> bool + Copy + Sync,
    ) -> ChannelsLast {
        let channels = self.scale.len();
        let [mean, scale, beta] = self.per_channel();
        let pixels = (self.x.len() / channels) as f64;
        let mean_dy: Vec<f32> = sum.iter().map(|sum| (f64::from(*sum) / pixels) as f32).collect();
        let slope = |(c, dot): (usize, &f32)| {
            (f64::from(*dot) / pixels * self.statistics.inverse_std(c)) as f32
        };
        let slope: Vec<f32> = dot.iter().enumerate().map(slope).collect();
        let len = block_len(channels);
        dy.map_with(len, |i, dy| {
            let x = &self.x[i * len..][..dy.len()];
            let (mean_dy, slope) = (&mean_dy[..channels], &slope[..channels]);
            vectorized(|| {
                for (dy, x) in dy.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        let centered = x[c] - mean[c];
                        let value = dy[c];
                        let value = if passes(centered * scale[c] + beta[c]) { value } else { 0.0 };
                        dy[c] = scale[c] * (value - mean_dy[c] - centered * slope[c]);
                    }
                }
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use proptest::prelude::*;

    use super::super::testing::{assert_close, elements, random};
    use super::super::{Activation, Normalization, batch_norm};

    const EPSILON: f64 = 1e-5;

    /// Result, mean, variance and the gradients of all inputs, for a random linear loss.
    fn run(
        shape: [usize; 4],
        shortcut: bool,
        norm: impl Fn(Tensor<4>, [Tensor<1>; 2], Option<Tensor<4>>) -> (Tensor<4>, Tensor<1>, Tensor<1>),
    ) -> Vec<Vec<f64>> {
        let device = Device::flex().autodiff();
        let x = (random(shape, 1, &device) * 3.0 + 1.0).detach().require_grad();
        let vectors = [2, 3].map(|seed| random([shape[1]], seed, &device).require_grad());
        let added = shortcut.then(|| random(shape, 4, &device).require_grad());
        let (y, mean, variance) = norm(x.clone(), vectors.clone(), added.clone());
        let grads = (y.clone() * random(shape, 5, &device)).sum().backward();
        let mut all = vec![elements(&y), elements(&mean), elements(&variance)];
        all.push(elements(&x.grad(&grads).unwrap()));
        all.extend(vectors.map(|vector| elements(&vector.grad(&grads).unwrap())));
        all.extend(added.map(|added| elements(&added.grad(&grads).unwrap())));
        all
    }

    /// The formula, of Burn's elementwise operations in double precision.
    fn formula(
        x: Tensor<4>,
        [gamma, beta]: [Tensor<1>; 2],
        shortcut: Option<Tensor<4>>,
        activation: Activation,
    ) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
        use burn::tensor::DType::F64;
        let [n, c, h, w] = x.dims();
        let rows = x.cast(F64).swap_dims(0, 1).reshape([c, n * h * w]);
        let mean = rows.clone().mean_dim(1);
        let centered = rows - mean.clone();
        let variance = centered.clone().powf_scalar(2.0).mean_dim(1);
        let normal = centered / (variance.clone() + EPSILON).sqrt();
        let column = |vector: Tensor<1>| vector.cast(F64).reshape([c, 1]);
        let y = normal * column(gamma) + column(beta);
        let y = y.reshape([c, n, h, w]).swap_dims(0, 1);
        let y = shortcut.map_or(y.clone(), |shortcut| y + shortcut.cast(F64));
        let y = match activation {
            Activation::Identity => y,
            Activation::Relu => y.clamp_min(0.0),
            Activation::Relu6 => y.clamp(0.0, 6.0),
        };
        (y.cast(burn::tensor::DType::F32), mean.reshape([c]), variance.reshape([c]))
    }

    fn check(shape: [usize; 4], shortcut: bool, activation: Activation) {
        let how = Normalization { epsilon: EPSILON, activation };
        let actual = run(shape, shortcut, |x, vectors, added| {
            batch_norm(x, vectors, added.map(|added| (added, None)), how)
        });
        let expected = run(shape, shortcut, |x, vectors, added| {
            let (y, mean, variance) = formula(x, vectors, added, activation);
            (y, mean, variance)
        });
        let names = ["result", "mean", "variance", "x", "gamma", "beta", "shortcut"];
        for ((actual, expected), name) in actual.iter().zip(&expected).zip(names) {
            let what = format!("{name} of {shape:?}, shortcut {shortcut}, {activation:?}");
            assert_close(actual, expected, 2e-5, &what);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_formula_in_double_precision(
            shape in [2usize..5, 1..40, 2..6, 2..6],
            shortcut in any::<bool>(),
            activation in prop::sample::select(
                vec![Activation::Identity, Activation::Relu, Activation::Relu6],
            ),
        ) {
            check(shape, shortcut, activation);
        }
    }

    #[test]
    fn blocks_are_merged_as_one_set() {
        check([9, 3, 160, 150], true, Activation::Relu);
    }

    #[test]
    fn a_large_offset_does_not_spoil_the_variance() {
        let device = Device::flex();
        let x = random([8, 2, 16, 16], 1, &device);
        let vectors = [Tensor::ones([2], &device), Tensor::zeros([2], &device)];
        let how = Normalization { epsilon: EPSILON, activation: Activation::Identity };
        let (_, _, plain) = batch_norm(x.clone(), vectors.clone(), None, how);
        let (_, mean, moved) = batch_norm(x + 256.0, vectors, None, how);
        assert!((elements(&mean)[0] - 256.0).abs() < 0.1);
        assert_close(&elements(&moved), &elements(&plain), 1e-4, "variance");
    }

    #[test]
    fn frozen_inputs_get_no_gradient() {
        let device = Device::flex().autodiff();
        let x = random([2, 3, 2, 2], 1, &device);
        let (gamma, beta) = (random([3], 2, &device).require_grad(), random([3], 3, &device));
        let how = Normalization { epsilon: EPSILON, activation: Activation::Identity };
        let (y, mean, _) = batch_norm(x.clone(), [gamma.clone(), beta.clone()], None, how);
        assert!(!mean.is_require_grad());
        let grads = y.powf_scalar(2.0).sum().backward();
        assert!(gamma.grad(&grads).is_some());
        assert!(x.grad(&grads).is_none() && beta.grad(&grads).is_none());
    }

    #[test]
    fn repeats_bit_for_bit() {
        let how = Normalization { epsilon: EPSILON, activation: Activation::Relu };
        let once = || {
            run([5, 7, 9, 11], true, |x, vectors, added| {
                batch_norm(x, vectors, added.map(|added| (added, None)), how)
            })
        };
        assert_eq!(once(), once());
    }
}
