//! Centroid triplet loss: the paper's contribution, in the reference's form.
//!
//! The batch is P consecutive blocks of K images of one class. In split `i` the `i`-th image of
//! every class is its query, and the mean of its other real images its centroid. Queries *and*
//! centroids are anchors of a batch-hard triplet loss over these 2P points; the loss is the mean
//! over the splits. (The paper's equation 3 only has the queries as anchors and lets the other
//! classes' centroids keep all their images; the published numbers come from this form.)
//!
//! With class sums `S_c` and counts `n_c` the leave-one-out centroid is `(S_c − f_ci) / (n_c − 1)`,
//! so all K splits are one `[K, 2P, D]` tensor.

use burn::tensor::Tensor;

use super::batch_hard::{Hardest, hardest};
use super::{Margin, Metric, constant};

/// The loss and what the reference logs beside it, each `[1]`.
#[derive(Debug)]
pub struct CentroidTriplet {
    /// Mean over the kept splits; 0 when every split was skipped.
    pub loss: Tensor<1>,
    /// Mean distance of an anchor to its positive, without gradient.
    pub dist_ap: Tensor<1>,
    /// Mean distance of an anchor to its nearest negative, without gradient.
    pub dist_an: Tensor<1>,
    /// Mean L2 norm of the centroids, without gradient.
    pub centroid_norm: Tensor<1>,
}

/// Which classes take part in which split, all on the host.
struct Splits {
    p: usize,
    k: usize,
    /// `[k][p]`: the query of the class is real and has at least one real companion.
    takes_part: Vec<bool>,
    /// `[k]`: the split has at least two classes.
    kept: Vec<bool>,
}

impl Splits {
    fn new(is_real: &[bool], k: usize) -> Splits {
        let p = is_real.len() / k;
        let real = |class: usize| is_real[class * k..][..k].iter().filter(|&&r| r).count();
        let takes_part: Vec<bool> = (0..k * p)
            .map(|i| (i / p, i % p))
            .map(|(split, class)| is_real[class * k + split] && real(class) >= 2)
            .collect();
        let kept = takes_part.chunks_exact(p).map(|s| s.iter().filter(|&&t| t).count() >= 2);
        Splits { p, k, kept: kept.collect(), takes_part }
    }

    /// Labels of the `2P` points of every split, `None` for points that do not take part.
    fn labels(&self, labels: &[usize]) -> Vec<Option<usize>> {
        let class = |i: usize| self.takes_part[i].then(|| labels[i % self.p * self.k]);
        (0..self.k)
            .flat_map(|split| [split, split])
            .flat_map(|split| (0..self.p).map(move |c| split * self.p + c))
            .map(class)
            .collect()
    }

    /// Mean over the kept splits of the mean over the points that take part; `values` is
    /// `[k, points]` with `points` a multiple of P. The result is `[1]`.
    fn mean(&self, values: Tensor<2>) -> Tensor<1> {
        let [k, points] = values.dims();
        let counts_in =
            |i: usize| self.kept[i / points] && self.takes_part[i / points * self.p + i % self.p];
        let mask: Vec<f64> = (0..k * points).map(|i| f64::from(u8::from(counts_in(i)))).collect();
        let kept = self.kept.iter().filter(|&&kept| kept).count().max(1) as f64;
        let counts = mask.chunks_exact(points).map(|row| row.iter().sum::<f64>().max(1.0) * kept);
        let counts = constant(counts.collect(), [k, 1], &values);
        let masked = values.clone() * constant(mask, [k, points], &values);
        (masked.sum_dim(1) / counts).sum()
    }
}

