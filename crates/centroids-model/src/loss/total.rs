//! The weighted sum that is minimised, and its parts as they are logged.

use burn::tensor::{Int, Tensor, TensorData};

use super::{Margin, Metric, center_loss, centroid_triplet_loss, cross_entropy, triplet_loss};
use crate::Precision;
use crate::head::Head;
use crate::layers::Mode;

/// Which of the reference's two trainers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `train_ctl_model.py`: with the centroid triplet loss; mock rows count in no loss.
    Ctl,
    /// `train_base_model.py`: without it; mock rows are only left out of the triplet anchors.
    Base,
}

/// Weights and settings of the losses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossConfig {
    /// Trainer whose masks apply.
    pub method: Method,
    /// Margin of both triplet losses.
    pub margin: Margin,
    /// Distance of both triplet losses.
    pub metric: Metric,
    /// ε of the cross entropy.
    pub label_smoothing: f64,
    /// Weight of the centre loss.
    pub center_weight: f64,
    /// Weight of the cross entropy.
    pub xent_weight: f64,
    /// Weight of the triplet loss.
    pub triplet_weight: f64,
    /// Weight of the centroid triplet loss.
    pub centroid_weight: f64,
}

impl Default for LossConfig {
    /// The reference's defaults.
    fn default() -> LossConfig {
        LossConfig {
            method: Method::Ctl,
            margin: Margin::Hard(0.5),
            metric: Metric::Euclidean,
            label_smoothing: 0.1,
            center_weight: 5e-4,
            xent_weight: 1.0,
            triplet_weight: 1.0,
            centroid_weight: 1.0,
        }
    }
}

/// What the host knows of a batch of P blocks of K images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainLabels {
    /// Contiguous class of every row.
    pub labels: Vec<usize>,
    /// False for mock rows.
    pub is_real: Vec<bool>,
    /// Images per identity.
    pub k: usize,
}

impl TrainLabels {
    /// The rows that count in the losses without mining.
    fn counted(&self, method: Method) -> Vec<bool> {
        match method {
            Method::Ctl => self.is_real.clone(),
            Method::Base => vec![true; self.labels.len()],
        }
    }
}

/// The parts of one step's loss. Every field is `[1]`; only the first two carry a gradient.
#[derive(Debug)]
pub struct LossTerms {
    /// Weighted sum.
    pub total: Tensor<1>,
    /// What is minimised: `total`, unless several processes share the batch.
    pub objective: Tensor<1>,
    /// Cross entropy.
    pub query_xent: Tensor<1>,
    /// Batch-hard triplet.
    pub query_triplet: Tensor<1>,
    /// Centre loss times its weight.
    pub query_center: Tensor<1>,
    /// Centroid triplet; `None` in the base trainer.
    pub centroid_triplet: Option<Tensor<1>>,
    /// Mean hardest positive distance (of the centroid triplet in CTL).
    pub dist_ap: Tensor<1>,
    /// Mean hardest negative distance (of the centroid triplet in CTL).
    pub dist_an: Tensor<1>,
    /// Mean norm of the centroids; `None` in the base trainer.
    pub l2_mean_centroid: Option<Tensor<1>>,
}

/// Runs the head in training mode and adds up the losses; `features` is `[n, d]`, before the neck.
/// The classifier computes in `precision`, everything else in f32.
///
/// In CTL only real rows go through the neck, so mock rows are not in its statistics either.
pub fn total_loss(
    features: Tensor<2>,
    head: &Head,
    batch: &TrainLabels,
    config: &LossConfig,
    precision: Precision,
) -> LossTerms {
    let whole = (features.clone(), batch);
    shared_loss((features, batch), whole, head, Mode::Train(precision), config, precision)
}

/// The loss of a batch that several processes share: each has `own` rows of the `whole`, which are
/// the same number in all of them, and in `whole` only its own carry a gradient.
///
/// Mining sees the whole batch. The other losses are sums over rows and see the own ones, in such
/// shares that the mean of every term over the processes is the term of the whole batch. So is the
/// mean of the objectives' gradients: every process has that part of the mined terms' gradient that
/// goes through its own rows, which must be added up, so they count once for each process.
pub(crate) fn shared_loss(
    (features, own): (Tensor<2>, &TrainLabels),
    (whole_features, whole): (Tensor<2>, &TrainLabels),
    head: &Head,
    norm: Mode,
    config: &LossConfig,
    precision: Precision,
) -> LossTerms {
    let processes = whole.labels.len() / own.labels.len();
    let (rows, all_rows) = (own.counted(config.method), whole.counted(config.method));
    let count = |rows: &[bool]| rows.iter().filter(|&&row| row).count().max(1) as f64;
    let share = processes as f64 * count(&rows) / count(&all_rows);
    let TrainLabels { labels, is_real, k } = whole;

    let (counted, counted_labels) = select(features.clone(), &own.labels, &rows);
    let logits = head.classify(head.neck(counted, norm), precision); // [rows, C]
    let xent = cross_entropy(logits, &counted_labels, config.label_smoothing).mul_scalar(share);
    let triplet =
        triplet_loss(whole_features.clone(), labels, is_real, config.margin, config.metric);
    let center = center_loss(features, head.centers(), &own.labels, &rows)
        .mul_scalar(config.center_weight * share);
    let mut mined = triplet.loss.clone().mul_scalar(config.triplet_weight);
    let mut terms = LossTerms {
        query_xent: xent.clone().detach(),
        query_triplet: triplet.loss.clone().detach(),
        query_center: center.clone().detach(),
        centroid_triplet: None,
        dist_ap: triplet.dist_ap,
        dist_an: triplet.dist_an,
        l2_mean_centroid: None,
        objective: triplet.loss,
        total: xent.mul_scalar(config.xent_weight) + mined.clone() + center,
    };
    if config.method == Method::Ctl {
        let centroid = centroid_triplet_loss(
            whole_features,
            labels,
            is_real,
            *k,
            config.margin,
            config.metric,
        );
        terms.centroid_triplet = Some(centroid.loss.clone().detach());
        terms.dist_ap = centroid.dist_ap;
        terms.dist_an = centroid.dist_an;
        terms.l2_mean_centroid = Some(centroid.centroid_norm);
        let centroid = centroid.loss.mul_scalar(config.centroid_weight);
        mined = mined + centroid.clone();
        terms.total = terms.total + centroid;
    }
    terms.objective = match processes {
        1 => terms.total.clone(),
        _ => terms.total.clone() + mined.mul_scalar(processes as f64 - 1.0),
    };
    terms
}

/// The rows that count, with their labels.
fn select(features: Tensor<2>, labels: &[usize], rows: &[bool]) -> (Tensor<2>, Vec<usize>) {
    if rows.iter().all(|&row| row) {
        return (features, labels.to_vec());
    }
    let counted: Vec<usize> = (0..labels.len()).filter(|&row| rows[row]).collect();
    let indices: Vec<i64> = counted.iter().map(|&row| row as i64).collect();
    let indices = TensorData::new(indices, [counted.len()]);
    let indices = Tensor::<1, Int>::from_data(indices, &features.device());
    (features.select(0, indices), counted.iter().map(|&row| labels[row]).collect())
}
