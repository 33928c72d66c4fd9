//! Sums of the gradients that reach the input of a residual block.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;

/// Links what takes the input of a residual block: the convolution it begins with, and the
/// convolution on its shortcut or, if the input itself is the shortcut, the sum it ends with.
///
/// Whichever the backward pass reaches first leaves its gradient of the input here, and the other
/// adds its own to it while it computes it: one pass over the map less than a sum of two gradients.
/// All must lead to the end of the same block. Where the kernels do not apply it does nothing.
#[derive(Clone, Debug, Default)]
pub struct Residual(Arc<Mutex<Link>>);

#[derive(Debug, Default)]
struct Link {
    /// Convolutions that are still to come in the backward pass.
    expected: usize,
    gradient: Option<FlexTensor>,
}

impl Residual {
    fn link<R>(&self, act: impl FnOnce(&mut Link) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says that a convolution takes the input.
    pub(super) fn begin(&self) {
        self.link(|link| link.expected += 1);
    }

    /// Takes what was left, for a convolution to add its gradient to.
    pub(super) fn take(&self) -> Option<FlexTensor> {
        self.link(|link| {
            link.expected -= 1;
            link.gradient.take()
        })
    }

    /// Leaves a gradient; gives it back if no convolution is still to come.
    pub(super) fn leave(&self, gradient: FlexTensor) -> Option<FlexTensor> {
        self.link(|link| {
            if link.expected == 0 {
                return Some(gradient);
            }
            link.gradient = Some(gradient);
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::super::testing::{assert_close, elements, random};
    use super::super::{Activation, Convolution, Normalization, batch_norm, conv2d};
    use super::Residual;

    /// Gradient of the input of `relu(norm(conv(x)) + x)`.
    fn gradient(kernel: usize, residual: Option<&Residual>) -> Vec<f64> {
        let device = Device::flex().autodiff();
        let shape = [2, 40, 8, 12];
        let start = random(shape, 1, &device).require_grad();
        // Something before the block, so that its input is no leaf.
        let x = start.clone() * 2.0;
        let weight = random([40, 40, kernel, kernel], 2, &device).require_grad();
        let how = Convolution { stride: [1; 2], padding: [kernel / 2; 2], depthwise: false };
        let y = conv2d(x.clone(), weight, how, residual);
        let vectors: [Tensor<1>; 2] = [Tensor::ones([40], &device), Tensor::zeros([40], &device)];
        let how = Normalization { epsilon: 1e-5, activation: Activation::Relu };
        let (y, _, _) = batch_norm(y, vectors, Some((x, residual)), how);
        let grads = (y * random(shape, 3, &device)).sum().backward();
        elements(&start.grad(&grads).unwrap())
    }

    /// Gradient of the input of `norm(conv(x)) + conv(x)`.
    fn gradient_of_two_convolutions(residual: Option<&Residual>) -> Vec<f64> {
        let device = Device::flex().autodiff();
        let start = random([2, 33, 9, 8], 1, &device).require_grad();
        let x = start.clone() * 2.0;
        let conv = |kernel: usize, seed: u64| {
            let weight = random([20, 33, kernel, kernel], seed, &device).require_grad();
            let (stride, padding) = ([2; 2], [kernel / 2; 2]);
            conv2d(x.clone(), weight, Convolution { stride, padding, depthwise: false }, residual)
        };
        let vectors: [Tensor<1>; 2] = [Tensor::ones([20], &device), Tensor::zeros([20], &device)];
        let how = Normalization { epsilon: 1e-5, activation: Activation::Relu };
        let (y, _, _) = batch_norm(conv(3, 2), vectors, Some((conv(1, 3), None)), how);
        let grads = (y.clone() * random(y.dims(), 4, &device)).sum().backward();
        elements(&start.grad(&grads).unwrap())
    }

    #[test]
    fn the_link_changes_no_gradient() {
        let linked = gradient_of_two_convolutions(Some(&Residual::default()));
        let alone = gradient_of_two_convolutions(None);
        assert_close(&linked, &alone, 1e-6, "gradient of the input of two convolutions");
        for kernel in [1, 3] {
            let linked = gradient(kernel, Some(&Residual::default()));
            assert_close(&linked, &gradient(kernel, None), 1e-6, "gradient of a block's input");
        }
    }
}
