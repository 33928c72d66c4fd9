//! The number format of a training's large products.

use burn::tensor::{Device, FloatDType};

use crate::Error;

/// What convolutions and the classifier compute in while training.
///
/// With a half type their inputs, weights and results, and on the way back the gradients of these,
/// are rounded to it; sums are taken in f32. Parameters, optimiser state, norms, pooling, distances
/// and losses are f32 in any case, and so is embedding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Everything in single precision.
    #[default]
    F32,
    /// 8 bits of exponent and 7 of fraction: the range of f32.
    Bf16,
    /// 5 bits of exponent and 10 of fraction, at most 65504: the loss is scaled so that small
    /// gradients are not lost.
    F16,
}

impl Precision {
    /// `f32`, `bf16` or `f16`
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        }
    }

    /// The half type, if it is one.
    pub(crate) fn half(self) -> Option<FloatDType> {
        match self {
            Precision::F32 => None,
            Precision::Bf16 => Some(FloatDType::BF16),
            Precision::F16 => Some(FloatDType::F16),
        }
    }

    /// # Errors
    /// [`Error::Setting`] where the device does not compute in this type.
    pub(crate) fn check(self, device: &Device) -> Result<(), Error> {
        if self.half().is_none_or(|half| device.supports_dtype(half)) {
            return Ok(());
        }
        let reason = "the device does not compute in this type; choose the other one (f16, bf16), or \
                      set use_mixed_precision = false";
        let value = self.name().to_owned();
        Err(Error::Setting { key: "half_type", value, reason: reason.to_owned() })
    }
}
