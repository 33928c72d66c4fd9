//! What follows a convolution while its result is still near the core.

use std::ops::Range;

/// What follows a batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
}

impl Activation {
    /// The function; NaN stays NaN.
    #[inline(always)]
    pub(super) fn of(self, x: f32) -> f32 {
        match self {
            Activation::Identity => x,
            // Not `max`, which would turn NaN into 0.
            Activation::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Activation::Relu6 => x.clamp(0.0, 6.0),
        }
    }

    /// Whether a gradient passes, from the value before or after the activation. NaN passes.
    #[inline(always)]
    #[allow(clippy::neg_cmp_op_on_partial_ord, reason = "one comparison that NaN passes")]
    pub(super) fn passes(self, y: f32) -> bool {
        match self {
            Activation::Identity => true,
            Activation::Relu => !(y <= 0.0),
            Activation::Relu6 => (y > 0.0 && y < 6.0) || y.is_nan(),
        }
    }
}

/// `activation(x + bias + shortcut)` over pixels of `channels` values.
#[derive(Clone, Copy)]
pub(super) struct Epilogue<'a> {
    pub(super) channels: usize,
    /// `[channels]`
    pub(super) bias: &'a [f32],
    /// `[pixels, channels]`
    pub(super) shortcut: Option<&'a [f32]>,
    pub(super) activation: Activation,
}

impl Epilogue<'_> {
    /// Applies it to some channels of a pixel that starts at `row`.
    ///
    /// # Safety
    /// `row` must be valid for the channels.
    #[inline(always)]
    pub(super) unsafe fn apply_row(&self, pixel: usize, channels: Range<usize>, row: *mut f32) {
        // SAFETY: passed on to the caller.
        let values =
            unsafe { std::slice::from_raw_parts_mut(row.add(channels.start), channels.len()) };
        let bias = &self.bias[channels.clone()];
        match self.shortcut {
            Some(shortcut) => {
                let shortcut = &shortcut[pixel * self.channels..][channels];
                for ((value, bias), shortcut) in values.iter_mut().zip(bias).zip(shortcut) {
                    *value = self.activation.of(*value + bias + shortcut);
                }
            }
            None => {
                for (value, bias) in values.iter_mut().zip(bias) {
                    *value = self.activation.of(*value + bias);
                }
            }
        }
    }
}
