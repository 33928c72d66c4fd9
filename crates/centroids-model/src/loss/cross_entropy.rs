//! Cross entropy with label smoothing (Szegedy et al. 2016).

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

use super::constant;

/// Mean over the rows of `−Σ_c q_c log softmax(z)_c`, `q = (1 − ε)·onehot + ε / C`.
///
/// `logits` is `[n, C]`, `labels` holds `n` entries; the result is `[1]`.
pub fn cross_entropy(logits: Tensor<2>, labels: &[usize], smoothing: f64) -> Tensor<1> {
    let [n, classes] = logits.dims();
    let share = smoothing / classes as f64;
    let mut targets = vec![share / n as f64; n * classes];
    for (target, &label) in targets.chunks_exact_mut(classes).zip(labels) {
        target[label] = (1.0 - smoothing + share) / n as f64;
    }
    let targets = constant(targets, [n, classes], &logits);
    (log_softmax(logits, 1) * targets).sum().neg()
}
