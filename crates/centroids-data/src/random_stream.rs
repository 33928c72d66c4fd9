//! Random numbers that depend on what they are for, never on who asks first.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream is used for: the same seed serves all of them without their numbers meeting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Sampling = 1,
    Augmentation = 2,
    Holdout = 3,
    Product = 4,
    Camera = 5,
    Shot = 6,
}

/// The stream of `purpose` under `seed`, numbered by two indices of the purpose's own choice.
///
/// The four numbers are the ChaCha key, so different numbers give unrelated streams.
pub(crate) fn random_stream(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::*;

    #[test]
    fn streams_repeat_and_differ_in_every_number() {
        let first = |seed, purpose, a, b| random_stream(seed, purpose, a, b).next_u64();
        let base = first(1, Purpose::Sampling, 2, 3);
        assert_eq!(base, first(1, Purpose::Sampling, 2, 3));
        for other in [
            first(9, Purpose::Sampling, 2, 3),
            first(1, Purpose::Shot, 2, 3),
            first(1, Purpose::Sampling, 9, 3),
            first(1, Purpose::Sampling, 2, 9),
        ] {
            assert_ne!(base, other);
        }
    }
}
