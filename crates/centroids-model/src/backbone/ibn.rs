//! IBN-a (Pan et al. 2018, "Two at Once"): the first half of the channels is normalised by the
//! statistics of each image, which takes out the look a camera gives it, the other half by those of
//! the batch.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::plan::Norm;
use crate::kernels::{Activation, instance_norm};
use crate::layers::{BatchNorm, Mode};

/// Instance norm on the first half of the channels, batch norm on the rest: `IN` and `BN` of a state
/// dict.
#[derive(Module, Debug)]
pub(super) struct InstanceBatchNorm {
    instance: InstanceNorm,
    batch: BatchNorm,
}

/// Scale and shift of an instance norm, which has no running statistics.
#[derive(Module, Debug)]
struct InstanceNorm {
    /// Scale γ, `[c]`.
    weight: Param<Tensor<1>>,
    /// Shift β, `[c]`.
    bias: Param<Tensor<1>>,
}

impl InstanceBatchNorm {
    /// γ = 1, β = 0, mean 0, variance 1.
    pub(super) fn new(channels: usize, device: &Device) -> InstanceBatchNorm {
        let half = channels / 2;
        InstanceBatchNorm {
            instance: InstanceNorm {
                weight: Param::from_tensor(Tensor::ones([half], device)),
                bias: Param::from_tensor(Tensor::zeros([half], device)),
            },
            batch: BatchNorm::new(channels - half, device),
        }
    }

    /// The norm in a plan.
    pub(super) fn as_plan(&self) -> Norm<'_> {
        let instance = [self.instance.weight.val(), self.instance.bias.val()];
        Norm::InstanceBatch { instance, batch: &self.batch }
    }

    /// `relu(norm(x))`: `[n, c, h, w]` → `[n, c, h, w]`.
    pub(super) fn relu(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let [_, c, _, _] = x.dims();
        let half = c / 2;
        let affine = [self.instance.weight.val(), self.instance.bias.val()];
        let (first, rest) = (x.clone().narrow(1, 0, half), x.narrow(1, half, c - half)); // [n, c/2, h, w]
        let first = instance_norm(first, affine, BatchNorm::EPSILON, Activation::Relu);
        let rest = self.batch.forward(rest, Activation::Relu, mode);
        Tensor::cat(vec![first, rest], 1)
    }
}
