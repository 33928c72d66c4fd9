//! Every report that was asked for.

use std::ops::Range;
use std::time::Instant;

use centroids_core::{
    BlockScores, CameraRule, Embeddings, Metric, Pid, Preset, Report, Unit, centroids, score_grid,
    score_preset, search,
};
use centroids_model::{Workers, alone};
use serde::Serialize;

use crate::Error;

/// One evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A unit of the gallery under a camera rule.
    Protocol(Unit, CameraRule),
    /// One of the reference's centroid protocols.
    Preset(Preset),
}

impl Question {
    /// All combinations of the units and rules given, unit by unit.
    pub fn grid(units: &[Unit], rules: &[CameraRule]) -> Vec<Question> {
        let of_rule = |&rule| units.iter().map(move |&unit| Question::Protocol(unit, rule));
        rules.iter().flat_map(of_rule).collect()
    }
}

/// Answers the questions, those about units and rules together. Where both sets name their identities, equal names are equal
/// identities.
///
/// # Errors
/// Other dimensions, or a question for which no query is valid.
pub fn evaluate_all(
    query: &Embeddings,
    gallery: &Embeddings,
    questions: &[Question],
    metric: &Metric,
) -> Result<Vec<Report>, Error> {
    evaluate_together(query, gallery, questions, metric, &*alone())
}

/// [`evaluate_all`] in several processes: each scores a block of the queries, and all get the reports
/// that one process would make, to the last bit.
///
/// # Errors
/// As [`evaluate_all`].
pub fn evaluate_together(
    query: &Embeddings,
    gallery: &Embeddings,
    questions: &[Question],
    metric: &Metric,
    workers: &dyn Workers,
) -> Result<Vec<Report>, Error> {
    let query = numbered_alike(query, gallery);
    let cut = |rank: usize| rank * query.len() / workers.size();
    let block = cut(workers.rank())..cut(workers.rank() + 1);
    let own = score_all(&query, gallery, questions, metric, block)?;
    let mut blocks = if workers.size() == 1 { vec![own] } else { exchange(&own, workers)? };
    let mut all = blocks.remove(0);
    for block in blocks {
        let joined = all.into_iter().zip(block).map(|(scores, more)| scores.join([more]));
        all = joined.collect();
    }
    let reports = all.into_iter().map(|scores| scores.report(&query, gallery));
    Ok(reports.collect::<Result<_, _>>()?)
}

/// What a block of the queries scores, question by question.
fn score_all(
    query: &Embeddings,
    gallery: &Embeddings,
    questions: &[Question],
    metric: &Metric,
    block: Range<usize>,
) -> Result<Vec<BlockScores>, Error> {
    let asked =
        |unit: &Unit, rule: &CameraRule| questions.contains(&Question::Protocol(*unit, *rule));
    let units = |unit: &&Unit| CameraRule::ALL.iter().any(|rule| asked(unit, rule));
    let rules = |rule: &&CameraRule| Unit::ALL.iter().any(|unit| asked(unit, rule));
    let units: Vec<Unit> = Unit::ALL.iter().filter(units).copied().collect();
    let rules: Vec<CameraRule> = CameraRule::ALL.iter().filter(rules).copied().collect();
    let grid = score_grid(query, gallery, (&units, &rules), metric, block.clone())?;
    let answer = |question: &Question| match *question {
        Question::Preset(preset) => score_preset(query, gallery, preset, metric, block.clone()),
        Question::Protocol(unit, rule) => {
            let asked = |scores: &&BlockScores| scores.protocol() == (unit, rule);
            Ok(grid.iter().find(asked).cloned().unwrap_or_else(|| unreachable!("in the grid")))
        }
    };
    questions.iter().map(|question| answer(question).map_err(Error::from)).collect()
}

/// The scores of all processes, in the order of their ranks.
fn exchange(own: &[BlockScores], workers: &dyn Workers) -> Result<Vec<Vec<BlockScores>>, Error> {
    let failed = |error: serde_json::Error| Error::Processes {
        reason: format!("scores of another process cannot be read: {error}"),
    };
    let own = serde_json::to_vec(own).map_err(failed)?;
    let all = workers.gather_bytes(&own);
    all.iter().map(|scores| serde_json::from_slice(scores).map_err(failed)).collect()
}

/// The queries with the pids that equal names have in the gallery.
pub(super) fn numbered_alike(query: &Embeddings, gallery: &Embeddings) -> Embeddings {
    let mut query = query.clone();
    query.adopt_pid_numbers(gallery);
    query
}

/// Queries that are timed for a [`UnitCost`].
const TIMED_QUERIES: usize = 16;
/// Hits of a timed search.
const TIMED_HITS: usize = 10;

/// What it costs to keep a gallery in memory and to search it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct UnitCost {
    /// What is ranked.
    pub unit: Unit,
    /// Vectors kept: the images without junk, or one centroid per identity. Leaving a camera out of
    /// centroids takes a sum per identity and camera beside them.
    pub rows: usize,
    /// Of these vectors in `f32`.
    pub bytes: usize,
    /// Exact search for the ten nearest on all threads, measured, mean of up to 16 queries.
    pub seconds_per_query: f64,
}

/// Counts and measures, with centroids that are made beforehand, as one would keep them.
///
/// # Errors
/// Other dimensions.
pub fn unit_costs(
    query: &Embeddings,
    gallery: &Embeddings,
    units: &[Unit],
    metric: &Metric,
) -> Result<Vec<UnitCost>, Error> {
    let means = centroids(gallery, metric.centroid_of);
    let cost = |&unit: &Unit| {
        let (kept, ranked) = match unit {
            Unit::Centroid => (&means, Unit::Instance),
            unit => (gallery, unit),
        };
        let timed = query.len().min(TIMED_QUERIES);
        let start = Instant::now();
        for row in 0..timed {
            search(query.row(row), None, kept, TIMED_HITS, ranked, metric)?;
        }
        let seconds_per_query = start.elapsed().as_secs_f64() / timed.max(1) as f64;
        let rows = kept.pids().iter().filter(|pid| **pid != Pid::JUNK).count();
        let bytes = rows * kept.dim() * size_of::<f32>();
        Ok(UnitCost { unit, rows, bytes, seconds_per_query })
    };
    units.iter().map(cost).collect()
}
