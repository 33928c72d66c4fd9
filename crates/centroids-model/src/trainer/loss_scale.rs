//! Dynamic loss scaling, for gradients that f16 could not hold.

use serde::{Deserialize, Serialize};

/// The factor on the loss, by the rule of PyTorch's `GradScaler` with its defaults.
///
/// A step whose gradients are not all finite is left out and halves the factor; 2000 good steps in a
/// row double it. There is one decision for both optimisers, where the reference's Lightning takes
/// one for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: f64,
    /// Since the factor changed.
    good_steps: u32,
}

impl Default for LossScale {
    fn default() -> LossScale {
        LossScale { factor: 65536.0, good_steps: 0 }
    }
}

impl LossScale {
    /// Good steps in a row that double the factor.
    const INTERVAL: u32 = 2000;
    /// Below this the factor is not what spoils the gradients.
    const LEAST: f64 = 1.0 / 65536.0;

    /// A factor that was just reached.
    #[cfg(test)]
    pub(super) fn of(factor: f64) -> LossScale {
        LossScale { factor, good_steps: 0 }
    }

    /// What the loss is multiplied by and the gradients are divided by: a power of two.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// After a step whose gradients were all finite or not.
    pub(super) fn update(&mut self, finite: bool) {
        self.good_steps += 1;
        if !finite {
            *self = LossScale { factor: self.factor / 2.0, good_steps: 0 };
        } else if self.good_steps == Self::INTERVAL {
            *self = LossScale { factor: self.factor * 2.0, good_steps: 0 };
        }
    }

    /// Whether no factor makes the gradients finite.
    pub(super) fn is_exhausted(&self) -> bool {
        self.factor < Self::LEAST
    }

    /// Whether it is one that training can have reached.
    pub(crate) fn is_sound(&self) -> bool {
        (Self::LEAST..f64::from(f32::MAX)).contains(&self.factor)
            && self.factor.log2().fract() == 0.0
            && self.good_steps < Self::INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_at_once_and_doubles_after_2000_good_steps_in_a_row() {
        let mut scale = LossScale::default();
        let after = |scale: &mut LossScale, steps: u32| {
            (0..steps).for_each(|_| scale.update(true));
            scale.factor()
        };
        assert_eq!(after(&mut scale, 1999), 65536.0);
        scale.update(false);
        assert_eq!(scale.factor(), 32768.0);
        assert_eq!(after(&mut scale, 1999), 32768.0, "the good steps before do not count");
        assert_eq!(after(&mut scale, 1), 65536.0);
        assert_eq!(after(&mut scale, 1999), 65536.0);
        assert_eq!(after(&mut scale, 1), 131_072.0);
    }

    #[test]
    fn gives_up_where_scaling_cannot_help() {
        let mut scale = LossScale::default();
        (0..32).for_each(|_| scale.update(false));
        assert!(!scale.is_exhausted() && scale.is_sound());
        scale.update(false);
        assert!(scale.is_exhausted() && !scale.is_sound());
        for factor in [0.0, -2.0, 3.0, f64::INFINITY] {
            assert!(!LossScale { factor, good_steps: 0 }.is_sound(), "{factor}");
        }
    }
}
