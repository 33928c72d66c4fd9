//! Learning rate as a pure function of the epoch (reference `solver/build.py` plus the warm-up of
//! its training step).

/// What happens to the base rate after the warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// Multiply by `gamma` at each of `milestones` (epochs). A milestone inside the warm-up has no
    /// effect, as in the reference, where the warm-up overwrites it; one listed twice acts twice.
    MultiStep {
        /// Epochs from which the factor applies.
        milestones: Vec<usize>,
        /// The factor.
        gamma: f64,
    },
    /// `min + (base − min)·(1 + cos(π e / max_epochs)) / 2` (Loshchilov & Hutter 2017).
    Cosine {
        /// Rate at the end.
        min_lr: f64,
        /// Length of the half period.
        max_epochs: usize,
    },
}

/// Learning rate schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Rate after the warm-up.
    pub base_lr: f64,
    /// Epochs of linear warm-up, `(e + 1) / n` of the base rate in epoch `e`; 0 = none.
    pub warmup_epochs: usize,
    /// What follows.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of every step of `epoch` (from 0).
    pub fn lr(&self, epoch: usize) -> f64 {
        if epoch < self.warmup_epochs {
            return (epoch + 1) as f64 / self.warmup_epochs as f64 * self.base_lr;
        }
        match &self.decay {
            Decay::MultiStep { milestones, gamma } => milestones
                .iter()
                .filter(|&&milestone| milestone <= epoch && milestone >= self.warmup_epochs)
                .fold(self.base_lr, |lr, _| lr * gamma),
            Decay::Cosine { min_lr, max_epochs } => {
                let phase = std::f64::consts::PI * epoch as f64 / *max_epochs as f64;
                min_lr + (self.base_lr - min_lr) * (1.0 + phase.cos()) / 2.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_then_steps_down() {
        let decay = Decay::MultiStep { milestones: vec![1, 4, 6], gamma: 0.1 };
        let schedule = Schedule { base_lr: 1.0, warmup_epochs: 2, decay };
        let rates: Vec<f64> = (0..8).map(|epoch| schedule.lr(epoch)).collect();
        assert_eq!(rates[..6], [0.5, 1.0, 1.0, 1.0, 0.1, 0.1]);
        assert!((rates[7] - 0.01).abs() < 1e-15);
    }

    #[test]
    fn cosine_ends_at_the_minimum() {
        let decay = Decay::Cosine { min_lr: 0.1, max_epochs: 10 };
        let schedule = Schedule { base_lr: 1.0, warmup_epochs: 0, decay };
        assert_eq!(schedule.lr(0), 1.0);
        assert!((schedule.lr(5) - 0.55).abs() < 1e-12);
        assert!((schedule.lr(10) - 0.1).abs() < 1e-12);
    }
}
