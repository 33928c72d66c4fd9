//! Batch normalisation of `[n, c, h, w]` (or `[n, c, 1, 1]`) in as few passes as its sums allow.
//!
//! A task owns one channel: it reads the channel's planes for each sum, then writes them. A channel
//! usually fits the cache of its core, so memory is read once and written once. Sums run over the
//! planes in order, in f32 lanes inside a plane and f64 between planes.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::simd::vectorized;
use super::storage::{Output, SharedOutput, dims, tensor};

/// Independent partial sums of one plane: they vectorise, and their order is fixed.
const LANES: usize = 16;

/// Planes of a contiguous `[n, c, h, w]` tensor.
#[derive(Clone, Copy)]
struct Planes {
    batch: usize,
    channels: usize,
    pixels: usize,
}

impl Planes {
    fn of(tensor: &FlexTensor) -> Self {
        let [batch, channels, height, width] = dims(tensor);
        Self { batch, channels, pixels: height * width }
    }

    fn len(self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Values of one channel, as a divisor.
    fn per_channel(self) -> f64 {
        (self.batch * self.pixels) as f64
    }

    /// Where the planes of a channel start.
    fn starts(self, channel: usize) -> impl Iterator<Item = usize> {
        (0..self.batch).map(move |n| (n * self.channels + channel) * self.pixels)
    }

    /// Sums of `term` over the values of a channel in `a` and `b`.
    fn sums(
        self,
        channel: usize,
        a: &[f32],
        b: &[f32],
        term: impl Fn(f32, f32) -> [f32; 2] + Copy,
    ) -> [f64; 2] {
        let mut total = [0.0; 2];
        for start in self.starts(channel) {
            let plane = start..start + self.pixels;
            let [first, second] = vectorized(|| lane_sums(&a[plane.clone()], &b[plane], term));
            total[0] += f64::from(first);
            total[1] += f64::from(second);
        }
        total
    }

    /// Writes `value(a, b)` for the values of a channel.
    ///
    /// # Safety
    /// No other task may reach the channel's planes in `output`.
    unsafe fn write(
        self,
        channel: usize,
        [a, b]: [&[f32]; 2],
        output: SharedOutput<'_>,
        value: impl Fn(f32, f32) -> f32 + Copy,
    ) {
        for start in self.starts(channel) {
            // SAFETY: passed on to the caller.
            let plane = unsafe { output.slice(start, self.pixels) };
            let sources = a[start..][..self.pixels].iter().zip(&b[start..][..self.pixels]);
            vectorized(|| {
                for (target, (a, b)) in plane.iter_mut().zip(sources) {
                    target.write(value(*a, *b));
                }
            });
        }
    }
}

#[inline(always)]
fn lane_sums(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> [f32; 2]) -> [f32; 2] {
    let mut lanes = [[0.0f32; LANES]; 2];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            let [first, second] = term(a[lane], b[lane]);
            lanes[0][lane] += first;
            lanes[1][lane] += second;
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        let [first, second] = term(*a, *b);
        lanes[0][lane] += first;
        lanes[1][lane] += second;
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// Result of [`train`].
pub(super) struct Normalized {
    pub(super) output: FlexTensor,
    /// Mean of the batch `[c]`.
    pub(super) mean: FlexTensor,
    /// Biased variance of the batch `[c]`.
    pub(super) variance: FlexTensor,
}

/// Normalises `x` by the statistics of the batch.
pub(super) fn train(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f64,
) -> Normalized {
    let planes = Planes::of(x);
    let (x, gamma, beta) = (x.to_contiguous(), gamma.to_contiguous(), beta.to_contiguous());
    let (values, gamma, beta) = (x.storage::<f32>(), gamma.storage::<f32>(), beta.storage::<f32>());
    let mut output = Output::new(planes.len());
    let shared = output.share();
    let statistics: Vec<(f32, f32)> = (0..planes.channels)
        .into_par_iter()
        .map(|c| {
            let [sum, _] = planes.sums(c, values, values, |x, _| [x, 0.0]);
            let mean = (sum / planes.per_channel()) as f32;
            let [squares, _] =
                planes.sums(c, values, values, |x, _| [(x - mean) * (x - mean), 0.0]);
            let variance = squares / planes.per_channel();
            let scale = (f64::from(gamma[c]) / (variance + epsilon).sqrt()) as f32;
            // SAFETY: the channel belongs to this task.
            unsafe {
                planes.write(c, [values; 2], shared, |x, _| (x - mean) * scale + beta[c]);
            }
            (mean, variance as f32)
        })
        .collect();
    let (mean, variance) = statistics.into_iter().unzip();
    // SAFETY: the tasks cover all channels.
    let output = unsafe { output.into_tensor(dims::<4>(&x)) };
    let channels = [planes.channels];
    Normalized { output, mean: tensor(mean, channels), variance: tensor(variance, channels) }
}

/// The statistics a backward pass needs again, each `[c]`.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    pub(super) mean: FlexTensor,
    pub(super) variance: FlexTensor,
    pub(super) epsilon: f64,
}

/// Gradients of x, gamma and beta; x's only where it was asked for.
pub(super) struct Gradients {
    pub(super) x: Option<FlexTensor>,
    pub(super) gamma: FlexTensor,
    pub(super) beta: FlexTensor,
}

/// Gradients of [`train`]; that of x needs gamma.
pub(super) fn train_backward(
    x: &FlexTensor,
    gamma: Option<&FlexTensor>,
    statistics: &Statistics,
    gradient: &FlexTensor,
) -> Gradients {
    // With scale = gamma / std and x̂ = (x − mean) / std:
    // dx = scale · (dy − mean(dy) − x̂ · mean(dy · x̂))
    backward(x, gamma, statistics, gradient, |dy, centered, [scale, inverse_std], [sum, dot]| {
        scale * (dy - sum - centered * inverse_std * dot)
    })
}

/// Gradients of [`eval`]; that of x needs gamma.
pub(super) fn eval_backward(
    x: &FlexTensor,
    gamma: Option<&FlexTensor>,
    statistics: &Statistics,
    gradient: &FlexTensor,
) -> Gradients {
    backward(x, gamma, statistics, gradient, |dy, _, [scale, _], _| scale * dy)
}

/// Both backward passes: `input(dy, x − mean, [gamma / std, 1 / std], [mean(dy), mean(dy · x̂)])` is
/// the gradient of x.
fn backward(
    x: &FlexTensor,
    gamma: Option<&FlexTensor>,
    statistics: &Statistics,
    gradient: &FlexTensor,
    input: impl Fn(f32, f32, [f32; 2], [f32; 2]) -> f32 + Copy + Sync,
) -> Gradients {
    let planes = Planes::of(x);
    let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
    let (values, dy) = (x.storage::<f32>(), gradient.storage::<f32>());
    let mean = statistics.mean.to_contiguous();
    let variance = statistics.variance.to_contiguous();
    let (mean, variance) = (mean.storage::<f32>(), variance.storage::<f32>());
    let gamma = gamma.map(FlexTensor::to_contiguous);
    let gamma = gamma.as_ref().map(FlexTensor::storage::<f32>);
    let mut output = Output::new(if gamma.is_some() { planes.len() } else { 0 });
    let shared = output.share();
    let sums: Vec<(f32, f32)> = (0..planes.channels)
        .into_par_iter()
        .map(|c| {
            let mean = mean[c];
            let inverse_std = 1.0 / (f64::from(variance[c]) + statistics.epsilon).sqrt();
            let [sum, dot] = planes.sums(c, dy, values, |dy, x| [dy, dy * (x - mean)]);
            let dot = dot * inverse_std;
            if let Some(gamma) = gamma {
                let means =
                    [(sum / planes.per_channel()) as f32, (dot / planes.per_channel()) as f32];
                let scales = [(f64::from(gamma[c]) * inverse_std) as f32, inverse_std as f32];
                // SAFETY: the channel belongs to this task.
                unsafe {
                    planes
                        .write(c, [dy, values], shared, |dy, x| input(dy, x - mean, scales, means));
                }
            }
            (dot as f32, sum as f32)
        })
        .collect();
    let (dot, sum) = sums.into_iter().unzip();
    // SAFETY: the tasks cover all channels.
    let input = gamma.is_some().then(|| unsafe { output.into_tensor(dims::<4>(&x)) });
    let channels = [planes.channels];
    Gradients { x: input, gamma: tensor(dot, channels), beta: tensor(sum, channels) }
}

/// Normalises `x` by the given statistics, in place where nothing else holds it.
pub(super) fn eval(
    x: FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    statistics: &Statistics,
) -> FlexTensor {
    let planes = Planes::of(&x);
    let (gamma, beta) = (gamma.to_contiguous(), beta.to_contiguous());
    let (gamma, beta) = (gamma.storage::<f32>(), beta.storage::<f32>());
    let mean = statistics.mean.to_contiguous();
    let variance = statistics.variance.to_contiguous();
    let (mean, variance) = (mean.storage::<f32>(), variance.storage::<f32>());
    let scale_shift: Vec<[f32; 2]> = (0..planes.channels)
        .map(|c| {
            let scale = f64::from(gamma[c]) / (f64::from(variance[c]) + statistics.epsilon).sqrt();
            [scale as f32, (f64::from(beta[c]) - f64::from(mean[c]) * scale) as f32]
        })
        .collect();
    super::elementwise::map_planes(x, planes.pixels, move |plane| {
        let [scale, shift] = scale_shift[plane % planes.channels];
        move |x| x * scale + shift
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::super::testing::{assert_close, elements, random};
    use super::super::{batch_norm_eval, batch_norm_train};

    const EPSILON: f64 = 1e-5;

    /// The formula in f64 over a list of (channel, value), channel by channel.
    struct Oracle {
        channel_of: Vec<usize>,
        channels: usize,
        /// Mean and variance; those of the batch if none.
        given: Option<[Vec<f64>; 2]>,
        /// What the output is multiplied with before it is summed to a loss.
        factors: Vec<f64>,
    }

    impl Oracle {
        fn statistics(&self, x: &[f64]) -> [Vec<f64>; 2] {
            if let Some(given) = &self.given {
                return given.clone();
            }
            let of = |c: usize| (0..x.len()).filter(move |&i| self.channel_of[i] == c);
            let mean_of = |c: usize, value: &dyn Fn(f64) -> f64| {
                of(c).map(|i| value(x[i])).sum::<f64>() / of(c).count() as f64
            };
            let means: Vec<_> = (0..self.channels).map(|c| mean_of(c, &|x| x)).collect();
            let variance = |c: usize| mean_of(c, &|x| (x - means[c]).powi(2));
            let variances = (0..self.channels).map(variance).collect();
            [means, variances]
        }

        fn output(&self, [x, gamma, beta]: &[Vec<f64>; 3]) -> Vec<f64> {
            let [mean, variance] = self.statistics(x);
            let value = |(i, &c): (usize, &usize)| {
                (x[i] - mean[c]) / (variance[c] + EPSILON).sqrt() * gamma[c] + beta[c]
            };
            self.channel_of.iter().enumerate().map(value).collect()
        }

        fn loss(&self, inputs: &[Vec<f64>; 3]) -> f64 {
            self.output(inputs).iter().zip(&self.factors).map(|(y, factor)| y * factor).sum()
        }

        /// Central differences of the loss.
        fn gradients(&self, inputs: &[Vec<f64>; 3]) -> [Vec<f64>; 3] {
            const STEP: f64 = 1e-5;
            std::array::from_fn(|input| {
                let slope = |i: usize| {
                    let moved = |step: f64| {
                        let mut inputs = inputs.clone();
                        inputs[input][i] += step;
                        self.loss(&inputs)
                    };
                    (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
                };
                (0..inputs[input].len()).map(slope).collect()
            })
        }
    }

    fn check(shape: [usize; 4], given: bool) {
        let device = Device::flex().autodiff();
        let [n, channels, h, w] = shape;
        let inputs = (
            (random(shape, 1, &device) * 3.0 + 1.0).detach().require_grad(),
            random([channels], 2, &device).require_grad(),
            random([channels], 3, &device).require_grad(),
        );
        let statistics =
            given.then(|| [random([channels], 4, &device), random([channels], 5, &device).abs()]);
        let factors = random(shape, 6, &device);
        let oracle = Oracle {
            channel_of: (0..n * channels * h * w).map(|i| i / (h * w) % channels).collect(),
            channels,
            given: statistics.clone().map(|vectors| vectors.map(|vector| elements(&vector))),
            factors: elements(&factors),
        };
        let (x, gamma, beta) = inputs.clone();
        let output = match statistics {
            Some([mean, variance]) => batch_norm_eval(x, gamma, beta, mean, variance, EPSILON),
            None => {
                let (output, mean, variance) = batch_norm_train(x, gamma, beta, EPSILON);
                let expected = oracle.statistics(&elements(&inputs.0));
                assert_close(&elements(&mean), &expected[0], 1e-6, "mean");
                assert_close(&elements(&variance), &expected[1], 1e-6, "variance");
                output
            }
        };
        let grads = (output.clone() * factors).sum().backward();
        let (x, gamma, beta) = inputs;
        let inputs = [elements(&x), elements(&gamma), elements(&beta)];
        assert_close(&elements(&output), &oracle.output(&inputs), 1e-5, "output");
        let actual = [
            elements(&x.grad(&grads).unwrap()),
            elements(&gamma.grad(&grads).unwrap()),
            elements(&beta.grad(&grads).unwrap()),
        ];
        let expected = oracle.gradients(&inputs);
        for (i, what) in ["x", "gamma", "beta"].iter().enumerate() {
            let what = format!("gradient of {what}, {shape:?}, given statistics: {given}");
            assert_close(&actual[i], &expected[i], 2e-5, &what);
        }
    }

    #[test]
    fn agrees_with_the_formula_in_double_precision() {
        for shape in [[2, 3, 2, 2], [1, 2, 3, 3], [4, 5, 1, 1], [3, 1, 1, 7], [2, 2, 5, 4]] {
            check(shape, false);
            check(shape, true);
        }
    }

    #[test]
    fn a_large_offset_does_not_spoil_the_variance() {
        let device = Device::flex();
        let x = random([8, 2, 16, 16], 1, &device);
        let (ones, zeros) = (Tensor::ones([2], &device), Tensor::zeros([2], &device));
        let (_, _, plain) = batch_norm_train(x.clone(), ones.clone(), zeros.clone(), EPSILON);
        let (_, mean, moved) = batch_norm_train(x + 256.0, ones, zeros, EPSILON);
        assert!((elements(&mean)[0] - 256.0).abs() < 0.1);
        assert_close(&elements(&moved), &elements(&plain), 1e-4, "variance");
    }

    #[test]
    fn frozen_inputs_get_no_gradient() {
        let device = Device::flex().autodiff();
        let x = random([2, 3, 2, 2], 1, &device);
        let (gamma, beta) = (random([3], 2, &device).require_grad(), random([3], 3, &device));
        let (y, mean, _) = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON);
        assert!(!mean.is_require_grad());
        let grads = y.powf_scalar(2.0).sum().backward();
        assert!(gamma.grad(&grads).is_some());
        assert!(x.grad(&grads).is_none() && beta.grad(&grads).is_none());
    }

    #[test]
    fn repeats_bit_for_bit() {
        let device = Device::flex().autodiff();
        let run = || {
            let x = random([5, 7, 9, 11], 1, &device).require_grad();
            let gamma = random([7], 2, &device).require_grad();
            let beta = random([7], 3, &device).require_grad();
            let (y, mean, variance) =
                batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON);
            let grads = (y.clone() * random([5, 7, 9, 11], 4, &device)).sum().backward();
            let vectors = [mean, variance, gamma.grad(&grads).unwrap(), beta.grad(&grads).unwrap()];
            (elements(&y), elements(&x.grad(&grads).unwrap()), vectors.map(|v| elements(&v)))
        };
        assert_eq!(run(), run());
    }
}