/// `features` is `[p·k, d]`, `labels` and `is_real` hold `p·k` entries; mock rows (`is_real`
/// false) are neither queries nor part of a centroid. Splits with fewer than two classes are
/// skipped.
pub fn centroid_triplet_loss(
    features: Tensor<2>,
    labels: &[usize],
    is_real: &[bool],
    k: usize,
    margin: Margin,
    metric: Metric,
) -> CentroidTriplet {
    let [_, d] = features.dims();
    let splits = Splits::new(is_real, k);
    let p = splits.p;
    let real = is_real.iter().map(|&real| f64::from(u8::from(real))).collect();
    let real = constant(real, [p, k, 1], &features);
    let features = features.reshape([p, k, d]) * real; // [p, k, d]
    let companions =
        |class: usize| is_real[class * k..][..k].iter().filter(|&&r| r).count().max(2) - 1;
    let shares = (0..p).map(|class| 1.0 / companions(class) as f64).collect();
    let shares = constant(shares, [p, 1, 1], &features);
    let centroids = (features.clone().sum_dim(1) - features.clone()) * shares; // [p, k, d]

    let queries = features.swap_dims(0, 1); // [k, p, d]
    let centroids = centroids.swap_dims(0, 1); // [k, p, d]
    let norms = centroids.clone().detach().powi_scalar(2).sum_dim(2).sqrt().reshape([k, p]);
    let points = Tensor::cat(vec![queries, centroids], 1); // [k, 2p, d]
    let Hardest { ap, an } = hardest(points, &splits.labels(labels), metric); // [k, 2p]

    CentroidTriplet {
        loss: splits.mean(margin.penalty(ap.clone(), an.clone())),
        dist_ap: splits.mean(ap.detach()),
        dist_an: splits.mean(an.detach()),
        centroid_norm: splits.mean(norms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// 3 classes of 4 images on a line; the second has 2 real images, the third 3.
    fn batch() -> (Vec<f32>, Vec<usize>, Vec<bool>) {
        let points = vec![0.0, 1.0, 2.0, 3.0, 10.0, 12.0, 0.0, 0.0, 20.0, 23.0, 26.0, 0.0];
        let labels = vec![0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
        let real = [[true; 4], [true, true, false, false], [true, true, true, false]].concat();
        (points, labels, real)
    }

    #[test]
    fn splits_follow_the_real_images() {
        let (_, labels, real) = batch();
        let splits = Splits::new(&real, 4);
        let took: Vec<usize> =
            splits.takes_part.chunks(3).map(|s| s.iter().filter(|&&t| t).count()).collect();
        assert_eq!(took, [3, 3, 2, 1]);
        assert_eq!(splits.kept, [true, true, true, false]);
        let of_third = [Some(0), None, Some(2)].repeat(2);
        assert_eq!(splits.labels(&labels)[2 * 6..3 * 6], of_third);
    }

    /// The definition, one split and one anchor at a time.
    fn slow(points: &[f32], labels: &[usize], real: &[bool], k: usize, margin: f32) -> f32 {
        let mut losses = Vec::new();
        for split in 0..k {
            let mut anchors = Vec::new();
            for class in 0..points.len() / k {
                let others: Vec<f32> = (0..k)
                    .filter(|&i| i != split && real[class * k + i])
                    .map(|i| points[class * k + i])
                    .collect();
                if real[class * k + split] && !others.is_empty() {
                    let mean = others.iter().sum::<f32>() / others.len() as f32;
                    anchors.push((points[class * k + split], labels[class * k]));
                    anchors.push((mean, labels[class * k]));
                }
            }
            if anchors.len() < 4 {
                continue;
            }
            let distances = |of: (f32, usize), same: bool| {
                let others = anchors.iter().filter(move |other| (other.1 == of.1) == same);
                others.map(move |other| (other.0 - of.0).abs()).collect::<Vec<f32>>()
            };
            let penalty = |anchor: &(f32, usize)| {
                let farthest = distances(*anchor, true).into_iter().fold(0.0, f32::max);
                let nearest = distances(*anchor, false).into_iter().fold(f32::MAX, f32::min);
                (farthest - nearest + margin).max(0.0)
            };
            losses.push(anchors.iter().map(penalty).sum::<f32>() / anchors.len() as f32);
        }
        losses.iter().sum::<f32>() / losses.len().max(1) as f32
    }

    proptest::proptest! {
        #[test]
        fn equals_the_definition(
            points in proptest::collection::vec(-5f32..5.0, 15),
            real in proptest::collection::vec(proptest::bool::weighted(0.7), 15),
        ) {
            let labels: Vec<usize> = (0..15).map(|i| i / 3).collect();
            let features = TensorData::new(points.clone(), [15, 1]);
            let features = Tensor::<2>::from_data(features, &Device::flex());
            let margin = Margin::Hard(0.5);
            let fast =
                centroid_triplet_loss(features, &labels, &real, 3, margin, Metric::Euclidean);
            let slow = slow(&points, &labels, &real, 3, 0.5);
            let fast: f32 = fast.loss.into_scalar();
            proptest::prop_assert!((fast - slow).abs() < 5e-3, "{fast} {slow}");
        }
    }
}
