//! The whole network: backbone, global average pooling, head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::Error;
use crate::backbone::{BackboneOptions, Network};
use crate::head::Head;
use crate::kernels::mean_pool;
use crate::layers::Mode;
use crate::weights::{BackboneImport, StateDict, load_backbone};

/// What a model is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// The network under the pooling.
    pub backbone: BackboneOptions,
    /// Training classes C.
    pub num_classes: usize,
}

/// Backbone → pooled feature (triplet losses, centre loss) → BNNeck (embedding) → classifier
/// (cross entropy); the strong baseline of Luo et al. 2019 that the paper builds on.
#[derive(Module, Debug)]
pub struct ReidModel {
    backbone: Network,
    head: Head,
}

impl ReidModel {
    /// A model whose convolutions are still zero; fill it by [`crate::weights`].
    pub fn new(spec: ModelSpec, device: &Device) -> ReidModel {
        let d = spec.backbone.backbone.channels();
        ReidModel {
            backbone: Network::new(spec.backbone, device),
            head: Head::new(d, spec.num_classes, device),
        }
    }

    /// The model with the backbone's tensors from `file`, which may stand under the prefixes
    /// `module.`, `backbone.` and `base.`; what else is in the file is left out and listed. Of a
    /// trained checkpoint, too, only the backbone is taken, and the import says so.
    ///
    /// # Errors
    /// A tensor of the backbone that is missing, of another shape, no floating point number or not
    /// finite.
    pub fn with_backbone(self, file: &StateDict) -> Result<(ReidModel, BackboneImport), Error> {
        let (backbone, import) = load_backbone(self.backbone, file)?;
        Ok((ReidModel { backbone, head: self.head }, import))
    }

    /// The network under the pooling.
    pub fn backbone(&self) -> &Network {
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
