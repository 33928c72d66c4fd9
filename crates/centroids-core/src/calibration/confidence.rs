//! From a distance to how likely the nearest candidate is right.

use serde::{Deserialize, Serialize};

/// `1 / (1 + exp(-(intercept + slope · distance)))`, which never rises with the distance.
///
/// A logistic curve (Platt 2000) and not an isotonic one: it has two numbers to learn, so some
/// hundred queries suffice, it never says 0 or 1, and where right and wrong distances are about
/// normal with one variance it is the true posterior.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Log odds at distance 0.
    pub intercept: f64,
    /// Change of the log odds with the distance: at most 0.
    pub slope: f64,
}

/// Newton steps; a handful suffices for two numbers.
const STEPS: usize = 100;

impl Confidence {
    /// Probability that a nearest candidate at this distance is right.
    pub fn at(&self, distance: f64) -> f64 {
        1.0 / (1.0 + (-(self.intercept + self.slope * distance)).exp())
    }

    /// The most likely curve for these `(distance, right)`, all finite; there must be one.
    ///
    /// The targets are Platt's, (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2) in place of 1 and 0, which keep
    /// the curve finite where a threshold separates right from wrong. Where the data would have it
    /// rise it is flat.
    pub(super) fn fit(trials: &[(f64, bool)]) -> Self {
        let n = trials.len() as f64;
        let right = trials.iter().filter(|(_, right)| *right).count() as f64;
        let targets = [1.0 / (n - right + 2.0), (right + 1.0) / (right + 2.0)];
        // In units of the spread about the mean, so that both numbers are of one size.
        let center = trials.iter().map(|(distance, _)| distance).sum::<f64>() / n;
        let spread = trials.iter().map(|(d, _)| (d - center).powi(2)).sum::<f64>() / n;
        let spread = if spread > 0.0 { spread.sqrt() } else { 1.0 };
        let points: Vec<(f64, f64)> = trials
            .iter()
            .map(|&(d, right)| ((d - center) / spread, targets[usize::from(right)]))
            .collect();
        let [mut intercept, slope] = most_likely(&points);
        let slope = slope.min(0.0);
        if slope == 0.0 {
            let share = points.iter().map(|(_, target)| target).sum::<f64>() / n;
            intercept = (share / (1.0 - share)).ln();
        }
        Self { intercept: intercept - slope * center / spread, slope: slope / spread }
    }
}

/// Intercept and slope that maximise the likelihood of `(x, target)`: Newton's method, steps halved
/// until they improve (Lin, Lin and Weng 2007).
fn most_likely(points: &[(f64, f64)]) -> [f64; 2] {
    let loss = |[a, b]: [f64; 2]| -> f64 {
        let of = |&(x, target): &(f64, f64)| {
            let odds = a + b * x;
            // ln(1 + e^z) − target · z without overflow.
            odds.max(0.0) + (-odds.abs()).exp().ln_1p() - target * odds
        };
        points.iter().map(of).sum()
    };
    let mut at = [0.0, 0.0];
    let mut best = loss(at);
    for _ in 0..STEPS {
        let step = newton_step(points, at);
        let tried = (0..40).map(|halvings| {
            let scale = 0.5_f64.powi(halvings);
            let next = [at[0] - scale * step[0], at[1] - scale * step[1]];
            (next, loss(next))
        });
        match tried.into_iter().find(|(_, loss)| *loss < best) {
            Some((next, loss)) => (at, best) = (next, loss),
            None => break,
        }
    }
    at
}

/// Inverse Hessian times gradient.
fn newton_step(points: &[(f64, f64)], [a, b]: [f64; 2]) -> [f64; 2] {
    // A little added to the diagonal keeps it invertible where all distances are equal.
    let (mut h, mut g) = ([1e-12, 0.0, 1e-12], [0.0; 2]);
    for &(x, target) in points {
        let p = 1.0 / (1.0 + (-(a + b * x)).exp());
        let weight = p * (1.0 - p);
        h = [h[0] + weight, h[1] + weight * x, h[2] + weight * x * x];
        g = [g[0] + p - target, g[1] + (p - target) * x];
    }
    let det = h[0] * h[2] - h[1] * h[1];
    [(h[2] * g[0] - h[1] * g[1]) / det, (h[0] * g[1] - h[1] * g[0]) / det]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_distances_it_is_the_share_of_right_ones() {
        let trials = [(2.0, true), (2.0, true), (2.0, false), (2.0, true)];
        let found = Confidence::fit(&trials);
        // Targets 4/5, three times, and 1/3.
        let share = (3.0 * 0.8 + 1.0 / 3.0) / 4.0;
        assert!((found.at(2.0) - share).abs() < 1e-9 && found.slope == 0.0, "{found:?}");
    }

    #[test]
    fn the_curve_is_where_its_gradient_is_zero() {
        let trials: Vec<(f64, bool)> =
            (0..400).map(|i| (1e-3 * f64::from(i), (i * 7919) % 400 > i)).collect();
        let found = Confidence::fit(&trials);
        let right = trials.iter().filter(|(_, right)| *right).count() as f64;
        let target = |right_one: bool| {
            if right_one { (right + 1.0) / (right + 2.0) } else { 1.0 / (400.0 - right + 2.0) }
        };
        let residual = |of: &dyn Fn(f64) -> f64| -> f64 {
            trials.iter().map(|&(d, right)| (found.at(d) - target(right)) * of(d)).sum()
        };
        assert!(residual(&|_| 1.0).abs() < 1e-6 && residual(&|d| d).abs() < 1e-6, "{found:?}");
        assert!(found.slope < -1.0);
    }

    #[test]
    fn separable_and_reversed_data_give_a_finite_curve_that_does_not_rise() {
        let separable: Vec<_> = (0..20).map(|i| (f64::from(i), i < 10)).collect();
        let found = Confidence::fit(&separable);
        assert!(
            found.slope.is_finite() && found.at(0.0) > 0.9 && found.at(19.0) < 0.1,
            "{found:?}"
        );
        let reversed: Vec<_> = (0..20).map(|i| (f64::from(i), i >= 10)).collect();
        let found = Confidence::fit(&reversed);
        assert_eq!(found.slope, 0.0);
        assert!((found.at(3.0) - 0.5).abs() < 1e-9);
        let all_right = Confidence::fit(&[(0.0, true), (5.0, true)]);
        assert!((all_right.at(1.0) - 0.75).abs() < 1e-9, "{all_right:?}");
    }
}
