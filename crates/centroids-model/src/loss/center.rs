//! Centre loss (Wen et al. 2016), as the reference computes it.

use burn::tensor::{Int, Tensor, TensorData};

use super::{constant, mean_weights};

/// Bounds of one squared distance, and the value the reference adds for every masked entry.
const CLAMP: (f64, f64) = (1e-12, 1e12);

/// `(1/B) Σ_n clamp(‖f_n − c_{y_n}‖²) + (C − 1)·1e-12` over the `B` rows that count, as `[1]`.
///
/// The reference clamps the whole masked B×C matrix; its zero entries make the constant.
/// `features` is `[n, d]`, `centers` `[C, d]`, `labels` and `rows` hold `n` entries.
pub fn center_loss(
    features: Tensor<2>,
    centers: Tensor<2>,
    labels: &[usize],
    rows: &[bool],
) -> Tensor<1> {
    let device = features.device();
    let [classes, _] = centers.dims();
    let n = labels.len();
    let weights = constant(mean_weights(rows), [n, 1], &features);
    let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), &device);
    let own = centers.select(0, labels); // [n, d]
    let squared = (features - own).powi_scalar(2).sum_dim(1).clamp(CLAMP.0, CLAMP.1); // [n, 1]
    (squared * weights).sum().add_scalar((classes as f64 - 1.0) * CLAMP.0)
}
