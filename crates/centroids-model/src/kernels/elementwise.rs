//! Elementwise passes over whole tensors, in place where nothing else holds them.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

use super::storage::{CHUNK, Output, contiguous};

/// `relu(x)`; NaN stays NaN.
pub(super) fn relu(x: FlexTensor) -> FlexTensor {
    map(x, rectified)
}

/// `relu(x + y)` of equally shaped tensors.
pub(super) fn add_relu(x: FlexTensor, y: FlexTensor) -> FlexTensor {
    zip(x, &y, |x, y| rectified(x + y))
}

/// Gradient of [`relu`] and [`add_relu`] from their output: zero where the output is.
pub(super) fn relu_backward(gradient: FlexTensor, output: &FlexTensor) -> FlexTensor {
    zip(gradient, output, |gradient, output| if output == 0.0 { 0.0 } else { gradient })
}

fn rectified(x: f32) -> f32 {
    // Not `max`, which would turn NaN into 0.
    if x < 0.0 { 0.0 } else { x }
}

fn map(x: FlexTensor, value: impl Fn(f32) -> f32 + Copy + Sync) -> FlexTensor {
    map_planes(x, CHUNK, move |_| value)
}

/// Maps every run of `len` elements by the function that `of_run` gives for its number.
pub(super) fn map_planes<F: Fn(f32) -> f32>(
    x: FlexTensor,
    len: usize,
    of_run: impl Fn(usize) -> F + Sync,
) -> FlexTensor {
    let mut x = contiguous(x);
    let runs_per_task = CHUNK.div_ceil(len);
    if let Some(values) = x.try_storage_mut::<f32>() {
        values.par_chunks_mut(len).with_min_len(runs_per_task).enumerate().for_each(|(i, run)| {
            let value = of_run(i);
            for x in run {
                *x = value(*x);
            }
        });
        return x;
    }
    let values = x.storage::<f32>();
    let mut output = Output::new(values.len());
    let targets = output.as_mut_slice().par_chunks_mut(len).zip(values.par_chunks(len));
    targets.with_min_len(runs_per_task).enumerate().for_each(|(i, (targets, run))| {
        let value = of_run(i);
        for (target, x) in targets.iter_mut().zip(run) {
            target.write(value(*x));
        }
    });
    // SAFETY: the chunks of `values` cover the output, which is as long.
    unsafe { output.into_tensor(shape(&x)) }
}

/// Combines two tensors of one shape, into the first where nothing else holds it.
fn zip(x: FlexTensor, y: &FlexTensor, value: impl Fn(f32, f32) -> f32 + Copy + Sync) -> FlexTensor {
    assert_eq!(shape(&x), shape(y), "shapes of an elementwise operation");
    let (mut x, y) = (contiguous(x), y.to_contiguous());
    let others = y.storage::<f32>();
    if let Some(values) = x.try_storage_mut::<f32>() {
        values.par_chunks_mut(CHUNK).zip(others.par_chunks(CHUNK)).for_each(|(values, others)| {
            for (x, y) in values.iter_mut().zip(others) {
                *x = value(*x, *y);
            }
        });
        return x;
    }
    let values = x.storage::<f32>();
    let mut output = Output::new(values.len());
    let sources = values.par_chunks(CHUNK).zip(others.par_chunks(CHUNK));
    output.as_mut_slice().par_chunks_mut(CHUNK).zip(sources).for_each(|(targets, (xs, ys))| {
        for (target, (x, y)) in targets.iter_mut().zip(xs.iter().zip(ys)) {
            target.write(value(*x, *y));
        }
    });
    // SAFETY: the chunks of `values` cover the output, which is as long.
    unsafe { output.into_tensor(shape(&x)) }
}

fn shape(tensor: &FlexTensor) -> Shape {
    tensor.layout().shape().clone()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::super::testing::{elements, random};
    use super::super::{add_relu, relu};

    #[test]
    fn relu_keeps_what_is_positive_and_nan() {
        let x = Tensor::<1>::from_floats([-1.0, 0.0, 2.0, f32::NAN], &Device::flex());
        let shared = x.clone();
        let y = elements(&relu(x));
        assert_eq!(y[..3], [0.0, 0.0, 2.0]);
        assert!(y[3].is_nan());
        assert_eq!(elements(&shared)[0], -1.0, "a shared input is left alone");
    }

    #[test]
    fn gradients_pass_where_the_output_is_positive() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_floats([-1.0, 3.0, 2.0], &device).require_grad();
        let y = Tensor::<1>::from_floats([0.5, -1.0, -4.0], &device).require_grad();
        let factors = Tensor::<1>::from_floats([5.0, 6.0, 7.0], &device);
        let output = add_relu(x.clone(), y.clone());
        assert_eq!(elements(&output), [0.0, 2.0, 0.0]);
        let grads = (output * factors.clone() + relu(x.clone()) * factors).sum().backward();
        assert_eq!(elements(&x.grad(&grads).unwrap()), [0.0, 12.0, 7.0]);
        assert_eq!(elements(&y.grad(&grads).unwrap()), [0.0, 6.0, 0.0]);
    }

    #[test]
    fn long_tensors_are_covered_to_the_end() {
        let device = Device::flex();
        let x = random([3, 50_001], 1, &device);
        let expected: Vec<f64> = elements(&x).iter().map(|x| x.max(0.0)).collect();
        assert_eq!(elements(&relu(x.clone())), expected, "into a new tensor");
        assert_eq!(elements(&relu(x)), expected, "in place");
    }
}
