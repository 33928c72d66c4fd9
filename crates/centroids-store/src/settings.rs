//! What is fixed when a gallery is made.

use centroids_core::{CentroidOf, Distance, Metric};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::precision::Precision;

/// The latest version of the file format; this program reads and writes all up to it.
pub const FORMAT_VERSION: u32 = 2;

/// The header of a gallery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Dimensions of an embedding.
    pub dim: usize,
    /// What made the embeddings (backbone and a hash of its weights); empty if unknown.
    pub model: String,
    /// The file of that model; empty if unknown.
    pub model_path: String,
    /// How images were prepared, in the words of the embedder; empty if unknown.
    pub preprocessing: String,
    /// Distance of two vectors.
    pub distance: Distance,
    /// Whether queries, images and centroids get length 1 first.
    pub normalize: bool,
    /// What a centroid is the mean of.
    pub centroid_of: CentroidOf,
    /// How members' embeddings are kept.
    pub precision: Precision,
    /// Seconds after which an image counts half; `None`: always the same.
    pub half_life: Option<f64>,
    /// Where the decay has factor 1, seconds since 1970. It cancels out of every centroid and only
    /// keeps the sums within the range of numbers.
    pub reference_time: f64,
    /// Centroids that an identity of several looks may have.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub sub_centroids: usize,
}

fn one() -> usize {
    1
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

impl Settings {
    /// The usual settings: the reference's metric, `f32`, no model named, no decay.
    pub fn new(dim: usize) -> Self {
        let metric = Metric::default();
        Self {
            dim,
            model: String::new(),
            model_path: String::new(),
            preprocessing: String::new(),
            distance: metric.distance,
            normalize: metric.normalize,
            centroid_of: metric.centroid_of,
            precision: Precision::F32,
            half_life: None,
            reference_time: 0.0,
            sub_centroids: 1,
        }
    }

    /// The first version of the file format that can hold such a gallery: 1, with sub-centroids 2.
    pub fn format_version(&self) -> u32 {
        if self.sub_centroids == 1 { 1 } else { 2 }
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        let Self { distance, normalize, centroid_of, .. } = *self;
        Metric { distance, normalize, centroid_of }
    }

    /// The same, compared as `metric` says.
    #[must_use]
    pub fn with_metric(mut self, metric: Metric) -> Self {
        Metric {
            distance: self.distance,
            normalize: self.normalize,
            centroid_of: self.centroid_of,
        } = metric;
        self
    }

    /// Distance of a vector from a query that is ready for comparison; the vector is made so.
    pub(crate) fn distance_from(&self, query: &[f64], vector: &mut [f64]) -> f64 {
        let metric = self.metric();
        metric.prepare(vector);
        metric.distance.between_prepared(query, vector)
    }

    /// Refuses what cannot be kept.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |key, reason: String| Err(Error::Setting { key, reason });
        if self.dim == 0 || self.dim > MAX_DIM {
            return refuse("dim", format!("{} is not between 1 and {MAX_DIM}", self.dim));
        }
        if self.sub_centroids == 0 || self.sub_centroids > MAX_SUB_CENTROIDS {
            let reason = format!("{} is not between 1 and {MAX_SUB_CENTROIDS}", self.sub_centroids);
            return refuse("sub_centroids", reason);
        }
        match self.half_life {
            Some(seconds) if !(seconds.is_finite() && seconds > 0.0) => {
                refuse("half_life", format!("{seconds} is not a number of seconds above 0"))
            }
            _ if !self.reference_time.is_finite() => {
                refuse("reference_time", format!("{} is not a time", self.reference_time))
            }
            _ => Ok(()),
        }
    }

    /// What the weight of an image of this time is multiplied by: `2^((t − t₀) / half-life)`.
    ///
    /// Shifting `t₀` multiplies all weights by one number, which a mean does not notice: centroids
    /// are those of the moment they are asked for, and no sum ever has to be aged.
    ///
    /// # Errors
    /// [`Error::Member`]: no time, or one so far from the reference that its weight is no number.
    pub(crate) fn decay(&self, key: &str, time: Option<f64>) -> Result<f64, Error> {
        let Some(half_life) = self.half_life else {
            return Ok(1.0);
        };
        let refuse = |reason: String| Err(Error::Member { key: key.to_owned(), reason });
        let Some(time) = time else {
            return refuse("has no time, which a gallery with a half-life needs".to_owned());
        };
        let half_lives = (time - self.reference_time) / half_life;
        if !half_lives.is_finite() || half_lives.abs() > MAX_HALF_LIVES {
            return refuse(format!(
                "time {time} is more than {MAX_HALF_LIVES} half-lives from the gallery's reference \
                 time {}: make a gallery with another one and import this one",
                self.reference_time
            ));
        }
        Ok(half_lives.exp2())
    }
}

/// Beyond any network; keeps sizes far from overflow.
const MAX_DIM: usize = 1 << 16;

/// More looks than an identity has.
const MAX_SUB_CENTROIDS: usize = 64;

/// 2^±200 times any `f32` is far within the range of `f64`.
const MAX_HALF_LIVES: f64 = 200.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_half_after_a_half_life() {
        let settings =
            Settings { half_life: Some(10.0), reference_time: 100.0, ..Settings::new(2) };
        let decay = |time| settings.decay("a", Some(time)).unwrap();
        assert_eq!((decay(100.0), decay(90.0), decay(120.0)), (1.0, 0.5, 4.0));
        assert!(settings.decay("a", None).unwrap_err().to_string().contains("has no time"));
        assert!(settings.decay("a", Some(1e9)).is_err());
        assert_eq!(Settings::new(2).decay("a", None).unwrap(), 1.0);
    }

    #[test]
    fn settings_that_cannot_be_kept_are_named() {
        let error = |settings: Settings| settings.check().unwrap_err().to_string();
        assert!(error(Settings::new(0)).starts_with("dim: 0"));
        let endless = Settings { half_life: Some(f64::NAN), ..Settings::new(2) };
        assert!(error(endless).starts_with("half_life: NaN"));
        let none = Settings { sub_centroids: 0, ..Settings::new(2) };
        assert!(error(none).starts_with("sub_centroids: 0 is not between 1 and 64"));
    }
}
