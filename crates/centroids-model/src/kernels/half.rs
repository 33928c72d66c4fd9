//! Rounding to a half type and back to f32: what a tensor loses on the way through that type.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Bytes, DType};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use super::storage::{CHUNK, Output, copied};
use crate::Precision;

/// Values that are converted at a time: they stay near the core.
const BLOCK: usize = 1024;

/// The tensor of rounded values, in the order of the given one; in place where nothing else holds it.
pub(super) fn round(x: FlexTensor, precision: Precision) -> FlexTensor {
    let round = match precision {
        Precision::F32 => return x,
        Precision::Bf16 => round_values::<bf16>,
        Precision::F16 => round_values::<f16>,
    };
    let whole = x.storage::<f32>().len() == x.layout().num_elements();
    let mut x = if whole { x } else { x.to_contiguous() };
    if let Some(values) = x.try_storage_mut::<f32>() {
        values.par_chunks_mut(CHUNK).for_each(round);
        return x;
    }
    let values = x.storage::<f32>();
    let mut output = Output::new(values.len());
    let chunks = output.as_mut_slice().par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
    chunks.for_each(|(target, values)| round(copied(target, values)));
    // SAFETY: the chunks of the values cover the output, which is as long.
    let values = unsafe { output.into_values() };
    FlexTensor::new(Bytes::from_elems(values), x.layout().clone(), DType::F32)
}

/// Rounds to the nearest number of type `H`, a tie to the even one, in place.
fn round_values<H: Copy + Default>(values: &mut [f32])
where
    [H]: HalfFloatSliceExt,
{
    let mut halves = [H::default(); BLOCK];
    for block in values.chunks_mut(BLOCK) {
        let halves = &mut halves[..block.len()];
        halves.convert_from_f32_slice(block);
        halves.convert_to_f32_slice(block);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType, Tensor};
    use proptest::prelude::*;

    use super::super::testing::{elements, random};
    use super::super::{Convolution, conv2d, conv2d_mixed};
    use super::*;

    fn rounded(values: &[f32], precision: Precision) -> Vec<f32> {
        let device = Device::flex();
        let x = Tensor::<1>::from_floats(values, &device);
        super::super::rounded(x, precision).into_data().iter::<f32>().collect()
    }

    #[test]
    fn rounds_to_the_nearest_number_and_leaves_the_range_of_f16() {
        // One step of the fraction above 1, and its half: a tie goes to the even number.
        let steps =
            |step: f32| [1.0 + step, 1.0 + 0.5 * step, 1.0 + 0.75 * step, -1.0 - 1.5 * step];
        let nearest = |step: f32| [1.0 + step, 1.0, 1.0 + step, -1.0 - 2.0 * step];
        let (f16, bf16) = (2f32.powi(-10), 2f32.powi(-7));
        assert_eq!(rounded(&steps(f16), Precision::F16), nearest(f16));
        assert_eq!(rounded(&steps(bf16), Precision::Bf16), nearest(bf16));
        assert_eq!(rounded(&steps(f16), Precision::F32), steps(f16));
        // The largest f16, beyond it, the smallest, half of that.
        let extremes = [65504.0, 65520.0, 2f32.powi(-24), 2f32.powi(-25)];
        assert_eq!(
            rounded(&extremes, Precision::F16),
            [65504.0, f32::INFINITY, 2f32.powi(-24), 0.0]
        );
        assert!(rounded(&[f32::NAN], Precision::F16)[0].is_nan());
    }

    #[test]
    fn a_part_of_a_tensor_keeps_its_place_and_the_whole_its_values() {
        let device = Device::flex();
        let whole = Tensor::<2>::from_floats([[1.0001, 2.0002], [3.0003, 4.0004]], &device);
        let column = super::super::rounded(whole.clone().narrow(1, 1, 1), Precision::Bf16);
        assert_eq!(elements(&column), [2.0, 4.0]);
        let turned = super::super::rounded(whole.clone().transpose(), Precision::Bf16);
        assert_eq!(elements(&turned), [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(elements(&whole)[3], f64::from(4.0004f32));
    }

    /// Result and both gradients of a convolution.
    fn pass(
        x: &Tensor<4>,
        weight: &Tensor<4>,
        conv: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> [Vec<f64>; 3] {
        let [x, weight] = [x, weight].map(|t| t.clone().detach().require_grad());
        let y = conv(x.clone(), weight.clone());
        let slope = random(y.dims(), 3, &x.device()).cast(x.dtype());
        let gradients = (y.clone() * slope).sum().backward();
        [
            elements(&y),
            elements(&x.grad(&gradients).unwrap()),
            elements(&weight.grad(&gradients).unwrap()),
        ]
    }

    fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
        let size = b.iter().fold(0.0, |size: f64, value| size.max(value.abs()));
        a.iter().zip(b).map(|(a, b)| (a - b).abs() / size).fold(0.0, f64::max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The way of other devices, Burn's convolution of half tensors, is the oracle; on the CPU
        /// tensors of f64 take it.
        #[test]
        fn equals_a_convolution_of_half_tensors(
            kernel in prop::sample::select(vec![1usize, 3]),
            stride in 1usize..3,
            channels in 1usize..20,
            half in prop::sample::select(vec![Precision::Bf16, Precision::F16]),
            depthwise: bool,
        ) {
            let device = Device::flex().autodiff();
            let (output, input) = if depthwise { (channels, 1) } else { (7, channels) };
            let x = random([2, channels, 9, 6], 1, &device);
            let weight = random([output, input, kernel, kernel], 2, &device);
            let how = Convolution { stride: [stride; 2], padding: [kernel / 2; 2], depthwise };
            let ours = pass(&x, &weight, |x, weight| conv2d_mixed(x, weight, how, None, half));
            // Burn's product of bf16 sums in f32, that of f16 rounds sums in between.
            let (step, allowed) = match half {
                Precision::F16 => (2f64.powi(-11), 16.0),
                _ => (2f64.powi(-8), 2.0),
            };
            let [x64, weight64] = [&x, &weight].map(|tensor| tensor.clone().cast(FloatDType::F64));
            let burn = pass(&x64, &weight64, |x, weight| conv2d_mixed(x, weight, how, None, half));
            let single = pass(&x, &weight, |x, weight| conv2d(x, weight, how, None));
            for ((ours, burn), single) in ours.iter().zip(&burn).zip(&single) {
                prop_assert!(largest_difference(ours, burn) <= allowed * step);
                prop_assert!(largest_difference(ours, single) <= 4.0 * step);
                prop_assert!(ours != single, "nothing was rounded");
            }
        }
    }
}
