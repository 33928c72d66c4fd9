//! Images → embeddings with trained weights.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use centroids_data::{EvalTransform, ImageList, InputSpec, embed_batches};

use crate::checkpoint::{Checkpoint, IMAGE_SIDES};
use crate::reid_model::{ModelSpec, ReidModel};
use crate::trained_model::TrainedModel;
use crate::weights::Array;
use crate::{BackboneOptions, Error, weights};

/// A model that embeds: eval mode, no gradients.
#[derive(Debug)]
pub struct Embedder {
    model: ReidModel,
    backbone: BackboneOptions,
    input: InputSpec,
}

/// How to go through the images; the settings change the speed, not the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedOptions {
    /// Images per forward pass.
    pub batch_size: usize,
    /// Decoding threads.
    pub workers: usize,
    /// Largest image that is decoded, in pixels.
    pub max_pixels: u64,
}

/// Embeddings of the images that could be read, in the order given.
#[derive(Debug)]
pub struct Embedded {
    /// Dimension of a vector.
    pub dim: usize,
    /// Indices into the list given, ascending.
    pub rows: Vec<usize>,
    /// `rows.len() × dim`, after the neck, not normalised.
    pub values: Vec<f32>,
    /// Images that could not be read, with the reason.
    pub failures: Vec<(usize, centroids_data::Error)>,
}

impl Embedder {
    /// Takes a model that lives outside autodiff.
    pub(crate) fn new(model: ReidModel, backbone: BackboneOptions, input: InputSpec) -> Embedder {
        Embedder { model, backbone, input }
    }

    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Tensors that are missing or of another shape.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Embedder, Error> {
        Embedder::from_model(checkpoint.clone().into(), device)
    }

    /// A trained model of any file.
    ///
    /// # Errors
    /// Tensors that are missing or of another shape.
    pub fn from_model(mut model: TrainedModel, device: &Device) -> Result<Embedder, Error> {
        let TrainedModel { backbone, input, .. } = model;
        if !model.has_classes() {
            let d = backbone.backbone.channels();
            let none = Array { shape: vec![1, d], values: vec![0.0; d] };
            model.tensors.insert("fc_query.weight".to_owned(), none.clone());
            model.tensors.insert("center_loss.centers".to_owned(), none);
        }
        let num_classes = model.tensors["fc_query.weight"].shape[0];
        let network = ReidModel::new(ModelSpec { backbone, num_classes }, device);
        let network = weights::load(network, &model.tensors, &model.path)?;
        Ok(Embedder::new(network, backbone, input))
    }

    /// A model of random weights, whose embeddings mean nothing: for measuring its speed.
    ///
    /// # Errors
    /// [`Error::Setting`]: settings that the network does not have, images it cannot take.
    pub fn random(
        backbone: BackboneOptions,
        input: InputSpec,
        seed: u64,
        device: &Device,
    ) -> Result<Embedder, Error> {
        backbone.check()?;
        if !input.size.iter().all(|side| IMAGE_SIDES.contains(side)) {
            let reason = format!("sides must be {} to {}", IMAGE_SIDES.start(), IMAGE_SIDES.end());
            return Err(Error::Setting { key: "size", value: format!("{:?}", input.size), reason });
        }
        let model = ReidModel::new(ModelSpec { backbone, num_classes: 1 }, device);
        Ok(Embedder::new(weights::initialise(model, seed), backbone, input))
    }

    /// The model.
    pub(crate) fn model(&self) -> &ReidModel {
        &self.model
    }

    /// The network under the pooling.
    pub fn backbone(&self) -> BackboneOptions {
        self.backbone
    }

    /// Dimension of an embedding.
    pub fn dim(&self) -> usize {
        self.backbone.backbone.channels()
    }

    /// Preprocessing.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// Name of backbone and weights, e.g. `resnet18@9f86d081884c7d65`: equal weights, equal name.
    pub fn fingerprint(&self) -> String {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a over names and bit patterns
        let mut mix = |word: u64| hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
        for (name, array) in weights::collect(&self.model) {
            if name.starts_with("backbone.") || name.starts_with("bn.") {
                name.bytes().for_each(|byte| mix(byte.into()));
                array.values.iter().for_each(|value| mix(value.to_bits().into()));
            }
        }
        format!("{}@{hash:016x}", self.backbone.backbone)
    }

    /// Embeds one batch of prepared images: `[n, 3, h, w]` row-major → `n × dim`.
    pub fn embed_batch(&self, images: Vec<f32>, shape: [usize; 4]) -> Vec<f32> {
        let device = self.model.head().centers().device();
        let images = Tensor::<4>::from_data(TensorData::new(images, shape), &device);
        self.model.embed(images).into_data().iter::<f32>().collect() // [n, dim]
    }

    /// Embeds images. Unreadable ones are reported in the result and left out; `progress`
    /// is called with the number of images gone through, and may break off; what is done by then is
    /// the result.
    pub fn embed(
        &self,
        images: impl Into<ImageList>,
        options: EmbedOptions,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Embedded {
        let mut embedded =
            Embedded { dim: self.dim(), rows: vec![], values: vec![], failures: vec![] };
        let transform = EvalTransform(self.input);
        let EmbedOptions { batch_size, workers, max_pixels } = options;
        for item in embed_batches(images, batch_size, transform, workers, max_pixels) {
            embedded.failures.extend(item.failures);
            if !item.batch.rows.is_empty() {
                embedded.values.extend(self.embed_batch(item.batch.images, item.batch.shape));
                embedded.rows.extend(item.batch.rows);
            }
            if progress(embedded.rows.len() + embedded.failures.len()).is_break() {
                break;
            }
        }
        embedded
    }
}
