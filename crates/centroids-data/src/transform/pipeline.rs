//! The two pipelines: one for training, one for evaluation.

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use super::random_erasing::{Rectangle, choose_rectangle, erase};
use super::resize::Resizer;
use super::window::Window;
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
        let mut values = Vec::new();
        self.append(image, &mut Resizer::default(), &mut values);
        values
    }

    /// [`EvalTransform::apply`] to the end of a batch; the resizer is for the next picture again.
    pub fn append(&self, image: &RgbImage, resizer: &mut Resizer, values: &mut Vec<f32>) {
        Window::default().append(image, &self.0, resizer, values);
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

/// What chance decided for one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Augmentation {
    /// Whether left becomes right.
    pub flip: bool,
    /// Top and left of the crop in the padded picture, 0 to twice the padding.
    pub corner: [usize; 2],
    /// What is overwritten with the mean.
    pub erased: Option<Rectangle>,
}

impl TrainTransform {
    /// Values `[3, height, width]` of the picture, changed at random.
    pub fn apply(&self, image: &RgbImage, rng: &mut impl Rng) -> Vec<f32> {
        let mut values = Vec::new();
        self.append(image, &self.draw(rng), &mut Resizer::default(), &mut values);
        values
    }

    /// Draws what is done to one picture.
    pub fn draw(&self, rng: &mut impl Rng) -> Augmentation {
        let flip = rng.random::<f64>() < self.flip;
        let corner = [(); 2].map(|()| rng.random_range(0..=2 * self.padding));
        let erases = rng.random::<f64>() < self.erasing;
        let erased = erases.then(|| choose_rectangle(self.input.size, rng)).flatten();
        Augmentation { flip, corner, erased }
    }

    /// Appends the values `[3, height, width]` of the picture, changed as told, to a batch; the
    /// resizer is for the next picture again.
    ///
    /// # Panics
    /// When the erased rectangle leaves the picture.
    pub fn append(
        &self,
        image: &RgbImage,
        augmentation: &Augmentation,
        resizer: &mut Resizer,
        values: &mut Vec<f32>,
    ) {
        let start = values.len();
        let [top, left] = augmentation.corner.map(|corner| corner as isize - self.padding as isize);
        let window = Window { flip: augmentation.flip, top, left };
        window.append(image, &self.input, resizer, values);
        if let Some(rectangle) = augmentation.erased {
            erase(&mut values[start..], self.input.size, rectangle, self.input.mean);
        }
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
