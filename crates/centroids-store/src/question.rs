//! What is looked for, and what is found.

use centroids_core::{Calibration, CamId, Pid, Unit};
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::member::MemberId;
use crate::settings::Settings;

/// What to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// Hits per query; fewer if there are no more.
    pub k: usize,
    /// What is ranked.
    pub unit: Unit,
    /// Camera whose images do not count; centroids are those of the other images.
    pub without_camera: Option<CamId>,
    /// Which images count; centroids are those of these images.
    pub filter: Filter,
    /// Beyond this distance the nearest is nobody known; `None`: beyond that of the calibration, if
    /// there is one.
    pub threshold: Option<f64>,
    /// What distances are worth, learned from a validation split.
    pub calibration: Option<Calibration>,
    /// Whether each identity found shows its image nearest to the query.
    pub examples: bool,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            k: 10,
            unit: Unit::Centroid,
            without_camera: None,
            filter: Filter::default(),
            threshold: None,
            calibration: None,
            examples: false,
        }
    }
}

impl SearchOptions {
    /// Refuses a calibration of other distances than the gallery's.
    ///
    /// # Errors
    /// [`centroids_core::Error::OtherCalibration`].
    pub fn check(&self, settings: &Settings) -> Result<(), Error> {
        if let Some(calibration) = &self.calibration {
            calibration.check(&settings.model, self.unit, &settings.metric())?;
        }
        Ok(())
    }

    /// Whether a query whose nearest is at this distance, if there is any, is of nobody known.
    pub fn is_unknown(&self, nearest: Option<f64>) -> bool {
        let calibrated = || Some(self.calibration.as_ref()?.identification.threshold);
        let beyond = |most| nearest.is_some_and(|distance| distance > most);
        nearest.is_none() || self.threshold.or_else(calibrated).is_some_and(beyond)
    }

    /// How likely a hit at this distance is right, if there is a calibration.
    pub fn confidence(&self, distance: f64) -> Option<f64> {
        Some(self.calibration.as_ref()?.confidence.at(distance))
    }
}

/// Attributes a member must have, all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    wanted: Vec<(String, Value)>,
}

impl Filter {
    /// Further wants the attribute `key` to be `value`: a text, a number, true, false or null, which
    /// is also what an absent attribute is.
    ///
    /// # Errors
    /// [`Error::Filter`]: a list or object, or a key with a quotation mark.
    pub fn and(mut self, key: &str, value: Value) -> Result<Self, Error> {
        if matches!(value, Value::Array(_) | Value::Object(_)) || key.contains('"') {
            return Err(Error::Filter { key: key.to_owned() });
        }
        self.wanted.push((key.to_owned(), value));
        Ok(self)
    }

    /// Whether it lets every member pass.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// What is wanted.
    pub fn wanted(&self) -> &[(String, Value)] {
        &self.wanted
    }
}

/// The answer for one query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Nearest first; equal distances by pid, then by member.
    pub hits: Vec<Hit>,
    /// Whether the nearest is beyond the threshold, or there is none.
    pub unknown: bool,
    /// How much farther than the first hit the first of another identity is; `None` if there is no
    /// such hit.
    pub margin: Option<f64>,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// From 1.
    pub rank: usize,
    /// Its identity.
    pub pid: Pid,
    /// Name of the identity, if it has one.
    pub name: Option<String>,
    /// To the image, the nearest image or the centroid, depending on the unit.
    pub distance: f64,
    /// How likely it is right, were it the nearest (the first hit is); `None` without a calibration.
    pub confidence: Option<f64>,
    /// The image found, or the identity's nearest to the query where that was asked for.
    pub example: Option<Example>,
}

/// A member to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its number.
    pub id: MemberId,
    /// Its path or external key.
    pub key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_compare_plain_values() {
        let filter = Filter::default().and("shop", "north".into()).unwrap();
        assert!(!filter.is_empty() && Filter::default().is_empty());
        assert!(filter.clone().and("size", Value::Array(vec![])).is_err());
        assert!(filter.and("a\"b", 1.into()).is_err());
    }
}
