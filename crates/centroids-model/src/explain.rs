//! Where in a picture an embedding comes from.

use burn::tensor::{Tensor, TensorData};

use crate::embedder::Embedder;
use crate::layers::Mode;

/// The embedding of each location of the last feature map.
///
/// The pooled feature is the mean over the locations and the neck is affine, so the mean of these is
/// the picture's embedding, and whatever is linear in the embedding (a dot product with a centroid)
/// is a sum over locations, exactly. The neck's shift is thereby spread evenly.
#[derive(Clone, Debug, PartialEq)]
pub struct LocatedEmbedding {
    /// Height and width of the map.
    pub size: [usize; 2],
    /// Dimension of an embedding.
    pub dim: usize,
    /// `height × width × dim`, row by row.
    pub values: Vec<f32>,
}

impl LocatedEmbedding {
    /// The picture's embedding, `[dim]`.
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.dim];
        for location in self.values.chunks_exact(self.dim) {
            mean.iter_mut().zip(location).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        mean.iter_mut().for_each(|sum| *sum /= self.locations());
        mean
    }

    /// What each location adds to the dot product of the picture's embedding with `direction`,
    /// `[dim]`: `[height × width]`, row by row.
    pub fn contributions(&self, direction: &[f64]) -> Vec<f64> {
        let dot = |location: &[f32]| -> f64 {
            location.iter().zip(direction).map(|(&value, along)| f64::from(value) * along).sum()
        };
        self.values.chunks_exact(self.dim).map(|one| dot(one) / self.locations()).collect()
    }

    fn locations(&self) -> f64 {
        (self.size[0] * self.size[1]) as f64
    }
}

impl Embedder {
    /// Embeds one prepared image, `[3, h, w]` row-major of [`Embedder::input`]'s size, location by
    /// location.
    pub fn embed_located(&self, image: Vec<f32>) -> LocatedEmbedding {
        let head = self.model().head();
        let [h, w] = self.input().size;
        let image = TensorData::new(image, [1, 3, h, w]);
        let image = Tensor::<4>::from_data(image, &head.centers().device());
        let map = self.model().backbone().forward(image, Mode::Eval); // [1, d, h', w']
        let [_, dim, height, width] = map.dims();
        let locations = map.permute([0, 2, 3, 1]).reshape([height * width, dim]); // [h'·w', d]
        let values = head.neck(locations, Mode::Eval).into_data().iter::<f32>().collect();
        LocatedEmbedding { size: [height, width], dim, values }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use centroids_data::InputSpec;

    use super::*;
    use crate::{Backbone, BackboneOptions};

    #[test]
    fn contributions_sum_to_the_dot_product() {
        // Two locations of (1, 2) and (3, 0): mean (2, 1), times (10, 1) = 21 = (12 + 30) / 2.
        let located = LocatedEmbedding { size: [1, 2], dim: 2, values: vec![1.0, 2.0, 3.0, 0.0] };
        assert_eq!(located.mean(), [2.0, 1.0]);
        assert_eq!(located.contributions(&[10.0, 1.0]), [6.0, 15.0]);
    }

    #[test]
    fn the_locations_make_up_the_embedding() {
        for (backbone, size) in [(Backbone::ResNet18, [48, 32]), (Backbone::MobileNetV2, [64, 96])]
        {
            let options = BackboneOptions { backbone, last_stride: 1, stem_relu: false };
            let input = InputSpec { size, ..InputSpec::default() };
            let embedder = Embedder::random(options, input, 7, &Device::default()).unwrap();
            let [h, w] = size;
            let image: Vec<f32> =
                (0..3 * h * w).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
            let whole = embedder.embed_batch(image.clone(), [1, 3, h, w]);
            let located = embedder.embed_located(image);
            assert_eq!(located.values.len(), located.size[0] * located.size[1] * embedder.dim());
            let largest = whole.iter().fold(0.0_f64, |most, value| most.max(value.abs().into()));
            assert!(largest > 0.0);
            for (mean, whole) in located.mean().into_iter().zip(&whole) {
                assert!((mean - f64::from(*whole)).abs() <= 1e-5 * largest, "{mean} {whole}");
            }
            // Not the same everywhere: a mean that was copied to all locations would show nothing.
            assert!(
                located
                    .values
                    .chunks_exact(located.dim)
                    .any(|one| one != &located.values[..located.dim])
            );
        }
    }
}
