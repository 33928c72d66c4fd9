//! The training losses of the paper (Wieczorek et al. 2021) with the reference's exact semantics,
//! in closed form: labels live on the host, so every mask is built there once and the losses are
//! straight tensor expressions without per-sample loops or host round trips.

mod batch_hard;
mod center;
mod centroid_triplet;
mod cross_entropy;
mod margin;
mod pairwise;
mod total;
mod triplet;

pub use center::center_loss;
pub use centroid_triplet::{CentroidTriplet, centroid_triplet_loss};
pub use cross_entropy::cross_entropy;
pub use margin::Margin;
pub use pairwise::Metric;
pub(crate) use total::shared_loss;
pub use total::{LossConfig, LossTerms, Method, TrainLabels, total_loss};
pub use triplet::{Triplet, triplet_loss};

use burn::tensor::{Tensor, TensorData};

/// A host-made tensor with the element type and on the device of `like`.
fn constant<const D: usize, const E: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    like: &Tensor<E>,
) -> Tensor<D> {
    let data = TensorData::new(values, shape).convert_dtype(like.dtype());
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

/// Weights of a mean over the rows that count: `1 / count`, or 0.
fn mean_weights(rows: &[bool]) -> Vec<f64> {
    let count = rows.iter().filter(|&&row| row).count().max(1) as f64;
    rows.iter().map(|&row| if row { 1.0 / count } else { 0.0 }).collect()
}
