//! Fast kernels of the layers a ResNet is made of, as a backend extension of Burn.
//!
//! On the CPU (Flex, f32) they replace Burn's composed operations: feature maps lie channels-last,
//! convolutions and their gradients are packed matrix products or Winograd's algorithm, batch norm,
//! shortcut and activation are one pass over the map, Adam is one pass over a parameter. On every
//! other device or element type each function is made of Burn's own operations. Both ways are
//! differentiable, and on the CPU equal inputs give equal bits, whatever the number of threads.
//!
//! From the bottom up: `lanes` (vector units), `gemm` (packed product), `window` (which pixels a
//! result is made of), `correlate` and `winograd` (convolution as products), `conv_weight` and
//! `winograd_weight` (gradient of a weight), `norm`, `pool`, `depthwise`, `adam`, `half` (rounding);
//! then `conv` and `inference` (what is used when), `autodiff` and `extension` (the way into Burn).
//!
//! `unsafe` code is confined to this module: vector instructions, and buffers that several threads
//! fill before they are read.

mod adam;
mod autodiff;
mod channels_last;
mod conv;
mod conv_shape;
mod conv_weight;
mod correlate;
mod depthwise;
mod epilogue;
mod extension;
mod gemm;
mod half;
mod inference;
mod lanes;
mod norm;
mod pool;
mod profile;
mod residual;
mod storage;
#[cfg(test)]
mod testing;
mod weight_view;
mod window;
mod winograd;
mod winograd_weight;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::module::{self, BatchNormTrainOutput};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Tensor, activation};

pub use adam::AdamStep;
pub use epilogue::Activation;
use extension::{InferenceKernels, LayerKernels, UpdateKernels};
pub use inference::FoldedCache;
pub use lanes::{CPU_VARIABLE, check_cpu_variable};
pub use profile::{ProfileRow, start_profile, stop_profile};
pub use residual::Residual;

use crate::Precision;

/// How an image is convolved: without bias or dilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Input pixels from one result to the next.
    pub stride: [usize; 2],
    /// Zeros added on every side.
    pub padding: [usize; 2],
    /// Every channel has a kernel of its own, weight `[c, 1, kh, kw]`; else `[co, ci, kh, kw]`.
    pub depthwise: bool,
}

/// How a feature map is normalised, and what follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Added to the variance.
    pub epsilon: f64,
    /// Applied to the sum of normalised map and shortcut.
    pub activation: Activation,
}

/// Scale, shift and running statistics of a batch norm, each `[c]`.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// Scale.
    pub gamma: Tensor<1>,
    /// Shift.
    pub beta: Tensor<1>,
    /// Running mean.
    pub mean: Tensor<1>,
    /// Running variance.
    pub variance: Tensor<1>,
}

/// Whether the kernels cover this tensor; what they do not cover is left to Burn's operations.
fn covered<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    let flex = match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(**device, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns, reason = "more devices exist with the GPU features")]
        _ => false,
    };
    flex && tensor.dtype() == DType::F32 && tensor.shape().num_elements() > 0
}

/// Convolves image `[n, ci, h, w]` with weight `[co, ci, kh, kw]` (`[ci, 1, kh, kw]` if depthwise)
/// to `[n, co, oh, ow]`.
///
/// Differentiable in both; an input that is not tracked costs nothing in the backward pass. With
/// `residual` the image is also the shortcut that [`batch_norm`] is given with the same one.
///
/// # Panics
/// If the channels differ, a stride is 0 or the kernel is larger than the padded image.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    how: Convolution,
    residual: Option<&Residual>,
) -> Tensor<4> {
    check_conv(&x, &weight, how);
    if covered(&x) && covered(&weight) {
        return Tensor::from_dispatch(Dispatch::kernel_conv2d(
            x.into_dispatch(),
            weight.into_dispatch(),
            (how, residual.cloned()),
        ));
    }
    general_conv2d(x, weight, how)
}

/// A convolution of Burn's operations.
fn general_conv2d(x: Tensor<4>, weight: Tensor<4>, how: Convolution) -> Tensor<4> {
    let groups = if how.depthwise { x.dims()[1] } else { 1 };
    module::conv2d(x, weight, None, ConvOptions::new(how.stride, how.padding, [1, 1], groups))
}

