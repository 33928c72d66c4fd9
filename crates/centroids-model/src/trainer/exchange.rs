//! What the processes of a training tell each other in a step: gradients, loss terms, features.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use super::StepTerms;
use crate::loss::TrainLabels;
use crate::workers::Workers;

/// Values of one message: 25 MiB, as PyTorch's. In one piece 100 MB go no faster, in smaller ones
/// slower.
const BUCKET: usize = (25 << 20) / size_of::<f32>();

/// Gradients on their way: all in one array, which goes in buckets and serves the next step too.
pub(super) struct FlatGradients {
    values: Vec<f32>,
    bucket: usize,
}

impl FlatGradients {
    pub(super) fn new() -> FlatGradients {
        FlatGradients { values: Vec::new(), bucket: BUCKET }
    }

    /// Replaces every gradient by its mean over the processes.
    pub(super) fn average<M: Module>(
        &mut self,
        model: &M,
        gradients: &mut Gradients,
        workers: &dyn Workers,
    ) {
        self.values.clear();
        model.visit(&mut Flatten { gradients, flat: &mut self.values });
        self.values.chunks_mut(self.bucket).for_each(|bucket| workers.mean(bucket));
        model.visit(&mut Unflatten { gradients, rest: &self.values });
    }
}

struct Flatten<'a> {
    gradients: &'a Gradients,
    flat: &'a mut Vec<f32>,
}

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.flat.extend(host_values(gradient));
        }
    }
}

struct Unflatten<'a> {
    gradients: &'a mut Gradients,
    rest: &'a [f32],
}

impl ModuleVisitor for Unflatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let param = param.val();
        let Some(old) = param.grad(self.gradients) else { return };
        let (shape, kind) = (old.dims(), (&old.device(), old.dtype()));
        let (values, rest) = self.rest.split_at(shape.iter().product());
        let data = TensorData::new(values.to_vec(), shape).convert_dtype(old.dtype());
        param.grad_replace(self.gradients, Tensor::from_data(data, kind));
        self.rest = rest;
    }
}

/// Row-major values of a tensor.
fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap_or_default()
}

/// Every term becomes its mean over the processes.
pub(super) fn average_terms(terms: StepTerms, workers: &dyn Workers) -> StepTerms {
    let (centroid, norm) = (terms.centroid_triplet, terms.l2_mean_centroid);
    // They were f32 before.
    let mut values = [
        terms.total,
        terms.query_xent,
        terms.query_triplet,
        terms.query_center,
        terms.dist_ap,
        terms.dist_an,
        centroid.unwrap_or_default(),
        norm.unwrap_or_default(),
    ]
    .map(|term| term as f32);
    workers.mean(&mut values);
    let [total, query_xent, query_triplet, query_center, dist_ap, dist_an, a, b] =
        values.map(f64::from);
    let (centroid_triplet, l2_mean_centroid) = (centroid.map(|_| a), norm.map(|_| b));
    StepTerms {
        total,
        query_xent,
        query_triplet,
        query_center,
        centroid_triplet,
        dist_ap,
        dist_an,
        l2_mean_centroid,
    }
}

/// Features and labels of all processes, in the order of their ranks: `[n, d]` → `[size · n, d]`.
/// The own rows keep their gradient, the others have none.
pub(super) fn gather_features(
    own: &Tensor<2>,
    labels: &TrainLabels,
    workers: &dyn Workers,
) -> (Tensor<2>, TrainLabels) {
    let ([n, d], device) = (own.dims(), own.device());
    let all = workers.gather(&host_values(own.clone().inner()));
    let of_rank = |(rank, values): (usize, &[f32])| match rank == workers.rank() {
        true => own.clone(),
        false => Tensor::from_data(TensorData::new(values.to_vec(), [n, d]), &device),
    };
    let features = all.chunks_exact(n * d).enumerate().map(of_rank).collect();
    (Tensor::cat(features, 0), gather_labels(labels, workers))
}

/// Bits travel as they are, whatever number they would be.
fn gather_labels(own: &TrainLabels, workers: &dyn Workers) -> TrainLabels {
    let rows = own.labels.iter().zip(&own.is_real);
    let own_rows: Vec<f32> =
        rows.map(|(&label, &real)| f32::from_bits((label as u32) << 1 | u32::from(real))).collect();
    let all: Vec<u32> = workers.gather(&own_rows).into_iter().map(f32::to_bits).collect();
    TrainLabels {
        labels: all.iter().map(|row| (row >> 1) as usize).collect(),
        is_real: all.iter().map(|row| row & 1 == 1).collect(),
        k: own.k,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::layers::{Activation, BatchNorm, Conv2d, Mode};
    use crate::workers::testing::together;

    #[derive(Module, Debug)]
    struct Small {
        conv: Conv2d,
        norm: BatchNorm,
    }

    /// Gradients of all parameters for an image of `value`; the norm's shift is frozen.
    fn gradients(model: &Small, value: f32, device: &Device) -> Gradients {
        let image = Tensor::<4>::ones([1, 2, 3, 3], device).mul_scalar(value);
        let y = model.conv.forward(image, crate::layers::Part::Inner, crate::layers::Mode::Eval);
        model.norm.forward(y, Activation::Identity, Mode::Eval).sum().backward()
    }

    fn flat(model: &Small, gradients: &Gradients) -> Vec<f32> {
        let mut flat = Vec::new();
        model.visit(&mut Flatten { gradients, flat: &mut flat });
        flat
    }

    #[test]
    fn gradients_in_buckets_become_their_mean() {
        let device = Device::flex().autodiff();
        let mut norm = BatchNorm::new(4, &device);
        norm.bias = norm.bias.set_require_grad(false);
        let model = Small { conv: Conv2d::new(2, 4, 3, 1, &device), norm };
        let of = |value: f32| flat(&model, &gradients(&model, value, &device));
        let wanted: Vec<f32> = of(1.0).iter().zip(of(4.0)).map(|(a, b)| (a + b) / 2.0).collect();
        assert_eq!(wanted.len(), 4 * 2 * 9 + 4, "weight and scale, not the frozen shift");
        assert!(wanted[..72].iter().any(|&value| value > 10.0));
        for bucket in [1, 7, 76, BUCKET] {
            let ours = together(2, |workers| {
                let mut own = gradients(&model, [1.0, 4.0][workers.rank()], &device);
                let mut travelling = FlatGradients { values: vec![9.0; 3], bucket };
                travelling.average(&model, &mut own, &*workers);
                flat(&model, &own)
            });
            assert_eq!(ours, [wanted.clone(), wanted.clone()], "buckets of {bucket}");
        }
    }

    #[test]
    fn gathered_rows_stand_in_the_order_of_ranks_and_only_the_own_have_a_gradient() {
        let device = Device::flex().autodiff();
        let all = together(2, |workers| {
            let rank = workers.rank();
            let own = Tensor::<2>::full([2, 3], rank as f32 + 1.0, &device).require_grad();
            let labels =
                TrainLabels { labels: vec![70_000, rank], is_real: vec![true, rank == 0], k: 1 };
            let (features, labels) = gather_features(&own, &labels, &*workers);
            let values = host_values(features.clone().inner());
            let gradient = own.grad(&features.sum().backward()).unwrap();
            (values, host_values(gradient), labels)
        });
        for (values, gradient, labels) in all {
            assert_eq!(values, [[1.0; 6], [2.0; 6]].concat());
            assert_eq!(gradient, [1.0; 6]);
            assert_eq!(labels.labels, [70_000, 0, 70_000, 1]);
            assert_eq!(labels.is_real, [true, true, true, false]);
        }
    }
}
