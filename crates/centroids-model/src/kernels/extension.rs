//! The kernels as operations of a Burn back end.
//!
//! Only tensors that [`covered`](super::covered) accepts reach these traits: f32 on Flex.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use super::adam::{self, AdamStep};
use super::im2col::ConvShape;
use super::{autodiff, batch_norm, conv, elementwise, max_pool};

/// Layers of a network; differentiable.
#[backend_extension(Flex, Autodiff)]
pub(super) trait LayerKernels: Backend {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self>;

    fn kernel_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn kernel_batch_norm_eval(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    fn kernel_max_pool2d(x: FloatTensor<Self>, windows: ConvShape) -> FloatTensor<Self>;

    fn kernel_relu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn kernel_add_relu(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
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

impl LayerKernels for Flex {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        conv::forward(&x, &weight, stride, padding)
    }

    fn kernel_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let normalized = batch_norm::train(&x, &gamma, &beta, epsilon);
        (normalized.output, normalized.mean, normalized.variance)
    }

    fn kernel_batch_norm_eval(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let statistics = batch_norm::Statistics { mean, variance, epsilon };
        batch_norm::eval(x, &gamma, &beta, &statistics)
    }

    fn kernel_max_pool2d(x: FloatTensor<Self>, windows: ConvShape) -> FloatTensor<Self> {
        max_pool::forward(&windows, x).0
    }

    fn kernel_relu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::relu(x)
    }

    fn kernel_add_relu(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        elementwise::add_relu(x, y)
    }
}

impl UpdateKernels for Flex {
    fn kernel_adam_step(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        adam::step(param, &grad, m, v, step).into()
    }
}

impl<C: CheckpointStrategy> LayerKernels for Autodiff<Flex, C> {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        autodiff::conv2d::<C>(x, weight, stride, padding)
    }

    fn kernel_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        autodiff::batch_norm_train::<C>(x, gamma, beta, epsilon)
    }

    fn kernel_batch_norm_eval(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let (mean, variance) = (mean.into_primitive(), variance.into_primitive());
        let statistics = batch_norm::Statistics { mean, variance, epsilon };
        autodiff::batch_norm_eval::<C>(x, gamma, beta, statistics)
    }

    fn kernel_max_pool2d(x: FloatTensor<Self>, windows: ConvShape) -> FloatTensor<Self> {
        autodiff::max_pool2d::<C>(x, windows)
    }

    fn kernel_relu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        autodiff::relu::<C>(x)
    }

    fn kernel_add_relu(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        autodiff::add_relu::<C>(x, y)
    }
}
