//! The kernels as operations of a Burn back end.
//!
//! Only tensors that [`covered`](super::covered) accepts reach these traits: f32 on Flex.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use super::adam::{self, AdamStep};
use super::channels_last::ChannelsLast;
use super::conv_shape::ConvShape;
use super::inference::{Folded, FoldedCache};
use super::lanes::Isa;
use super::norm::{self, Affine};
use super::profile::{measure, measure_conv};
use super::storage::{dims, tensor};
use super::{Convolution, Normalization, Residual, autodiff, conv, half, pool};
use crate::Precision;

/// Layers of a network; differentiable.
#[backend_extension(Flex, Autodiff)]
pub(super) trait LayerKernels: Backend {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        how: (Convolution, Option<Residual>),
    ) -> FloatTensor<Self>;

    /// Result, mean and biased variance.
    fn kernel_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        normalization: Normalization,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// As `kernel_norm`, with a shortcut.
    fn kernel_norm_shortcut(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        how: (Normalization, Option<Residual>),
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn kernel_max_pool2d(x: FloatTensor<Self>, windows: ConvShape) -> FloatTensor<Self>;

    fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Rounds the values, and in the backward pass the gradients.
    fn kernel_round(x: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self>;
}

/// Convolution and frozen batch norm in one; not differentiable.
#[backend_extension(Flex)]
pub(super) trait InferenceKernels: Backend {
    #[allow(clippy::too_many_arguments, reason = "the tensors of two layers")]
    fn kernel_conv_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        how: (Convolution, Normalization, FoldedCache),
    ) -> FloatTensor<Self>;

    #[allow(clippy::too_many_arguments, reason = "the tensors of two layers")]
    fn kernel_conv_norm_shortcut(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        how: (Convolution, Normalization, FoldedCache),
    ) -> FloatTensor<Self>;
}

/// Updates of parameters; not differentiable.
#[backend_extension(Flex)]
pub(super) trait UpdateKernels: Backend {
    fn kernel_adam_step(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Sizes of a convolution of `x` with `weight`.
pub(super) fn conv_shape(x: &FlexTensor, weight: &FlexTensor, how: Convolution) -> ConvShape {
    let [channels, _, height, width] = dims(weight);
    ConvShape::new(dims(x), channels, [height, width], how.stride, how.padding)
}

/// The forward pass of a convolution.
pub(super) fn convolve(x: &FlexTensor, weight: &FlexTensor, how: Convolution) -> FlexTensor {
    let (isa, shape) = (Isa::chosen(), conv_shape(x, weight, how));
    let output = measure_conv(&shape, how.depthwise, "forward", || {
        let weight = weight.to_contiguous();
        let prepared = conv::prepare(isa, &shape, weight.storage(), how.depthwise, None);
        conv::forward(isa, &shape, ChannelsLast::of(x).values(), &prepared, None)
    });
    let [height, width] = shape.size_out;
    ChannelsLast::new(output, [shape.batch, shape.channels_out, height, width]).into_tensor()
}

/// Result and statistics of a batch norm.
pub(super) fn normalize(
    x: &ChannelsLast,
    [gamma, beta]: [&FlexTensor; 2],
    shortcut: Option<&FlexTensor>,
    how: Normalization,
) -> (ChannelsLast, norm::Statistics) {
    let (gamma, beta) = (gamma.to_contiguous(), beta.to_contiguous());
    let affine =
        Affine { gamma: gamma.storage(), beta: beta.storage(), activation: how.activation };
    let shortcut = shortcut.map(ChannelsLast::of);
    let shortcut = shortcut.as_ref().map(ChannelsLast::values);
    measure("batch norm", "forward", 0.0, || {
        let statistics = norm::statistics(x.values(), x.dims()[1], how.epsilon);
        let output = norm::apply(x.values(), &statistics, affine, shortcut);
        (ChannelsLast::new(output, x.dims()), statistics)
    })
}

fn with_statistics(
    (result, statistics): (ChannelsLast, norm::Statistics),
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let [mean, variance] = statistics.tensors();
    (result.into_tensor(), mean, variance)
}

fn infer(
    x: &FlexTensor,
    sources: [FlexTensor; 5],
    shortcut: Option<&FlexTensor>,
    (convolution, normalization, cache): (Convolution, Normalization, FoldedCache),
) -> FlexTensor {
    let (isa, shape) = (Isa::chosen(), conv_shape(x, &sources[0], convolution));
    let folded = cache.get(&sources, &shape, || {
        Folded::new(isa, &shape, convolution.depthwise, &sources, normalization.epsilon)
    });
    let shortcut = shortcut.map(ChannelsLast::of);
    let x = ChannelsLast::of(x);
    let activation = normalization.activation;
    let apply = || folded.apply(isa, &x, shortcut.as_ref(), activation).into_tensor();
    measure_conv(&shape, convolution.depthwise, "inference", apply)
}

impl LayerKernels for Flex {
    fn kernel_conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        (convolution, _): (Convolution, Option<Residual>),
    ) -> FlexTensor {
        convolve(&x, &weight, convolution)
    }

    fn kernel_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        normalization: Normalization,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        with_statistics(normalize(&ChannelsLast::of(&x), [&gamma, &beta], None, normalization))
    }

