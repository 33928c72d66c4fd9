//! Batch-hard mining (Hermans et al. 2017): the farthest positive and the nearest negative.

use burn::tensor::{Bool, Tensor, TensorData};

use super::Metric;

/// Distances of the hardest positive and the hardest negative of every anchor, each `[b, n]`.
pub(super) struct Hardest {
    pub(super) ap: Tensor<2>,
    pub(super) an: Tensor<2>,
}

/// Mines within each of `b` independent sets of `n` points.
///
/// `labels` holds `b · n` entries; `None` takes the point out of its set: it is nobody's positive
/// or negative, and its own row holds some finite distance that the caller must not use. A point
/// counts among its own positives.
pub(super) fn hardest(points: Tensor<3>, labels: &[Option<usize>], metric: Metric) -> Hardest {
    let [b, n, _] = points.dims();
    let device = points.device();
    let mask = |keep: fn(usize, usize) -> bool| -> Tensor<3, Bool> {
        let excluded: Vec<bool> = (0..b * n * n)
            .map(|i| {
                let (set, row, column) = (i / (n * n), i / n % n, i % n);
                match (labels[set * n + row], labels[set * n + column]) {
                    (Some(a), Some(b)) => !keep(a, b),
                    _ => true,
                }
            })
            .collect();
        Tensor::from_data(TensorData::new(excluded, [b, n, n]), &device)
    };
    let distances = metric.pairwise(points); // [b, n, n]
    let plain = distances.clone().detach();
    let farthest = plain.clone().mask_fill(mask(|a, b| a == b), f32::MIN).argmax(2); // [b, n, 1]
    let nearest = plain.mask_fill(mask(|a, b| a != b), f32::MAX).argmin(2); // [b, n, 1]
    Hardest {
        ap: distances.clone().gather(2, farthest).reshape([b, n]),
        an: distances.gather(2, nearest).reshape([b, n]),
    }
}