/// [`conv2d`] in another precision than that of its tensors: image, weight and result, and on the
/// way back their gradients, are rounded to it.
///
/// On the CPU the kernels compute with the rounded numbers in f32, elsewhere the tensors have the
/// half type in between; products of halves are exact in f32, so that is the same but for the order
/// of the sums. `residual` only serves f32.
///
/// # Panics
/// See there.
pub fn conv2d_mixed(
    x: Tensor<4>,
    weight: Tensor<4>,
    how: Convolution,
    residual: Option<&Residual>,
    precision: Precision,
) -> Tensor<4> {
    let Some(half) = precision.half() else { return conv2d(x, weight, how, residual) };
    if covered(&x) && covered(&weight) {
        let [x, weight] = [x, weight].map(|tensor| rounded(tensor, precision));
        return rounded(conv2d(x, weight, how, None), precision);
    }
    check_conv(&x, &weight, how);
    let outside = x.dtype();
    general_conv2d(x.cast(half), weight.cast(half), how).cast(outside)
}

/// A covered tensor rounded to a half type, and in the backward pass its gradient.
fn rounded<const D: usize>(x: Tensor<D>, precision: Precision) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::kernel_round(x.into_dispatch(), precision))
}

fn check_conv(x: &Tensor<4>, weight: &Tensor<4>, how: Convolution) {
    let [_, channels, height, width] = x.dims();
    let [channels_out, channels_in, kernel_height, kernel_width] = weight.dims();
    assert!(how.stride.iter().all(|stride| *stride > 0), "stride of a convolution");
    let expected = if how.depthwise { [channels, 1] } else { [channels_out, channels] };
    assert_eq!([channels_out, channels_in], expected, "channels of image and convolution weight");
    let [vertical, horizontal] = how.padding;
    let fits = kernel_height <= height + 2 * vertical && kernel_width <= width + 2 * horizontal;
    assert!(fits, "kernel larger than the padded image");
}

