//! How good a search is: mAP, mINP and CMC under an evaluation protocol.
//!
//! This is the plain, exact form: distances and means in `f64`, every query against every
//! candidate. Ties are ordered by gallery index, or by pid where identities are ranked.

mod class;
mod instance;
mod preset;
mod report;
mod score;

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::candidates::{Candidates, QUERY_BLOCK};
use crate::embeddings::Embeddings;
use crate::error::{Error, NoValidQuery};
use crate::ids::Pid;
use crate::protocol::{CameraRule, Metric, Preset, Unit};
use score::QueryScore;

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
    check_dimensions(query, gallery)?;
    let Scores { by_query, gallery_units } = match unit {
        Unit::Instance => instance::score(query, gallery, cameras, metric),
        Unit::Nearest => class::score_nearest(query, gallery, cameras, metric),
        Unit::Centroid => class::score_centroids(query, gallery, cameras, metric),
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
    check_dimensions(query, gallery)?;
    let Scores { by_query, gallery_units } = preset::score(query, gallery, preset, metric);
    let (unit, cameras) = (Unit::Centroid, CameraRule::Market);
    let report = Report::new(unit, cameras, Some(preset), &by_query, gallery_units);
    report.ok_or_else(|| no_valid_query(query, gallery))
}

/// What the protocols hand to the report.
struct Scores {
    /// Per query, in order; `None` = skipped.
    by_query: Vec<Option<QueryScore>>,
    /// How many images or identities are ranked before a query leaves some out.
    gallery_units: usize,
}

/// Scores queries in parallel: `score` gets the number of a query and its distances to every
/// candidate, which it may change. Returns the scores with the numbers of their queries.
fn score_queries<F>(
    query: &Embeddings,
    queries: &[usize],
    candidates: &Candidates<'_>,
    score: F,
) -> Vec<(usize, Option<QueryScore>)>
where
    F: Fn(usize, &mut [f64]) -> Option<QueryScore> + Sync,
{
    let score_block = |block: &[usize]| -> Vec<_> {
        let distances = candidates.distances(query, block);
        block.iter().zip(distances).map(|(&i, mut row)| (i, score(i, &mut row))).collect()
    };
    queries.par_chunks(QUERY_BLOCK).flat_map_iter(score_block).collect()
}

/// [`score_queries`] for all queries, in their order.
fn score_all<F>(
    query: &Embeddings,
    candidates: &Candidates<'_>,
    score: F,
) -> Vec<Option<QueryScore>>
where
    F: Fn(usize, &mut [f64]) -> Option<QueryScore> + Sync,
{
    let all: Vec<usize> = (0..query.len()).collect();
    score_queries(query, &all, candidates, score).into_iter().map(|(_, score)| score).collect()
}

fn check_dimensions(query: &Embeddings, gallery: &Embeddings) -> Result<(), Error> {
    if query.dim() != gallery.dim() {
        return Err(Error::DimensionMismatch { query: query.dim(), gallery: gallery.dim() });
    }
    Ok(())
}

fn no_valid_query(query: &Embeddings, gallery: &Embeddings) -> Error {
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
