//! One training step: forward, losses, backward, both optimisers.

use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData};
use centroids_data::TrainBatch;

use super::exchange::{average_terms, gather_features};
use super::{LossScale, StepTerms, TrainConfig, Trainer};
use crate::loss::{LossTerms, TrainLabels, shared_loss};
use crate::optimizer::are_finite;

/// What a step did.
pub(super) struct Done {
    pub(super) terms: StepTerms,
    /// False where the optimisers left it out; see [`LossScale`].
    pub(super) stepped: bool,
    /// The time that gradients took from process to process.
    pub(super) exchange: Duration,
}

pub(super) fn step(trainer: &mut Trainer, batch: TrainBatch, lr: f64) -> Done {
    let workers = trainer.workers.clone();
    let images = TensorData::new(batch.images, batch.shape);
    let images = Tensor::<4>::from_data(images, &trainer.device); // [p·k, 3, h, w]
    let labels = TrainLabels { labels: batch.labels, is_real: batch.is_real, k: trainer.config.k };

    let TrainConfig { norm, precision, gather, loss, .. } = &trainer.config;
    let features = trainer.model.features(images, *norm); // [p·k, d]
    let (whole, whole_labels) = match *gather && workers.size() > 1 {
        true => gather_features(&features, &labels, &*workers), // [size·p·k, d]
        false => (features.clone(), labels.clone()),
    };
    let (own, whole) = ((features, &labels), (whole, &whole_labels));
    let terms = shared_loss(own, whole, trainer.model.head(), *norm, loss, *precision);

    let (stepped, exchange) = update(trainer, &terms.objective, lr);
    let terms = match workers.size() {
        1 => read(terms),
        _ => average_terms(read(terms), &*workers),
    };
    Done { terms, stepped, exchange }
}

/// Backward pass, exchange of gradients and both optimisers: whether they stepped, which all
/// processes decide alike, and how long the exchange took.
fn update(trainer: &mut Trainer, objective: &Tensor<1>, lr: f64) -> (bool, Duration) {
    let (model, workers) = (trainer.model.clone(), trainer.workers.clone());
    let factor = trainer.loss_scale.as_ref().map(LossScale::factor);
    let mut gradients = match factor {
        Some(factor) => objective.clone().mul_scalar(factor).backward(),
        None => objective.backward(),
    };
    let mut exchange = Duration::ZERO;
    if workers.size() > 1 {
        let start = Instant::now();
        trainer.flat.average(&model, &mut gradients, &*workers);
        exchange = start.elapsed();
    }
    let optimizer = &mut trainer.optimizer;
    let (Some(scale), Some(factor)) = (&mut trainer.loss_scale, factor) else {
        trainer.model = optimizer.step(model, gradients, lr);
        return (true, exchange);
    };
    let finite = are_finite(&model, &gradients);
    if finite {
        trainer.model = optimizer.step_scaled(model, gradients, lr, factor);
    }
    scale.update(finite);
    (finite, exchange)
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
