//! Normal deviates that are the same on every platform and in every version.

use rand::{Rng, RngExt};

/// Fills `values` with N(0, `std`²) by Box–Muller in f64.
pub(crate) fn fill_normal(values: &mut [f32], std: f64, rng: &mut impl Rng) {
    for pair in values.chunks_mut(2) {
        // 1 − u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * std;
        let (sine, cosine) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        pair[0] = (radius * cosine) as f32;
        if let [_, second] = pair {
            *second = (radius * sine) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn has_mean_zero_and_the_deviation_asked_for() {
        let mut values = vec![0f32; 100_001];
        fill_normal(&mut values, 3.0, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 0.05 && (var.sqrt() - 3.0).abs() < 0.05, "{mean} {var}");
    }
}
