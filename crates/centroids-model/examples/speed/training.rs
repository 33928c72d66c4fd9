//! A training step: forward, cross entropy, backward, Adam; the trainer's without triplet terms.

use burn::tensor::{Tensor, TensorData};
use centroids_model::layers::Mode;
use centroids_model::loss::cross_entropy;
use centroids_model::weights::{self, Tensors};
use centroids_model::{Device, Error, Optimizer, OptimizerConfig, Precision, ReidModel};

use crate::Timed;
use crate::case::Case;

const LEARNING_RATE: f64 = 3.5e-4;

pub struct Training {
    model: ReidModel,
    optimizer: Optimizer,
    device: Device,
    images: Vec<f32>,
    shape: [usize; 4],
    labels: Vec<usize>,
}

impl Training {
    /// # Errors
    /// Weights that are missing or of another shape.
    pub fn new(case: Case) -> Result<Training, Error> {
        let device = Device::flex().autodiff();
        let model = ReidModel::new(case.spec, &device);
        Ok(Training {
            model: weights::load(model, &case.tensors, &case.path)?,
            optimizer: Optimizer::new(OptimizerConfig {
                weight_decay: 5e-4,
                center_lr: 0.5,
                center_weight: 0.0,
            }),
            device,
            images: case.images,
            shape: case.shape,
            labels: case.labels,
        })
    }
}

impl Timed for Training {
    fn run(&mut self) {
        let images = TensorData::new(self.images.clone(), self.shape);
        let images = Tensor::<4>::from_data(images, &self.device);
        let (head, mode) = (self.model.head(), Mode::Train(Precision::F32));
        let embeddings = head.neck(self.model.features(images, mode), mode);
        let loss = cross_entropy(head.classify(embeddings, Precision::F32), &self.labels, 0.0);
        let gradients = loss.backward();
        self.model = self.optimizer.step(self.model.clone(), gradients, LEARNING_RATE);
        std::hint::black_box(loss.into_scalar::<f32>()); // the trainer reads it too
    }

    /// First moments of Adam: after one step, a tenth of the gradients.
    fn outputs(&self) -> Tensors {
        let mut state = self.optimizer.state();
        state.retain(|name, _| name.starts_with("adam.m."));
        state
    }
}
