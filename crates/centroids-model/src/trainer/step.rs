//! One training step: forward, losses, backward, both optimisers.

use burn::tensor::{Tensor, TensorData};
use centroids_data::TrainBatch;

use super::{StepTerms, TrainConfig, Trainer};
use crate::layers::Mode;
use crate::loss::{LossTerms, TrainLabels, total_loss};
use crate::optimizer::are_finite;

/// Returns the losses, and whether the optimisers stepped; see [`LossScale`](super::LossScale).
pub(super) fn step(trainer: &mut Trainer, batch: TrainBatch, lr: f64) -> (StepTerms, bool) {
    let images = TensorData::new(batch.images, batch.shape);
    let images = Tensor::<4>::from_data(images, &trainer.device); // [p·k, 3, h, w]
    let labels = TrainLabels { labels: batch.labels, is_real: batch.is_real, k: trainer.config.k };

    let TrainConfig { precision, loss, .. } = &trainer.config;
    let features = trainer.model.features(images, Mode::Train(*precision)); // [p·k, d]
    let terms = total_loss(features, trainer.model.head(), &labels, loss, *precision);

    let stepped = update(trainer, &terms.total, lr);
    (read(terms), stepped)
}

/// Backward pass and both optimisers; false if the step was left out.
fn update(trainer: &mut Trainer, total: &Tensor<1>, lr: f64) -> bool {
    let (model, optimizer) = (trainer.model.clone(), &mut trainer.optimizer);
    let Some(scale) = &mut trainer.loss_scale else {
        trainer.model = optimizer.step(model, total.backward(), lr);
        return true;
    };
    let factor = scale.factor();
    let gradients = total.clone().mul_scalar(factor).backward();
    let finite = are_finite(&model, &gradients);
    if finite {
        trainer.model = optimizer.step_scaled(model, gradients, lr, factor);
    }
    scale.update(finite);
    finite
}

/// Brings the terms to the host in one transfer.
fn read(terms: LossTerms) -> StepTerms {
    let nothing = || terms.total.zeros_like();
    let ctl = terms.centroid_triplet.is_some();
    let all = [
        terms.total.clone(),
        terms.query_xent,
        terms.query_triplet,
        terms.query_center,
        terms.dist_ap,
        terms.dist_an,
        terms.centroid_triplet.unwrap_or_else(nothing),
        terms.l2_mean_centroid.unwrap_or_else(nothing),
    ];
    let all = Tensor::cat(all.map(Tensor::inner).into(), 0); // [8]
    let values: Vec<f64> = all.into_data().iter::<f64>().collect();
    StepTerms {
        total: values[0],
        query_xent: values[1],
        query_triplet: values[2],
        query_center: values[3],
        dist_ap: values[4],
        dist_an: values[5],
        centroid_triplet: ctl.then_some(values[6]),
        l2_mean_centroid: ctl.then_some(values[7]),
    }
}
