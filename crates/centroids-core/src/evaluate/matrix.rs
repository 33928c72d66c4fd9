//! Scores of distances that somebody else has computed.

use rayon::prelude::*;

use super::precede::{Key, count_preceding};
use super::score::QueryScore;
use super::{Report, no_valid_query};
use crate::error::Error;
use crate::ids::{CamId, Pid};
use crate::protocol::{CameraRule, Unit};
use crate::tiles::Tile;

/// Who is in the images of a set, and which camera took them: both `[n]`.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// Identities.
    pub pids: &'a [Pid],
    /// Cameras, `None` where unknown.
    pub camids: &'a [Option<CamId>],
}

/// Evaluates a matrix of distances `[queries, gallery]`, row-major, of images ([`Unit::Instance`]),
/// as [`evaluate`](crate::evaluate()) does its own.
///
/// # Errors
/// [`Error::ListLength`] or [`Error::ValueCount`] if lists or matrix have another size,
/// [`Error::NotFinite`], [`Error::NoValidQuery`].
pub fn evaluate_distances(
    distances: &[f32],
    query: Labels<'_>,
    gallery: Labels<'_>,
    cameras: CameraRule,
) -> Result<Report, Error> {
    let (rows, columns) = (query.pids.len(), gallery.pids.len());
    for labels in [query, gallery] {
        let (found, rows) = (labels.camids.len(), labels.pids.len());
        if found != rows {
            return Err(Error::ListLength { list: "camids", found, rows });
        }
    }
    if rows.checked_mul(columns) != Some(distances.len()) {
        return Err(Error::ValueCount { values: distances.len(), rows, dim: columns });
    }
    if let Some(at) = distances.iter().position(|distance| !distance.is_finite()) {
        let (row, column, value) = (at / columns, at % columns, distances[at]);
        return Err(Error::NotFinite { row, path: "of distances".to_owned(), column, value });
    }
    let score = |row: usize| {
        let of_query = &distances[row * columns..(row + 1) * columns];
        score_row(of_query, query.pids[row], query.camids[row], gallery, cameras)
    };
    let scores: Vec<_> = (0..rows).into_par_iter().map(score).collect();
    let units = gallery.pids.iter().filter(|pid| **pid != Pid::JUNK).count();
    let report = Report::new(Unit::Instance, cameras, None, scores, units);
    report.ok_or_else(|| no_valid_query(query.pids, gallery.pids))
}

/// Scores one query by its distances to the gallery, `[n]`.
fn score_row(
    distances: &[f32],
    pid: Pid,
    camid: Option<CamId>,
    gallery: Labels<'_>,
    cameras: CameraRule,
) -> Option<QueryScore> {
    let key = |row: usize| Key { distance: distances[row].into(), place: row };
    let counts = |row: usize| cameras.allows(camid, gallery.camids[row], gallery.pids[row] == pid);
    let mut own = Vec::new();
    let mut others = distances.to_vec();
    for (row, &of_row) in gallery.pids.iter().enumerate() {
        if of_row == pid || of_row == Pid::JUNK || !counts(row) {
            others[row] = f32::INFINITY;
        }
        if of_row == pid && pid != Pid::JUNK && counts(row) {
            own.push(key(row));
        }
    }
    own.sort_unstable_by(Key::order);
    let mut before = vec![0; own.len()];
    let tile = Tile { query: 0, candidates: 0..distances.len(), near: &mut others, error: 0.0 };
    // The left out ones are infinitely far and never asked for.
    count_preceding(&tile, &own, &mut before, |row| Some(key(row)));
    QueryScore::from_wrong_before(before)
}
