//! What a triplet costs, given its two distances.

use burn::tensor::Tensor;
use burn::tensor::activation::softplus;

/// Penalty of a triplet with positive distance `ap` and negative distance `an`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// `max(0, ap − an + m)`
    Hard(f64),
    /// `log(1 + exp(ap − an))`
    Soft,
}

impl Margin {
    /// Penalties of the same shape as the distances.
    pub(super) fn penalty<const D: usize>(self, ap: Tensor<D>, an: Tensor<D>) -> Tensor<D> {
        match self {
            Margin::Hard(margin) => (ap - an).add_scalar(margin).clamp_min(0),
            Margin::Soft => softplus(ap - an, 1.0),
        }
    }
}
