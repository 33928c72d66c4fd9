//! What distances tell beyond rankings: pairs of images, unknown identities, thresholds for both.
//!
//! Where both sets name their identities, equal names are equal identities.

use std::fs;
use std::path::Path;

use centroids_core::{
    Calibration, CalibrationTargets, CameraRule, Embeddings, Metric, OpenSet, PerQuery, Unit,
    Unknowns, Verification, calibrate, open_set, verify,
};
use serde::Deserialize;

use super::Question;
use super::evaluate::numbered_alike;
use crate::Error;
use crate::files::write_text;

/// Verification of every unit and rule among the questions; presets have none.
///
/// # Errors
/// Other dimensions, or nothing to tell apart.
pub fn verify_all(
    query: &Embeddings,
    gallery: &Embeddings,
    questions: &[Question],
    metric: &Metric,
) -> Result<Vec<Verification>, Error> {
    let query = numbered_alike(query, gallery);
    let verify = |(unit, cameras)| Ok(verify(&query, gallery, unit, cameras, metric)?);
    protocols(questions).map(verify).collect()
}

/// The open set of every unit and rule among the questions; presets have none.
///
/// # Errors
/// Other dimensions, or no queries with, or without, a mate.
pub fn open_set_all(
    query: &Embeddings,
    gallery: &Embeddings,
    questions: &[Question],
    metric: &Metric,
    unknowns: &Unknowns,
    rates: &[f64],
) -> Result<Vec<OpenSet>, Error> {
    let query = numbered_alike(query, gallery);
    let open_set = |protocol| Ok(open_set(&query, gallery, protocol, metric, unknowns, rates)?);
    protocols(questions).map(open_set).collect()
}

/// Learns thresholds and confidence from a validation split.
///
/// # Errors
/// Other dimensions, or too few queries with, or without, a mate.
pub fn calibrate_embeddings(
    query: &Embeddings,
    gallery: &Embeddings,
    protocol: (Unit, CameraRule),
    metric: &Metric,
    unknowns: &Unknowns,
    targets: &CalibrationTargets,
) -> Result<Calibration, Error> {
    let query = numbered_alike(query, gallery);
    Ok(calibrate(&query, gallery, protocol, metric, unknowns, targets)?)
}

/// # Errors
/// [`Error::Write`]
pub fn write_calibration(calibration: &Calibration, path: &Path) -> Result<(), Error> {
    write_text(path, &calibration.to_json())
}

/// # Errors
/// [`Error::Read`], or [`Error::BadFile`] for any other file than a calibration.
pub fn read_calibration(path: &Path) -> Result<Calibration, Error> {
    let bad = |error: centroids_core::Error| bad_file(path, error.to_string());
    Calibration::from_json(&read_text(path)?).map_err(bad)
}

/// Reads the results by query from what `centroids evaluate --per-query --json` printed.
///
/// # Errors
/// [`Error::Read`], or [`Error::BadFile`] for any other file.
pub fn read_per_query(path: &Path) -> Result<Vec<PerQuery>, Error> {
    #[derive(Deserialize)]
    struct Evaluation {
        results: Vec<serde_json::Value>,
    }
    const MAKE: &str = "write one with `centroids evaluate --per-query --json`";
    let bad = |reason: String| bad_file(path, format!("{reason}: {MAKE}"));
    let read: Evaluation = serde_json::from_str(&read_text(path)?)
        .map_err(|error| bad(format!("not the JSON of an evaluation ({error})")))?;
    if read.results.is_empty() {
        return Err(bad("an evaluation without results".to_owned()));
    }
    let result = |result: serde_json::Value| {
        if result.get("per_query").is_none() {
            return Err(bad("an evaluation without results by query".to_owned()));
        }
        let parsed = serde_json::from_value(result);
        parsed.map_err(|error| bad(format!("not the JSON of an evaluation ({error})")))
    };
    read.results.into_iter().map(result).collect()
}

fn protocols(questions: &[Question]) -> impl Iterator<Item = (Unit, CameraRule)> {
    questions.iter().filter_map(|question| match *question {
        Question::Protocol(unit, cameras) => Some((unit, cameras)),
        Question::Preset(_) => None,
    })
}

fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|_| bad_file(path, "not a text file".to_owned()))
}

fn bad_file(path: &Path, reason: String) -> Error {
    Error::BadFile { path: path.to_owned(), reason }
}
