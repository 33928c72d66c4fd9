//! How good a search is: mAP, mINP and CMC under an evaluation protocol.
//!
//! This is the plain, exact form: distances and means in `f64`, every query against every
//! candidate. Ties are ordered by gallery index, or by pid where identities are ranked.

mod preset;
mod report;
mod score;

use std::collections::BTreeSet;

use crate::centroid::rows_by_pid;
use crate::comparison::Comparison;
use crate::embeddings::Embeddings;
use crate::error::{Error, NoValidQuery};
use crate::ids::Pid;
use crate::protocol::{CameraRule, Metric, Preset, Unit};

pub(crate) use score::QueryScore;

pub use report::{MAX_RANK, Report};

/// Evaluates every query against the gallery.
///
/// Junk gallery images (pid −1) never count. A query is skipped, and counts in no metric, if
/// nothing relevant is left for it. Where cameras are unknown, [`CameraRule::Market`] and
/// [`CameraRule::Cross`] leave nothing out.
///
/// # Errors
/// [`Error::DimensionMismatch`]; [`Error::NoValidQuery`] if every query is skipped.
pub fn evaluate(
    query: &Embeddings,
    gallery: &Embeddings,
    unit: Unit,
    cameras: CameraRule,
    metric: &Metric,
) -> Result<Report, Error> {
    let comparison = Comparison { query, gallery, unit, cameras, metric };
    comparison.check()?;
    let by_query = comparison.each(&all_rows(query), |seen| {
        QueryScore::of_pid(seen.distances, seen.candidates.pids(), query.pids()[seen.query])
    });
    let gallery_units = match unit {
        Unit::Instance => gallery.pids().iter().filter(|pid| **pid != Pid::JUNK).count(),
        Unit::Nearest | Unit::Centroid => rows_by_pid(gallery.pids()).len(),
    };
    let report = Report::new(unit, cameras, None, &by_query, gallery_units);
    report.ok_or_else(|| no_valid_query(query, gallery))
}

/// Evaluates as the reference's camera-aware centroid mode means to, or does; see [`Preset`].
///
/// The report calls its unit `centroid` and its camera rule `market`, which is what the presets
/// come nearest to.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_preset(
    query: &Embeddings,
    gallery: &Embeddings,
    preset: Preset,
    metric: &Metric,
) -> Result<Report, Error> {
    let (unit, cameras) = (Unit::Centroid, CameraRule::Market);
    Comparison { query, gallery, unit, cameras, metric }.check()?;
    let Scores { by_query, gallery_units } = preset::score(query, gallery, preset, metric);
    let report = Report::new(unit, cameras, Some(preset), &by_query, gallery_units);
    report.ok_or_else(|| no_valid_query(query, gallery))
}

/// What a preset hands to the report.
struct Scores {
    /// Per query, in order; `None` = skipped.
    by_query: Vec<Option<QueryScore>>,
    /// How many images or identities are ranked before a query leaves some out.
    gallery_units: usize,
}

fn all_rows(set: &Embeddings) -> Vec<usize> {
    (0..set.len()).collect()
}

/// Says why no query has anything to find.
pub(crate) fn no_valid_query(query: &Embeddings, gallery: &Embeddings) -> Error {
    let known: BTreeSet<Pid> = gallery.pids().iter().copied().collect();
    let mut why = NoValidQuery { queries: query.len(), ..NoValidQuery::default() };
    for pid in query.pids() {
        match *pid {
            Pid::JUNK => why.junk += 1,
            pid if known.contains(&pid) => why.left_out += 1,
            _ => why.absent += 1,
        }
    }
    Error::NoValidQuery(why)
}
