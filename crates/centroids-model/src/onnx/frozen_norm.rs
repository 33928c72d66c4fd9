//! A batch norm with its running statistics, on the host.

use crate::Error;
use crate::kernels::Frozen;
use crate::layers::BatchNorm;
use crate::weights::{Array, to_array};

/// `(x − mean) / sqrt(variance + ε) · gamma + beta`, each `[c]`.
pub(super) struct FrozenNorm {
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
}

impl FrozenNorm {
    /// # Errors
    /// [`Error::Setting`]: a variance that has no square root; `name` says of which norm.
    pub(super) fn read(norm: &BatchNorm, name: &str) -> Result<FrozenNorm, Error> {
        let Frozen { gamma, beta, mean, variance } = norm.frozen();
        let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(to_array);
        let bad = |variance: &&f32| **variance < 0.0 || !variance.is_finite();
        match variance.values.iter().find(bad) {
            Some(value) => Err(Error::Setting {
                key: "running_var",
                value: value.to_string(),
                reason: format!("batch norm `{name}` has no such variance; train the model again"),
            }),
            None => Ok(FrozenNorm { gamma, beta, mean, variance }),
        }
    }

    /// Multiplies the rows of `weight`, `[c, …]`, and returns the bias, `[c]`: the convolution by
    /// both equals the norm of the one before. In double precision, as the kernels fold.
    pub(super) fn fold_into(&self, weight: &mut Array) -> Array {
        let channels = self.gamma.values.len();
        let row = weight.values.len() / channels;
        let of = |array: &Array, c: usize| f64::from(array.values[c]);
        let bias = weight.values.chunks_exact_mut(row).enumerate().map(|(c, weights)| {
            let scale = of(&self.gamma, c) / (of(&self.variance, c) + BatchNorm::EPSILON).sqrt();
            weights.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
            (of(&self.beta, c) - of(&self.mean, c) * scale) as f32
        });
        Array { values: bias.collect(), shape: vec![channels] }
    }

    /// PyTorch's names and the tensors, in the order of ONNX's `BatchNormalization`.
    pub(super) fn parts(self) -> [(&'static str, Array); 4] {
        [
            ("weight", self.gamma),
            ("bias", self.beta),
            ("running_mean", self.mean),
            ("running_var", self.variance),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(values: &[f32]) -> Array {
        Array { shape: vec![values.len()], values: values.to_vec() }
    }

    #[test]
    fn folds_scale_and_shift() {
        let variance = [4.0, 0.25].map(|variance| variance - BatchNorm::EPSILON as f32);
        let norm = FrozenNorm {
            gamma: array(&[3.0, -1.0]),
            beta: array(&[0.5, 1.0]),
            mean: array(&[2.0, 4.0]),
            variance: array(&variance),
        };
        let mut weight = Array { shape: vec![2, 1, 1, 2], values: vec![1.0, 2.0, 1.0, -1.0] };
        let bias = norm.fold_into(&mut weight);
        // scales 3 / 2 and −1 / 0.5; 0.5 − 2 · 1.5 and 1 + 4 · 2
        let close = |ours: &[f32], wanted: &[f32]| {
            ours.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5) && ours.len() == wanted.len()
        };
        assert!(close(&weight.values, &[1.5, 3.0, -2.0, 2.0]), "{weight:?}");
        assert!(close(&bias.values, &[-2.5, 9.0]), "{bias:?}");
    }
}
