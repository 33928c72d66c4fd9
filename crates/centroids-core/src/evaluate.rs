//! How good a search is: mAP, mINP, CMC and their relatives under an evaluation protocol.
//!
//! Every metric follows from the ranks of the relevant candidates, so nothing is sorted but those:
//! candidates stream by in tiles of single precision, and it is counted how many precede each
//! relevant one, in double precision where single precision leaves it open. The results are those of
//! comparing every query with every candidate in double precision. Memory: the features, a block of
//! candidates, and a tile per thread.
//!
//! Ties are ordered by gallery index, or by pid where identities are ranked.

mod block;
mod images;
mod matrix;
mod means;
mod pass;
mod precede;
mod preset;
mod report;
mod score;

use std::collections::BTreeSet;

use crate::embeddings::Embeddings;
use crate::error::{Error, NoValidQuery};
use crate::ids::Pid;
use crate::protocol::{CameraRule, Metric, Preset, Unit};
use pass::ByRule;

pub(crate) use score::QueryScore;

pub use block::{BlockScores, score_grid, score_preset};
pub use matrix::{Labels, evaluate_distances};
pub use report::{Report, SHOWN_RANKS};

/// What a query scores by rule.
type Scores = ByRule<Option<QueryScore>>;

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
    Ok(evaluate_grid(query, gallery, &[unit], &[cameras], metric)?.swap_remove(0))
}

/// Evaluates all combinations of units and rules, rule by rule, with as few passes over the gallery
/// as possible: one over the images, one over the means.
///
/// # Errors
/// As [`evaluate`], if there is no valid query for one of them.
pub fn evaluate_grid(
    query: &Embeddings,
    gallery: &Embeddings,
    units: &[Unit],
    rules: &[CameraRule],
    metric: &Metric,
) -> Result<Vec<Report>, Error> {
    let scored = score_grid(query, gallery, (units, rules), metric, 0..query.len())?;
    scored.into_iter().map(|scores| scores.report(query, gallery)).collect()
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
    score_preset(query, gallery, preset, metric, 0..query.len())?.report(query, gallery)
}

fn junk(set: &Embeddings) -> usize {
    set.pids().iter().filter(|pid| **pid == Pid::JUNK).count()
}

fn all_rows(set: &Embeddings) -> Vec<usize> {
    (0..set.len()).collect()
}

/// Says why no query has anything to find.
pub(crate) fn no_valid_query(query: &[Pid], gallery: &[Pid]) -> Error {
    let known: BTreeSet<Pid> = gallery.iter().copied().collect();
    let mut why = NoValidQuery { queries: query.len(), ..NoValidQuery::default() };
    for pid in query {
        match *pid {
            Pid::JUNK => why.junk += 1,
            pid if known.contains(&pid) => why.left_out += 1,
            _ => why.absent += 1,
        }
    }
    Error::NoValidQuery(why)
}
