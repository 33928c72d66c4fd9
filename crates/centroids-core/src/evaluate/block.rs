//! Scores of some of the queries, from which a report of all is put together.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::score::QueryScore;
use super::{Report, Scores, images, junk, means, no_valid_query, preset};
use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::protocol::{CameraRule, Metric, Preset, Unit};

/// What the queries of a block score by one protocol. Blocks that are scored apart, in whatever
/// processes, give the figures of all queries scored together, to the last bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockScores {
    unit: Unit,
    cameras: CameraRule,
    preset: Option<Preset>,
    scores: Vec<Option<QueryScore>>,
    gallery_units: usize,
}

impl BlockScores {
    /// What was ranked and left out.
    pub fn protocol(&self) -> (Unit, CameraRule) {
        (self.unit, self.cameras)
    }

    /// The scores of all blocks, in the order of the queries.
    #[must_use]
    pub fn join(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        self.scores.extend(others.into_iter().flat_map(|block| block.scores));
        self
    }

    /// The figures of all queries, whose blocks have been joined.
    ///
    /// # Errors
    /// [`Error::NoValidQuery`] if every query is skipped.
    pub fn report(self, query: &Embeddings, gallery: &Embeddings) -> Result<Report, Error> {
        let Self { unit, cameras, preset, scores, gallery_units } = self;
        let report = Report::new(unit, cameras, preset, scores, gallery_units);
        report.ok_or_else(|| no_valid_query(query.pids(), gallery.pids()))
    }
}

/// Scores a block of the queries as [`evaluate_grid`](super::evaluate_grid) does all of them.
///
/// # Errors
/// [`Error::DimensionMismatch`]
///
/// # Panics
/// If the block reaches beyond the queries.
pub fn score_grid(
    query: &Embeddings,
    gallery: &Embeddings,
    (units, rules): (&[Unit], &[CameraRule]),
    metric: &Metric,
    block: Range<usize>,
) -> Result<Vec<BlockScores>, Error> {
    query.check_dimensions(gallery)?;
    let selected = (block.len() < query.len()).then(|| query.select(&block.collect::<Vec<_>>()));
    let query = selected.as_ref().unwrap_or(query);
    let cross = rules.contains(&CameraRule::Cross);
    let [mut instance, mut nearest, mut centroid] = [const { Vec::<Scores>::new() }; 3];
    if units.contains(&Unit::Instance) || units.contains(&Unit::Nearest) {
        let scores = images::score(query, gallery, metric, cross);
        (instance, nearest) = scores.into_iter().unzip();
    }
    if units.contains(&Unit::Centroid) {
        centroid = means::score(query, gallery, metric, cross);
    }
    let scored = |cameras: CameraRule, unit: Unit| {
        let (scores, gallery_units) = match unit {
            Unit::Instance => (&instance, gallery.len() - junk(gallery)),
            Unit::Nearest => (&nearest, rows_by_pid(gallery.pids()).len()),
            Unit::Centroid => (&centroid, rows_by_pid(gallery.pids()).len()),
        };
        let of_rule = |by_rule: &Scores| by_rule[cameras as usize].clone();
        let scores = scores.iter().map(of_rule).collect();
        BlockScores { unit, cameras, preset: None, scores, gallery_units }
    };
    let of_rule = |&rule| units.iter().map(move |&unit| (rule, unit));
    Ok(rules.iter().flat_map(of_rule).map(|(rule, unit)| scored(rule, unit)).collect())
}

/// Scores a block of the queries as [`evaluate_preset`](super::evaluate_preset) does all of them.
///
/// # Errors
/// [`Error::DimensionMismatch`]
///
/// # Panics
/// If the block reaches beyond the queries.
pub fn score_preset(
    query: &Embeddings,
    gallery: &Embeddings,
    preset: Preset,
    metric: &Metric,
    block: Range<usize>,
) -> Result<BlockScores, Error> {
    query.check_dimensions(gallery)?;
    let rows: Vec<usize> = block.collect();
    // The centroids depend on the cameras of all queries.
    let (scores, gallery_units) = preset::score(query, gallery, preset, metric, &rows);
    let (unit, cameras) = (Unit::Centroid, CameraRule::Market);
    Ok(BlockScores { unit, cameras, preset: Some(preset), scores, gallery_units })
}
