//! What follows a convolution while its result is still near the core.

use std::ops::Range;

use super::lanes::Lanes;

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
    /// `row` must be valid for the channels, and the machine have the unit of `V`.
    #[inline(always)]
    pub(super) unsafe fn apply_row<V: Lanes>(
        &self,
        pixel: usize,
        channels: Range<usize>,
        row: *mut f32,
    ) {
        let bias = self.bias[..channels.end].as_ptr();
        let start = pixel * self.channels;
        let shortcut = self.shortcut.map(|shortcut| shortcut[start..][..channels.end].as_ptr());
        let whole = channels.start + channels.len() / V::LEN * V::LEN;
        // SAFETY: bias and shortcut reach to the last channel, and the caller answers for the row.
        unsafe {
            for channel in (channels.start..whole).step_by(V::LEN) {
                self.apply::<V>(channel, row, bias, shortcut);
            }
            for channel in whole..channels.end {
                self.apply::<f32>(channel, row, bias, shortcut);
            }
        }
    }

    #[inline(always)]
    unsafe fn apply<V: Lanes>(
        &self,
        channel: usize,
        row: *mut f32,
        bias: *const f32,
        shortcut: Option<*const f32>,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut x = V::load(row.add(channel)).add(V::load(bias.add(channel)));
            if let Some(shortcut) = shortcut {
                x = x.add(V::load(shortcut.add(channel)));
            }
            let x = match self.activation {
                Activation::Identity => x,
                Activation::Relu => V::splat(0.0).max(x),
                Activation::Relu6 => V::splat(6.0).min(V::splat(0.0).max(x)),
            };
            x.store(row.add(channel));
        }
    }
}
