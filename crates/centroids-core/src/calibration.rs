//! What distances mean for one model and gallery unit: from which on a query is unknown, and how
//! sure its nearest candidate is.

mod confidence;

use serde::{Deserialize, Serialize};

use crate::centroid::CentroidOf;
use crate::comparison::Comparison;
use crate::distance::Distance;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::open_set::{Nearest, Trials, UnknownBy, Unknowns};
use crate::protocol::{CameraRule, Metric, Unit};
use crate::roc::allowance;
use crate::search::Hit;
use crate::verification::verify;

pub use confidence::Confidence;

/// Format of the file; a later version of it gets another number.
const FORMAT: &str = "centroids.calibration.v1";

/// What a calibration aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationTargets {
    /// Share of unknown queries that may be answered: false-positive identification rate.
    pub fpir: f64,
    /// Share of pairs of two identities that may be taken for one: false match rate.
    pub fmr: f64,
}

/// What was learned from a validation split.
///
/// Good for galleries like that one: the more identities a gallery has, the nearer is the nearest
/// wrong one, so FPIR grows with it (FMR does not).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    format: String,
    /// Fingerprint of the model; empty if unknown.
    pub model: String,
    /// What was ranked.
    pub unit: Unit,
    /// What was left out.
    pub cameras: CameraRule,
    /// How vectors were compared.
    #[serde(with = "MetricFields")]
    pub metric: Metric,
    /// For searches: who is this, if anyone?
    pub identification: IdentificationThreshold,
    /// For pairs: are these the same? `None` if there were too few pairs for the target.
    pub verification: Option<VerificationThreshold>,
    /// How likely the nearest candidate is right, given a distance and as many unknown queries among
    /// all as there were in the split.
    pub confidence: Confidence,
}

/// Decides whether a search has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentificationThreshold {
    /// A query whose nearest candidate is farther than this is unknown.
    pub threshold: f64,
    /// The rate asked for.
    pub target_fpir: f64,
    /// Share of the split's unknown queries that pass.
    pub fpir: f64,
    /// Share of the split's known queries that pass with their identity.
    pub dir: f64,
    /// Queries of the split with a mate in the gallery.
    pub known_queries: usize,
    /// Queries of the split without one.
    pub unknown_queries: usize,
    /// Identities taken out of the gallery to get these; 0 if the split had enough.
    pub held_out_identities: usize,
}

/// Decides whether two images, or an image and a centroid, show the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerificationThreshold {
    /// Pairs farther apart than this are of two identities.
    pub threshold: f64,
    /// The rate asked for.
    pub target_fmr: f64,
    /// Share of the split's impostor pairs that pass.
    pub fmr: f64,
    /// Share of the split's genuine pairs that pass.
    pub tpr: f64,
}

/// What the hits of a search are worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether the nearest is near enough to be an answer; otherwise nobody the gallery knows.
    pub known: bool,
    /// Probability that the nearest is right; 0 without hits.
    pub confidence: f64,
}

/// Learns thresholds and confidence from a validation split, which must not be the test set.
///
/// The identification threshold is the distance of the ⌊target · n⌋-th nearest of the n unknown
/// queries, so that of fresh ones a share of ⌊target · n⌋ / (n + 1), just below the target, is
/// expected to pass.
///
/// # Errors
/// As [`open_set`](crate::open_set()), and [`Error::TooFewUnknown`].
pub fn calibrate(
    query: &Embeddings,
    gallery: &Embeddings,
    (unit, cameras): (Unit, CameraRule),
    metric: &Metric,
    unknowns: &Unknowns,
    targets: &CalibrationTargets,
) -> Result<Calibration, Error> {
    let comparison = Comparison { query, gallery, unit, cameras, metric };
    let trials = Trials::new(&comparison, unknowns, &[targets.fpir])?;
    let verification = verify(query, gallery, unit, cameras, metric)?;
    let at_fmr = verification.roc.at_fpr(targets.fmr);
    let verification = at_fmr.and_then(|point| {
        Some(VerificationThreshold {
            threshold: point.threshold?,
            target_fmr: targets.fmr,
            fmr: point.fpr,
            tpr: point.tpr,
        })
    });
    let all = trials.known.iter().chain(&trials.unknown);
    let found = all.filter(|nearest| nearest.distance.is_finite());
    let found: Vec<_> = found.map(|nearest| (nearest.distance, nearest.right)).collect();
    Ok(Calibration {
        format: FORMAT.to_owned(),
        model: gallery.model().to_owned(),
        unit,
        cameras,
        metric: *metric,
        identification: identification_threshold(&trials, targets.fpir)?,
        verification,
        confidence: Confidence::fit(&found),
    })
}