    fn kernel_norm_shortcut(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        shortcut: FlexTensor,
        (normalization, _): (Normalization, Option<Residual>),
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let x = ChannelsLast::of(&x);
        with_statistics(normalize(&x, [&gamma, &beta], Some(&shortcut), normalization))
    }

    fn kernel_max_pool2d(x: FlexTensor, windows: ConvShape) -> FlexTensor {
        let maximum = || pool::max(&windows, &ChannelsLast::of(&x)).0.into_tensor();
        measure("max pooling", "inference", 0.0, maximum)
    }

    fn kernel_mean_pool(x: FlexTensor) -> FlexTensor {
        let [n, channels, _, _] = dims(&x);
        tensor(pool::mean(&ChannelsLast::of(&x)), [n, channels])
    }

    fn kernel_round(x: FlexTensor, precision: Precision) -> FlexTensor {
        measure("rounding to half", "forward", 0.0, || half::round(x, precision))
    }
}

impl InferenceKernels for Flex {
    fn kernel_conv_norm(
        x: FlexTensor,
        weight: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        how: (Convolution, Normalization, FoldedCache),
    ) -> FlexTensor {
        infer(&x, [weight, gamma, beta, mean, variance], None, how)
    }

    fn kernel_conv_norm_shortcut(
        x: FlexTensor,
        weight: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        shortcut: FlexTensor,
        how: (Convolution, Normalization, FoldedCache),
    ) -> FlexTensor {
        infer(&x, [weight, gamma, beta, mean, variance], Some(&shortcut), how)
    }
}

impl UpdateKernels for Flex {
    fn kernel_adam_step(
        param: FlexTensor,
        grad: FlexTensor,
        m: FlexTensor,
        v: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        measure("Adam", "update", 0.0, || adam::step(param, &grad, m, v, step)).into()
    }
}

impl<C: CheckpointStrategy> LayerKernels for Autodiff<Flex, C> {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        how: (Convolution, Option<Residual>),
    ) -> FloatTensor<Self> {
        autodiff::conv2d::<C>(x, weight, how)
    }

    fn kernel_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        normalization: Normalization,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        autodiff::norm::<C>(x, gamma, beta, normalization)
    }

    fn kernel_norm_shortcut(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        shortcut: FloatTensor<Self>,
        how: (Normalization, Option<Residual>),
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        autodiff::norm_shortcut::<C>(x, gamma, beta, shortcut, how)
    }

    fn kernel_max_pool2d(x: FloatTensor<Self>, windows: ConvShape) -> FloatTensor<Self> {
        autodiff::max_pool2d::<C>(x, windows)
    }

    fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        autodiff::mean_pool::<C>(x)
    }

    fn kernel_round(x: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        autodiff::round::<C>(x, precision)
    }
}
