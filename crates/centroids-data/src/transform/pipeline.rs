//! The two pipelines: one for training, one for evaluation.

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use super::flip::flip_horizontally;
use super::normalize::normalize;
use super::pad_crop::pad_crop;
use super::random_erasing::{choose_rectangle, erase};
use super::resize::resize;
use crate::rgb_image::RgbImage;

/// What the network expects as input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Mean of each channel on the scale 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel on the same scale.
    pub std: [f32; 3],
}

impl Default for InputSpec {
    /// 256×128 with ImageNet's mean and deviation: the reference's `INPUT.SIZE_TRAIN`,
    /// `PIXEL_MEAN`, `PIXEL_STD`.
    fn default() -> Self {
        Self { size: [256, 128], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

/// Resize and normalise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalTransform(pub InputSpec);

impl EvalTransform {
    /// Values `[3, height, width]` of the picture.
    pub fn apply(&self, image: &RgbImage) -> Vec<f32> {
        let InputSpec { size, mean, std } = self.0;
        normalize(&resize(image, size), mean, std)
    }
}

/// Resize, flip, pad, random crop, normalise, erase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainTransform {
    /// What comes out.
    pub input: InputSpec,
    /// Probability of a horizontal flip (reference: `INPUT.PROB`, 0.5).
    pub flip: f64,
    /// Black pixels put around the picture before the random crop (`INPUT.PADDING`, 10).
    pub padding: usize,
    /// Probability of random erasing (`INPUT.RE_PROB`, 0.5).
    pub erasing: f64,
}

impl TrainTransform {
    /// Values `[3, height, width]` of the picture, changed at random.
    pub fn apply(&self, image: &RgbImage, rng: &mut impl Rng) -> Vec<f32> {
        let InputSpec { size, mean, std } = self.input;
        let mut resized = resize(image, size);
        if rng.random::<f64>() < self.flip {
            flip_horizontally(&mut resized);
        }
        let top = rng.random_range(0..=2 * self.padding);
        let left = rng.random_range(0..=2 * self.padding);
        let mut values = normalize(&pad_crop(&resized, self.padding, top, left), mean, std);
        if rng.random::<f64>() < self.erasing
            && let Some(rectangle) = choose_rectangle(size, rng)
        {
            erase(&mut values, size, rectangle, mean);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn input(size: [usize; 2]) -> InputSpec {
        InputSpec { size, ..InputSpec::default() }
    }

    fn picture() -> RgbImage {
        RgbImage { width: 5, height: 9, pixels: (0..5 * 9 * 3).map(|v| v as u8).collect() }
    }

    #[test]
    fn training_without_chance_is_evaluation() {
        let quiet = TrainTransform { input: input([8, 4]), flip: 0.0, padding: 0, erasing: 0.0 };
        let trained = quiet.apply(&picture(), &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(trained, EvalTransform(input([8, 4])).apply(&picture()));
    }

    #[test]
    fn the_same_stream_gives_the_same_values() {
        let lively = TrainTransform { input: input([8, 4]), flip: 0.5, padding: 2, erasing: 0.5 };
        let run = |seed| lively.apply(&picture(), &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(run(1), run(1));
        assert!((2..20).any(|seed| run(seed) != run(1)));
    }
}
