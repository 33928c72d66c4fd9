//! Distances between vectors: the only place where they are defined. Smaller is nearer.

use crate::names::named_enum;

/// How far apart two vectors are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Distance {
    /// `Σ (aᵢ − bᵢ)²`, without the root, as the reference ranks. Called `euclidean`.
    #[default]
    SquaredEuclidean,
    /// `max(|1 − cos(a, b)|, 1e-12)`; a zero vector has cosine 0 with everything. Called `cosine`.
    Cosine,
}

named_enum!(Distance, "distance", { SquaredEuclidean => "euclidean", Cosine => "cosine" });

/// Shortest length a vector is divided by, and smallest cosine distance (both the reference's).
const TINY: f64 = 1e-12;

impl Distance {
    /// Distance of two vectors, accumulated in `f64`.
    ///
    /// # Panics
    /// If the vectors have different dimensions.
    pub fn between(self, a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len(), "vectors of different dimensions");
        match self {
            Self::SquaredEuclidean => squared_euclidean(a, b),
            Self::Cosine => cosine_from_dot(dot(a, b) * unit_scale(a) * unit_scale(b)),
        }
    }

    /// The same for vectors in `f64`, which for [`Cosine`](Self::Cosine) must have length 1 or 0, as
    /// [`Metric::prepare`](crate::Metric::prepare) makes them.
    pub fn between_prepared(self, a: &[f64], b: &[f64]) -> f64 {
        match self {
            Self::SquaredEuclidean => squared_euclidean(a, b),
            Self::Cosine => cosine_from_dot(dot(a, b)),
        }
    }
}

/// The factor that gives `vector` length 1; at most 1e12, so a zero vector stays zero.
pub(crate) fn unit_scale<T: Copy + Into<f64>>(vector: &[T]) -> f64 {
    1.0 / length(vector).max(TINY)
}

/// How long a vector is.
pub(crate) fn length<T: Copy + Into<f64>>(vector: &[T]) -> f64 {
    dot(vector, vector).sqrt()
}

fn cosine_from_dot(cosine: f64) -> f64 {
    (1.0 - cosine).abs().max(TINY)
}

fn squared_euclidean<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    sum_of_terms(a, b, |a, b| (a - b) * (a - b))
}

/// Sum of the products.
pub(crate) fn dot<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    sum_of_terms(a, b, |a, b| a * b)
}

/// `Σ term(aᵢ, bᵢ)` in a fixed order: independent partial sums, which the compiler turns into
/// vector instructions (a single sum would forbid that), then the rest.
#[inline]
fn sum_of_terms<T: Copy + Into<f64>>(a: &[T], b: &[T], term: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 16;
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane].into(), b[lane].into());
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| term(a.into(), b.into()));
    lanes.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn euclidean_is_the_squared_distance() {
        assert_eq!(Distance::SquaredEuclidean.between(&[1.0, 2.0], &[4.0, 6.0]), 25.0);
    }

    #[test]
    fn cosine_ignores_length() {
        assert_eq!(Distance::Cosine.between(&[2.0, 0.0], &[0.0, 5.0]), 1.0);
        assert_eq!(Distance::Cosine.between(&[2.0, 0.0], &[-5.0, 0.0]), 2.0);
        assert_eq!(Distance::Cosine.between(&[2.0, 0.0], &[5.0, 0.0]), 1e-12);
        assert_eq!(Distance::Cosine.between(&[0.0, 0.0], &[5.0, 0.0]), 1.0);
    }

    #[test]
    fn long_vectors_are_summed_completely() {
        for dim in [15, 16, 17, 32, 50] {
            let ones = vec![1.0; dim];
            assert_eq!(
                Distance::SquaredEuclidean.between(&ones, &vec![3.0; dim]),
                4.0 * dim as f64
            );
        }
    }

    #[test]
    #[should_panic(expected = "different dimensions")]
    fn vectors_of_different_dimensions_are_a_bug() {
        Distance::Cosine.between(&[1.0], &[1.0, 2.0]);
    }

    #[test]
    fn names_are_the_reference_s() {
        assert_eq!("euclidean".parse::<Distance>().unwrap(), Distance::SquaredEuclidean);
        assert_eq!(serde_json::to_string(&Distance::Cosine).unwrap(), "\"cosine\"");
        assert_eq!(
            "manhattan".parse::<Distance>().unwrap_err().to_string(),
            "unknown distance `manhattan`: use one of euclidean, cosine"
        );
    }
}