/// `activation(normalised x + shortcut)`: normalises the channels of `[n, c, h, w]` by their mean
/// and variance over the batch, then scales by `gamma` and shifts by `beta`, both `[c]`.
///
/// Returns the result, the batch mean `[c]` and the *biased* batch variance `[c]`. Differentiable
/// in all tensors given; mean and variance carry no gradient. For `[n, d]` reshape to
/// `[n, d, 1, 1]`, which costs nothing. A shortcut may come with the [`Residual`] of the convolution
/// that also takes it.
pub fn batch_norm(
    x: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    shortcut: Option<(Tensor<4>, Option<&Residual>)>,
    how: Normalization,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    for vector in [&gamma, &beta] {
        assert_eq!(vector.dims(), [x.dims()[1]], "one value per channel in batch norm");
    }
    let all = covered(&x) && covered(&gamma) && covered(&beta);
    if !all || !shortcut.as_ref().is_none_or(|(shortcut, _)| covered(shortcut)) {
        let BatchNormTrainOutput { output, mean, variance } =
            module::batch_norm_train(x, gamma, beta, how.epsilon);
        let shortcut = shortcut.map(|(shortcut, _)| shortcut);
        return (finish(output, shortcut, how.activation), mean, variance);
    }
    let (x, gamma, beta) = (x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let (output, mean, variance) = match shortcut {
        Some((shortcut, residual)) => {
            let (shortcut, how) = (shortcut.into_dispatch(), (how, residual.cloned()));
            Dispatch::kernel_norm_shortcut(x, gamma, beta, shortcut, how)
        }
        None => Dispatch::kernel_norm(x, gamma, beta, how),
    };
    (Tensor::from_dispatch(output), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// `activation(x + shortcut)` of Burn's operations.
fn finish(x: Tensor<4>, shortcut: Option<Tensor<4>>, activation: Activation) -> Tensor<4> {
    let x = match shortcut {
        Some(shortcut) => x + shortcut,
        None => x,
    };
    activation.apply(x)
}

impl Activation {
    /// The activation of a tensor, of Burn's operations.
    pub(crate) fn apply(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Activation::Identity => x,
            Activation::Relu => activation::relu(x),
            Activation::Relu6 => x.clamp(0.0, 6.0),
        }
    }
}

/// `activation(normalised x)`: normalises every channel of every image of `[n, c, h, w]` by its own
/// mean and biased variance, then scales by `gamma` and shifts by `beta`, both `[c]`; of Burn's
/// operations.
pub fn instance_norm(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let [gamma, beta] = affine.map(|vector| vector.reshape([1, c, 1]));
    let x = x.reshape([n, c, h * w]);
    let centered = x.clone() - x.mean_dim(2);
    let variance = (centered.clone() * centered.clone()).mean_dim(2); // [n, c, 1]
    let y = centered * ((variance + epsilon).sqrt().recip() * gamma) + beta;
    activation.apply(y.reshape([n, c, h, w]))
}

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` for `x` of `[n, c, h, w]`, of Burn's
/// operations.
///
/// Differentiable in `x`, `gamma` and `beta`; the statistics get no gradient.
pub fn frozen_batch_norm(x: Tensor<4>, norm: Frozen, epsilon: f64) -> Tensor<4> {
    let Frozen { gamma, beta, mean, variance } = norm;
    module::batch_norm(x, gamma, beta, mean.detach(), variance.detach(), epsilon)
}

/// `activation(frozen_batch_norm(conv2d(x, weight)) + shortcut)`; one operation outside autodiff on
/// the CPU, where `cache` keeps the folded weight from call to call.
pub fn conv_frozen_batch_norm(
    x: Tensor<4>,
    (weight, norm): (Tensor<4>, Frozen),
    shortcut: Option<Tensor<4>>,
    (convolution, normalization): (Convolution, Normalization),
    cache: &FoldedCache,
) -> Tensor<4> {
    let vectors = [&norm.gamma, &norm.beta, &norm.mean, &norm.variance];
    let all = [&x, &weight].into_iter().chain(&shortcut).all(plain);
    if !all || !vectors.into_iter().all(plain) {
        let y = conv2d(x, weight, convolution, None);
        let y = frozen_batch_norm(y, norm, normalization.epsilon);
        return finish(y, shortcut, normalization.activation);
    }
    check_conv(&x, &weight, convolution);
    let [gamma, beta, mean, variance] =
        [norm.gamma, norm.beta, norm.mean, norm.variance].map(Tensor::into_dispatch);
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    let how = (convolution, normalization, cache.share());
    Tensor::from_dispatch(match shortcut.map(Tensor::into_dispatch) {
        Some(shortcut) => Dispatch::kernel_conv_norm_shortcut(
            x, weight, gamma, beta, mean, variance, shortcut, how,
        ),
        None => Dispatch::kernel_conv_norm(x, weight, gamma, beta, mean, variance, how),
    })
}

/// Covered, and outside autodiff.
fn plain<const D: usize>(tensor: &Tensor<D>) -> bool {
    covered(tensor) && !tensor.device().is_autodiff()
}

/// Maximum over windows of image `[n, c, h, w]`, whose padding never wins; of equal values the first
/// gets the gradient.
///
/// # Panics
/// If a stride is 0 or the kernel is larger than the padded image.
pub fn max_pool2d(
    x: Tensor<4>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    if covered(&x)
        && let Some(windows) = pool::windows(x.dims(), kernel, stride, padding)
    {
        return Tensor::from_dispatch(Dispatch::kernel_max_pool2d(x.into_dispatch(), windows));
    }
    let options = MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
    module::max_pool2d(x, options)
}

/// Mean over all pixels: `[n, c, h, w]` → `[n, c]`.
pub fn mean_pool(x: Tensor<4>) -> Tensor<2> {
    if covered(&x) {
        return Tensor::from_dispatch(Dispatch::kernel_mean_pool(x.into_dispatch()));
    }
    x.flatten::<3>(2, 3).mean_dim(2).flatten(1, 2)
}

/// One step of Adam with weight decay added to the gradient, as `torch.optim.Adam` computes it.
///
/// Takes the parameter, its gradient and the running means of the gradient (`m`) and of its square
/// (`v`), all of one shape and without autodiff, and returns the new parameter, m and v: in place
/// where nothing else holds them.
///
/// # Panics
/// If the shapes differ.
pub fn adam_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    m: Tensor<D>,
    v: Tensor<D>,
    step: AdamStep,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    let tensors = [&param, &grad, &m, &v];
    for tensor in tensors {
        assert_eq!(tensor.dims(), param.dims(), "shapes of parameter, gradient, m and v");
    }
    if tensors.into_iter().all(plain) {
        let (param, m, v) = Dispatch::kernel_adam_step(
            param.into_dispatch(),
            grad.into_dispatch(),
            m.into_dispatch(),
            v.into_dispatch(),
            step,
        );
        return (Tensor::from_dispatch(param), Tensor::from_dispatch(m), Tensor::from_dispatch(v));
    }
    let [step_size, root_divisor] = step.bias_corrected();
    let grad = grad + param.clone() * step.weight_decay;
    let m = m.clone() + (grad.clone() - m) * (1.0 - step.beta1);
    let v = v * step.beta2 + grad.clone() * grad * (1.0 - step.beta2);
    let denominator = v.clone().sqrt() / root_divisor + step.eps;
    (param - m.clone() / denominator * step_size, m, v)
}
