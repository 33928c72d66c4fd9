//! Convolution and frozen batch norm as one: the norm is folded into weight and bias, once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;

use super::channels_last::ChannelsLast;
use super::conv::{self, Prepared};
use super::conv_shape::ConvShape;
use super::epilogue::{Activation, Epilogue};
use super::lanes::Isa;

/// A folded convolution, kept from call to call while its tensors stay the same.
///
/// A clone starts empty: models in training are cloned at every step.
#[derive(Default)]
pub struct FoldedCache(Arc<Mutex<Option<Arc<Folded>>>>);

impl Clone for FoldedCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for FoldedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FoldedCache")
    }
}

impl FoldedCache {
    /// The same cache, for the back end.
    pub(super) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// What is kept, if it was made from these tensors for this shape, else what `fold` makes.
    pub(super) fn get(
        &self,
        sources: &[FlexTensor; 5],
        shape: &ConvShape,
        fold: impl FnOnce() -> Folded,
    ) -> Arc<Folded> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(folded) if folded.is_of(sources, shape) => folded.clone(),
            _ => kept.insert(Arc::new(fold())).clone(),
        }
    }
}

/// Weight multiplied with `gamma / std`, and the bias `beta − mean · gamma / std`.
pub(super) struct Folded {
    weight: Prepared,
    bias: Vec<f32>,
    /// Sizes of one image that the weight was prepared for.
    shape: ConvShape,
    /// Held so that their storage can neither change nor be used again.
    sources: [FlexTensor; 5],
}

impl Folded {
    /// Folds weight, gamma, beta, mean and variance.
    pub(super) fn new(
        isa: Isa,
        shape: &ConvShape,
        depthwise: bool,
        sources: &[FlexTensor; 5],
        epsilon: f64,
    ) -> Self {
        let [weight, gamma, beta, mean, variance] =
            sources.each_ref().map(FlexTensor::to_contiguous);
        let [gamma, beta, mean, variance] =
            [&gamma, &beta, &mean, &variance].map(|tensor| tensor.storage::<f32>());
        let scale = |c: usize| f64::from(gamma[c]) / (f64::from(variance[c]) + epsilon).sqrt();
        let bias = |c: usize| (f64::from(beta[c]) - f64::from(mean[c]) * scale(c)) as f32;
        let channels = 0..shape.channels_out;
        let scales: Vec<f32> = channels.clone().map(|c| scale(c) as f32).collect();
        Self {
            weight: conv::prepare(isa, shape, weight.storage(), depthwise, Some(&scales)),
            bias: channels.map(bias).collect(),
            shape: ConvShape { batch: 1, ..*shape },
            sources: sources.clone(),
        }
    }

    fn is_of(&self, sources: &[FlexTensor; 5], shape: &ConvShape) -> bool {
        let same = |(a, b): (&FlexTensor, &FlexTensor)| {
            Arc::ptr_eq(&a.data_arc(), &b.data_arc()) && a.layout() == b.layout()
        };
        self.shape == ConvShape { batch: 1, ..*shape } && self.sources.iter().zip(sources).all(same)
    }

    /// `activation(conv(x) + bias + shortcut)`
    pub(super) fn apply(
        &self,
        isa: Isa,
        images: &ChannelsLast,
        shortcut: Option<&ChannelsLast>,
        activation: Activation,
    ) -> ChannelsLast {
        let [batch, ..] = images.dims();
        let shape = ConvShape { batch, ..self.shape };
        let shortcut = shortcut.map(ChannelsLast::values);
        let channels = shape.channels_out;
        let epilogue = Epilogue { channels, bias: &self.bias, shortcut, activation };
        let output = conv::forward(isa, &shape, images.values(), &self.weight, Some(&epilogue));
        let [height, width] = shape.size_out;
        ChannelsLast::new(output, [batch, channels, height, width])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use proptest::prelude::*;

    use super::super::testing::{assert_close, elements, random};
    use super::super::{
        Activation, Convolution, FoldedCache, Frozen, Normalization, conv_frozen_batch_norm,
    };

    fn frozen(channels: usize, seed: u64, device: &Device) -> Frozen {
        let [gamma, beta, mean, variance] =
            [0, 1, 2, 3].map(|i| random([channels], seed + i, device));
        Frozen { gamma, beta, mean, variance: variance.abs() + 0.5 }
    }

    fn run(
        [x, weight]: &[Tensor<4>; 2],
        norm: &Frozen,
        shortcut: Option<Tensor<4>>,
        how: (Convolution, Activation),
        cache: &FoldedCache,
    ) -> Vec<f64> {
        let normalization = Normalization { epsilon: 1e-5, activation: how.1 };
        let layers = (weight.clone(), norm.clone());
        let how = (how.0, normalization);
        elements(&conv_frozen_batch_norm(x.clone(), layers, shortcut, how, cache))
    }

    proptest! {
        /// Inside autodiff the same function is made of separate operations.
        #[test]
        fn folding_changes_nothing(
            batch in 1usize..4,
            channels in [1usize..40, 1..40],
            size in [1usize..12, 1..12],
            kernel in prop::sample::select(vec![1usize, 3]),
            stride in 1usize..3,
            (depthwise, added) in any::<(bool, bool)>(),
            activation in prop::sample::select(
                vec![Activation::Identity, Activation::Relu, Activation::Relu6],
            ),
        ) {
            let device = Device::flex();
            let [ci, co] = if depthwise { [channels[0]; 2] } else { channels };
            let weight = [co, if depthwise { 1 } else { ci }, kernel, kernel];
            let inputs =
                [random([batch, ci, size[0], size[1]], 1, &device), random(weight, 2, &device)];
            let padding = [kernel / 2; 2];
            let how = (Convolution { stride: [stride; 2], padding, depthwise }, activation);
            let out = size.map(|size| (size - 1) / stride + 1);
            let shortcut = added.then(|| random([batch, co, out[0], out[1]], 3, &device));
            let norm = frozen(co, 4, &device);
            let folded = run(&inputs, &norm, shortcut.clone(), how, &FoldedCache::default());
            let tracked = inputs.map(Tensor::from_inner);
            let Frozen { gamma, beta, mean, variance } = norm;
            let [gamma, beta, mean, variance] =
                [gamma, beta, mean, variance].map(Tensor::from_inner);
            let norm = Frozen { gamma, beta, mean, variance };
            let shortcut = shortcut.map(Tensor::from_inner);
            let composed = run(&tracked, &norm, shortcut, how, &FoldedCache::default());
            assert_close(&folded, &composed, 1e-5, "folded");
        }
    }

    #[test]
    fn new_tensors_are_folded_anew() {
        let device = Device::flex();
        let how = (
            Convolution { stride: [1; 2], padding: [1; 2], depthwise: false },
            Activation::Identity,
        );
        let cache = FoldedCache::default();
        let x = random([1, 3, 5, 5], 1, &device);
        for seed in 2..5 {
            let inputs = [x.clone(), random([4, 3, 3, 3], seed, &device)];
            let norm = frozen(4, 10 + seed, &device);
            let fresh = run(&inputs, &norm, None, how, &FoldedCache::default());
            for _ in 0..2 {
                assert_eq!(run(&inputs, &norm, None, how, &cache), fresh);
            }
            let wider = [random([2, 3, 9, 4], 1, &device), inputs[1].clone()];
            let fresh = run(&wider, &norm, None, how, &FoldedCache::default());
            assert_eq!(run(&wider, &norm, None, how, &cache), fresh);
        }
    }
}
