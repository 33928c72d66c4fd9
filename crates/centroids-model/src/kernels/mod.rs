//! Fast kernels of the layers a ResNet is made of, as a backend extension of Burn.
//!
//! On the CPU (Flex, f32) they replace Burn's composed operations: batch normalisation in two
//! reads and a write, convolutions and both their gradients by matrix products, activations in
//! place, Adam in one pass. On every other device or element type each function is made of Burn's
//! own operations. Both ways are differentiable, and on the CPU equal inputs give equal bits for a
//! given number of rayon threads.
//!
//! `unsafe` code is confined to this module: buffers that are filled before they are read, and the
//! matrix product.

mod adam;
mod autodiff;
mod batch_norm;
mod conv;
mod conv_weight;
mod elementwise;
mod extension;
mod im2col;
mod matmul;
mod max_pool;
mod simd;
mod storage;
#[cfg(test)]
mod testing;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::module::{self, BatchNormTrainOutput};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Tensor, activation};

pub use adam::AdamStep;
use extension::{LayerKernels, UpdateKernels};

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

/// Convolves image `[n, ci, h, w]` with weight `[co, ci, kh, kw]` to `[n, co, oh, ow]`, without
/// bias, groups or dilation.
///
/// Differentiable in both; an input that is not tracked costs nothing in the backward pass.
///
/// # Panics
/// If the channels differ, a stride is 0 or the kernel is larger than the padded image.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    if covered(&x) && covered(&weight) {
        return Tensor::from_dispatch(Dispatch::kernel_conv2d(
            x.into_dispatch(),
            weight.into_dispatch(),
            stride,
            padding,
        ));
    }
    module::conv2d(x, weight, None, ConvOptions::new(stride, padding, [1, 1], 1))
}

/// Normalises the channels of `[n, c, h, w]` by their mean and variance over the batch, then
/// scales by `gamma` and shifts by `beta`, both `[c]`.
///
/// Returns the result, the batch mean `[c]` and the *biased* batch variance `[c]`. Differentiable
/// in `x`, `gamma` and `beta`; mean and variance carry no gradient. For `[n, d]` reshape to
/// `[n, d, 1, 1]`, which costs nothing.
pub fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    if covered(&x) && covered(&gamma) && covered(&beta) {
        check_channels(&x, [&gamma, &beta]);
        let (output, mean, variance) = Dispatch::kernel_batch_norm_train(
            x.into_dispatch(),
            gamma.into_dispatch(),
            beta.into_dispatch(),
            epsilon,
        );
        return (
            Tensor::from_dispatch(output),
            Tensor::from_dispatch(mean),
            Tensor::from_dispatch(variance),
        );
    }
    let BatchNormTrainOutput { output, mean, variance } =
        module::batch_norm_train(x, gamma, beta, epsilon);
    (output, mean, variance)
}

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` for `x` of `[n, c, h, w]` and given
/// statistics, all others `[c]`.
///
/// Differentiable in `x`, `gamma` and `beta`; the statistics get no gradient.
pub fn batch_norm_eval(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    epsilon: f64,
) -> Tensor<4> {
    let vectors = [&gamma, &beta, &mean, &variance];
    if covered(&x) && vectors.iter().all(|vector| covered(vector)) {
        check_channels(&x, vectors);
        return Tensor::from_dispatch(Dispatch::kernel_batch_norm_eval(
            x.into_dispatch(),
            gamma.into_dispatch(),
            beta.into_dispatch(),
            mean.into_dispatch(),
            variance.into_dispatch(),
            epsilon,
        ));
    }
    module::batch_norm(x, gamma, beta, mean.detach(), variance.detach(), epsilon)
}

fn check_channels<const N: usize>(x: &Tensor<4>, vectors: [&Tensor<1>; N]) {
    let channels = x.dims()[1];
    for vector in vectors {
        assert_eq!(vector.dims(), [channels], "one value per channel in batch norm");
    }
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
        && let Some(windows) = max_pool::windows(x.dims(), kernel, stride, padding)
    {
        return Tensor::from_dispatch(Dispatch::kernel_max_pool2d(x.into_dispatch(), windows));
    }
    let options = MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
    module::max_pool2d(x, options)
}

/// `max(x, 0)`, in place where nothing else needs `x`.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if covered(&x) {
        return Tensor::from_dispatch(Dispatch::kernel_relu(x.into_dispatch()));
    }
    activation::relu(x)
}

/// `relu(x + y)` for equal shapes: the end of a residual block. In place where nothing else needs
/// `x`.
///
/// # Panics
/// If the shapes differ.
pub fn add_relu<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    assert_eq!(x.dims(), y.dims(), "shapes of a residual sum");
    if covered(&x) && covered(&y) {
        return Tensor::from_dispatch(Dispatch::kernel_add_relu(
            x.into_dispatch(),
            y.into_dispatch(),
        ));
    }
    activation::relu(x + y)
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
    if tensors.iter().all(|tensor| covered(tensor) && !tensor.device().is_autodiff()) {
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
