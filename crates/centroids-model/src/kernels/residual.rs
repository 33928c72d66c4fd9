//! The two ends of an identity shortcut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;

/// Links the convolution that a residual block begins with to the sum it ends with, where both
/// take the same feature map.
///
/// The backward pass reaches the end first. It leaves the map's gradient here, and the convolution
/// adds its own to it while it computes it: one pass over the map less than a sum of two gradients.
/// Where the kernels do not apply it does nothing.
#[derive(Clone, Debug, Default)]
pub struct Residual(Arc<Link>);

#[derive(Debug, Default)]
struct Link {
    /// The convolution is there to take the gradient.
    begun: AtomicBool,
    gradient: Mutex<Option<FlexTensor>>,
}

impl Residual {
    /// Says that the convolution will [`Residual::take`] the gradient.
    pub(super) fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    /// Leaves a gradient; gives it back if no convolution takes it.
    pub(super) fn leave(&self, gradient: FlexTensor) -> Option<FlexTensor> {
        if !self.0.begun.load(Ordering::Relaxed) {
            return Some(gradient);
        }
        *self.0.gradient.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
        None
    }

    /// The gradient that was left.
    pub(super) fn take(&self) -> Option<FlexTensor> {
        self.0.gradient.lock().unwrap_or_else(PoisonError::into_inner).take()
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

    #[test]
    fn the_link_changes_no_gradient() {
        for kernel in [1, 3] {
            let linked = gradient(kernel, Some(&Residual::default()));
            assert_close(&linked, &gradient(kernel, None), 1e-6, "gradient of a block's input");
        }
    }
}
