//! What an image adds to the sum of its class, and the sum.

use centroids_core::CamId;

use crate::error::Error;
use crate::settings::Settings;

/// Of the members that count: their number, the sum of their weights, the sum of weight × embedding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) members: i64,
    pub(crate) weight: f64,
    pub(crate) sum: Vec<f64>,
}

impl Part {
    pub(crate) fn empty(dim: usize) -> Self {
        Self { members: 0, weight: 0.0, sum: vec![0.0; dim] }
    }

    /// Takes all images out.
    pub(crate) fn clear(&mut self) {
        (self.members, self.weight) = (0, 0.0);
        self.sum.fill(0.0);
    }

    /// Adds (`sign` 1) or takes out (−1) an image.
    pub(crate) fn count(&mut self, image: &Contribution, sign: i8) {
        let sign = f64::from(sign);
        self.members += sign as i64;
        self.weight += sign * image.weight;
        let scale = sign * image.scale;
        for (sum, &value) in self.sum.iter_mut().zip(&image.embedding) {
            *sum += scale * f64::from(value);
        }
    }

    /// Adds the images of another.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.members += other.members;
        self.weight += other.weight;
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, other)| *sum += other);
    }

    /// The mean, `[dim]`; there must be an image.
    pub(crate) fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.weight).collect()
    }
}

/// An image's share in a sum.
pub(crate) struct Contribution {
    pub(crate) embedding: Vec<f32>,
    /// In the sum of weights.
    pub(crate) weight: f64,
    /// What the embedding is multiplied by.
    pub(crate) scale: f64,
}

impl Contribution {
    /// # Errors
    /// When the time does not fit the settings.
    pub(crate) fn new(
        settings: &Settings,
        embedding: Vec<f32>,
        weight: f64,
        (key, time): (&str, Option<f64>),
    ) -> Result<Self, Error> {
        let weight = weight * settings.decay(key, time)?;
        let scale = weight * settings.centroid_of.weight(&embedding);
        Ok(Self { embedding, weight, scale })
    }

    /// Length of what it adds to a sum.
    pub(crate) fn length(&self) -> f64 {
        let squares = self.embedding.iter().map(|&value| f64::from(value).powi(2));
        self.scale * squares.sum::<f64>().sqrt()
    }
}

/// A vector as length and direction; the direction of zero is zero.
pub(crate) fn direction(vector: &[f64]) -> (Vec<f32>, f64) {
    let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    let divisor = if norm > 0.0 { norm } else { 1.0 };
    (vector.iter().map(|value| (value / divisor) as f32).collect(), norm)
}

/// A camera as it is kept.
pub(crate) fn camid_of(camid: Option<CamId>) -> i64 {
    camid.map_or(-1, |camid| camid.0.into())
}

/// A camera as it was kept.
pub(crate) fn camera_of(camid: i64) -> Option<CamId> {
    u32::try_from(camid).ok().map(CamId)
}
