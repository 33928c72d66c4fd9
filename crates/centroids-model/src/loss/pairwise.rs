//! Distances between all pairs of a batch, differentiable.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The distance inside the triplet losses. Unlike retrieval, `Euclidean` is *not* squared here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// `sqrt(max(‖a‖² + ‖b‖² − 2ab, 1e-12))`
    #[default]
    Euclidean,
    /// `max(|1 − cos(a, b)|, 1e-12)`, norms clamped at 1e-12
    Cosine,
}

/// Lower bound of a (squared) distance and of a norm; keeps the square root differentiable.
const TINY: f64 = 1e-12;

impl Metric {
    /// Distances within each of `b` sets: points `[b, n, d]` → `[b, n, n]`.
    pub(super) fn pairwise(self, points: Tensor<3>) -> Tensor<3> {
        match self {
            Metric::Euclidean => {
                // Distances do not change when all points move; near the origin the difference of
                // squares below loses no digits.
                let points = points.clone() - points.detach().mean_dim(1); // [b, n, d]
                let squares = points.clone().powi_scalar(2).sum_dim(2); // [b, n, 1]
                let products = points.clone().matmul(points.swap_dims(1, 2)); // [b, n, n]
                let squared = squares.clone() + squares.swap_dims(1, 2) - products.mul_scalar(2);
                squared.clamp_min(TINY).sqrt()
            }
            Metric::Cosine => {
                // Clamped under the root, where a zero vector would have an infinite slope.
                let squares = points.clone().powi_scalar(2).sum_dim(2);
                let norms = squares.clamp_min(TINY * TINY).sqrt(); // [b, n, 1]
                let unit = points / norms; // [b, n, d]
                let cosines = unit.clone().matmul(unit.swap_dims(1, 2)); // [b, n, n]
                cosines.neg().add_scalar(1).abs().clamp_min(TINY)
            }
        }
    }
}
