//! Loss terms of a step, their sums over an epoch, and the means that are logged.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Loss terms of one step on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTerms {
    /// Weighted sum.
    pub total: f64,
    /// Cross entropy.
    pub query_xent: f64,
    /// Batch-hard triplet.
    pub query_triplet: f64,
    /// Centre loss times its weight.
    pub query_center: f64,
    /// Centroid triplet; none in the base trainer.
    pub centroid_triplet: Option<f64>,
    /// Mean hardest positive distance.
    pub dist_ap: f64,
    /// Mean hardest negative distance.
    pub dist_an: f64,
    /// Mean norm of the leave-one-out centroids; none in the base trainer.
    pub l2_mean_centroid: Option<f64>,
}

impl StepTerms {
    /// # Errors
    /// The first term that is NaN or infinite, the parts before the total.
    pub(super) fn check_finite(&self, epoch: usize, step: usize) -> Result<(), Error> {
        let terms = [
            ("query_xent", self.query_xent),
            ("query_triplet", self.query_triplet),
            ("query_center", self.query_center),
            ("centroid_triplet", self.centroid_triplet.unwrap_or(0.0)),
            ("total loss", self.total),
        ];
        match terms.into_iter().find(|(_, value)| !value.is_finite()) {
            Some((term, value)) => Err(Error::NotFinite { term, value, epoch: epoch + 1, step }),
            None => Ok(()),
        }
    }
}

/// Sums over the steps of an epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochSums {
    steps: usize,
    #[serde(default)]
    skipped: usize,
    terms: StepTerms,
}

impl EpochSums {
    /// Adds a step, which the optimisers took or left out.
    pub(super) fn add(&mut self, terms: &StepTerms, stepped: bool) {
        let plus = |a: Option<f64>, b: Option<f64>| b.map(|b| a.unwrap_or(0.0) + b);
        let sum = &mut self.terms;
        self.steps += 1;
        self.skipped += usize::from(!stepped);
        sum.total += terms.total;
        sum.query_xent += terms.query_xent;
        sum.query_triplet += terms.query_triplet;
        sum.query_center += terms.query_center;
        sum.dist_ap += terms.dist_ap;
        sum.dist_an += terms.dist_an;
        sum.centroid_triplet = plus(sum.centroid_triplet, terms.centroid_triplet);
        sum.l2_mean_centroid = plus(sum.l2_mean_centroid, terms.l2_mean_centroid);
    }

    pub(super) fn finish(self, epoch: usize, lr: f64, loss_scale: Option<f64>) -> EpochMetrics {
        let mean = |sum: f64| sum / self.steps.max(1) as f64;
        let terms = &self.terms;
        EpochMetrics {
            epoch,
            epoch_train_loss: mean(terms.total),
            epoch_dist_ap: mean(terms.dist_ap),
            epoch_dist_an: mean(terms.dist_an),
            lr,
            l2_mean_centroid: terms.l2_mean_centroid.map(mean),
            query_xent: mean(terms.query_xent),
            query_triplet: mean(terms.query_triplet),
            query_center: mean(terms.query_center),
            centroid_triplet: terms.centroid_triplet.map(mean),
            steps: self.steps,
            loss_scale,
            skipped_steps: loss_scale.map(|_| self.skipped),
        }
    }
}

/// Means over the steps of an epoch, under the reference's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Total loss.
    pub epoch_train_loss: f64,
    /// Hardest positive distance (of the centroid triplet in CTL).
    pub epoch_dist_ap: f64,
    /// Hardest negative distance (of the centroid triplet in CTL).
    pub epoch_dist_an: f64,
    /// Learning rate that Adam used (the reference's log lags one epoch in the warm-up).
    pub lr: f64,
    /// Norm of the leave-one-out centroids.
    pub l2_mean_centroid: Option<f64>,
    /// Cross entropy.
    pub query_xent: f64,
    /// Batch-hard triplet.
    pub query_triplet: f64,
    /// Centre loss times its weight.
    pub query_center: f64,
    /// Centroid triplet.
    pub centroid_triplet: Option<f64>,
    /// Steps of the epoch.
    pub steps: usize,
    /// Factor on the loss after the epoch; only in f16, as the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Steps that were left out because their gradients were not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_the_mean_of_its_steps() {
        let mut sums = EpochSums::default();
        for total in [1.0, 2.0, 6.0] {
            let terms = StepTerms { total, centroid_triplet: Some(total), ..StepTerms::default() };
            sums.add(&terms, total != 2.0);
        }
        let metrics = sums.clone().finish(4, 0.5, None);
        assert_eq!((metrics.epoch, metrics.steps, metrics.lr), (4, 3, 0.5));
        assert_eq!((metrics.epoch_train_loss, metrics.centroid_triplet), (3.0, Some(3.0)));
        assert_eq!((metrics.l2_mean_centroid, metrics.skipped_steps), (None, None));
        assert_eq!(sums.finish(4, 0.5, Some(2.0)).skipped_steps, Some(1));
    }

    #[test]
    fn the_first_part_that_is_not_finite_is_named() {
        let terms = StepTerms { query_triplet: f64::NAN, total: f64::NAN, ..StepTerms::default() };
        let message = terms.check_finite(0, 7).unwrap_err().to_string();
        assert!(message.contains("query_triplet") && message.contains("step 7"), "{message}");
        assert!(StepTerms::default().check_finite(0, 1).is_ok());
    }
}
