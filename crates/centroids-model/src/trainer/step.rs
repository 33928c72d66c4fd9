//! One training step: forward, losses, backward, both optimisers.

use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData};
use centroids_data::TrainBatch;

use super::exchange::{average_terms, gather_features};
use super::{StepTerms, TrainConfig, Trainer};
use crate::loss::{LossTerms, TrainLabels, shared_loss};

/// The terms of the step, and the time that its gradients took from process to process.
pub(super) fn step(trainer: &mut Trainer, batch: TrainBatch, lr: f64) -> (StepTerms, Duration) {
    let workers = trainer.workers.clone();
    let images = TensorData::new(batch.images, batch.shape);
    let images = Tensor::<4>::from_data(images, &trainer.device); // [p·k, 3, h, w]
    let labels = TrainLabels { labels: batch.labels, is_real: batch.is_real, k: trainer.config.k };

    let TrainConfig { norm, gather, loss, .. } = &trainer.config;
    let features = trainer.model.features(images, *norm); // [p·k, d]
    let (whole, whole_labels) = match *gather && workers.size() > 1 {
        true => gather_features(&features, &labels, &*workers), // [size·p·k, d]
        false => (features.clone(), labels.clone()),
    };
    let (own, whole) = ((features, &labels), (whole, &whole_labels));
    let terms = shared_loss(own, whole, trainer.model.head(), *norm, loss);

    let mut gradients = terms.objective.backward();
    let start = Instant::now();
    if workers.size() > 1 {
        trainer.flat.average(&trainer.model, &mut gradients, &*workers);
    }
    let exchange = start.elapsed();
    trainer.model = trainer.optimizer.step(trainer.model.clone(), gradients, lr);
    match workers.size() {
        1 => (read(terms), Duration::ZERO),
        _ => (average_terms(read(terms), &*workers), exchange),
    }
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
