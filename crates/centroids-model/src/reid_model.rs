//! The whole network: backbone, global average pooling, head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::backbone::{ResNet, ResNetOptions};
use crate::head::Head;
use crate::kernels::mean_pool;
use crate::layers::Mode;

/// What a model is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// The network under the pooling.
    pub backbone: ResNetOptions,
    /// Training classes C.
    pub num_classes: usize,
}

/// Backbone → pooled feature (triplet losses, centre loss) → BNNeck (embedding) → classifier
/// (cross entropy); the strong baseline of Luo et al. 2019 that the paper builds on.
#[derive(Module, Debug)]
pub struct ReidModel {
    backbone: ResNet,
    head: Head,
}

impl ReidModel {
    /// A model whose convolutions are still zero; fill it by [`crate::weights`].
    pub fn new(spec: ModelSpec, device: &Device) -> ReidModel {
        let d = spec.backbone.backbone.channels();
        ReidModel {
            backbone: ResNet::new(spec.backbone, device),
            head: Head::new(d, spec.num_classes, device),
        }
    }

    /// The network under the pooling.
    pub fn backbone(&self) -> &ResNet {
        &self.backbone
    }

    /// Neck, classifier and centres.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Pooled features before the neck: `[n, 3, h, w]` → `[n, d]`.
    pub fn features(&self, images: Tensor<4>, mode: Mode) -> Tensor<2> {
        mean_pool(self.backbone.forward(images, mode)) // [n, d, h', w'] → [n, d]
    }

    /// Embeddings, not normalised: `[n, 3, h, w]` → `[n, d]`.
    pub fn embed(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.neck(self.features(images, Mode::Eval), Mode::Eval)
    }
}
