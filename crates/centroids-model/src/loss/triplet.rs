//! Batch-hard triplet loss (Hermans et al. 2017), as the reference applies it to the queries.

use burn::tensor::Tensor;

use super::batch_hard::{Hardest, hardest};
use super::{Margin, Metric, constant, mean_weights};

/// The loss and the mean mined distances over the anchors that count, each `[1]`.
#[derive(Debug)]
pub struct Triplet {
    /// Mean penalty.
    pub loss: Tensor<1>,
    /// Mean distance to the hardest positive, without gradient.
    pub dist_ap: Tensor<1>,
    /// Mean distance to the hardest negative, without gradient.
    pub dist_an: Tensor<1>,
}

/// One triplet per anchor: its farthest positive (itself included) and its nearest negative.
///
/// `features` is `[n, d]`; mining sees every row, `anchors[i]` says whether row `i` counts in the
/// mean (the reference leaves out mock images there, and only there).
pub fn triplet_loss(
    features: Tensor<2>,
    labels: &[usize],
    anchors: &[bool],
    margin: Margin,
    metric: Metric,
) -> Triplet {
    let labels: Vec<Option<usize>> = labels.iter().copied().map(Some).collect();
    let Hardest { ap, an } = hardest(features.unsqueeze(), &labels, metric); // [1, n]
    let weights = constant(mean_weights(anchors), [1, labels.len()], &ap);
    Triplet {
        loss: (margin.penalty(ap.clone(), an.clone()) * weights.clone()).sum(),
        dist_ap: (ap.detach() * weights.clone()).sum(),
        dist_an: (an.detach() * weights).sum(),
    }
}
