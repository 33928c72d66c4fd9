//! What the tests of the kernels share.

use burn::tensor::{Device, Shape, Tensor, TensorData};

/// Reproducible values in -1..1.
pub(super) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    // The first values of neighbouring seeds are alike.
    next();
    (0..len).map(|_| next()).collect()
}

/// A tensor of [`values`].
pub(super) fn random<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let len = Shape::from(shape).num_elements();
    Tensor::from_data(TensorData::new(values(len, seed), shape), device)
}

/// The elements of a tensor of any float type.
pub(super) fn elements<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}

/// Asserts that all elements differ by at most `tolerance` of the largest expected one.
pub(super) fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: number of elements");
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (actual - expected).abs();
        assert!(error <= tolerance * largest, "{what}[{i}]: {actual} instead of {expected}");
    }
}