fn identification_threshold(
    trials: &Trials,
    target_fpir: f64,
) -> Result<IdentificationThreshold, Error> {
    let mut unknown: Vec<f64> = trials.unknown.iter().map(|nearest| nearest.distance).collect();
    unknown.sort_unstable_by(f64::total_cmp);
    let passing = allowance(target_fpir, unknown.len() as u64) as usize;
    let needed = (1.0 / target_fpir).ceil() as u64;
    let too_few = || Error::TooFewUnknown { unknown: unknown.len(), target: target_fpir, needed };
    let farthest = unknown[..passing].last().copied().ok_or_else(too_few)?;
    // Ties beyond the allowance keep all of their distance out.
    let tied = unknown.get(passing) == Some(&farthest);
    // Nor is there a distance beyond all others, of queries without any candidate.
    let threshold = if tied { farthest.next_down() } else { farthest.min(f64::MAX) };
    let share = |trials: &[Nearest], passes: fn(&Nearest) -> bool| {
        let passing = trials.iter().filter(|nearest| nearest.distance <= threshold);
        passing.filter(|nearest| passes(nearest)).count() as f64 / trials.len() as f64
    };
    Ok(IdentificationThreshold {
        threshold,
        target_fpir,
        fpir: share(&trials.unknown, |_| true),
        dir: share(&trials.known, |nearest| nearest.right),
        known_queries: trials.known.len(),
        unknown_queries: trials.unknown.len(),
        held_out_identities: match trials.by {
            UnknownBy::Absent => 0,
            UnknownBy::HeldOut { identities, .. } => identities,
        },
    })
}

impl Calibration {
    /// Judges the hits of a search, nearest first. It must be one that [`check`](Self::check) admits.
    pub fn judge(&self, hits: &[Hit]) -> Verdict {
        let nearest = hits.first().map(|hit| hit.distance);
        Verdict {
            known: nearest.is_some_and(|distance| distance <= self.identification.threshold),
            confidence: nearest.map_or(0.0, |distance| self.confidence.at(distance)),
        }
    }

    /// Refuses searches in which distances mean something else.
    ///
    /// # Errors
    /// [`Error::OtherCalibration`]. An unknown model, an empty name, passes.
    pub fn check(&self, model: &str, unit: Unit, metric: &Metric) -> Result<(), Error> {
        let of = |metric: &Metric| {
            let length = if metric.normalize { "of unit vectors" } else { "of raw vectors" };
            format!("{} {length}, centroids of {} ones", metric.distance, metric.centroid_of)
        };
        let other = |what, theirs, ours| Err(Error::OtherCalibration { what, theirs, ours });
        if !model.is_empty() && !self.model.is_empty() && model != self.model {
            return other("model", self.model.clone(), model.to_owned());
        }
        if unit != self.unit {
            return other("unit", self.unit.to_string(), unit.to_string());
        }
        let centroid_of =
            if unit == Unit::Centroid { self.metric.centroid_of } else { metric.centroid_of };
        if *metric != (Metric { centroid_of, ..self.metric }) {
            return other("distance", of(&self.metric), of(metric));
        }
        Ok(())
    }

    /// Text of the file, indented JSON.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("numbers and names are JSON");
        text + "\n"
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`Error::BadCalibration`], which says what is wrong.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: String,
        }
        let bad = |problem: String| Error::BadCalibration(problem);
        let Format { format } =
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if format != FORMAT {
            return Err(bad(format!("its format is `{format}`, this version reads `{FORMAT}`")));
        }
        let read: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if read.confidence.slope > 0.0 {
            return Err(bad("confidence.slope must not be above 0".to_owned()));
        }
        Ok(read)
    }
}

/// How a metric is spelled in the file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Metric")]
struct MetricFields {
    distance: Distance,
    normalize: bool,
    centroid_of: CentroidOf,
}
