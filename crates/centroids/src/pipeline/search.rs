//! Pictures or vectors in, ranked images or identities out.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use centroids_core::{
    CamId, CameraRule, Embeddings, Hit, Metric, NpyValues, Pid, Ranking, Unit, Verdict, rank,
    write_npy,
};
use centroids_data::ImageRecord;
use serde_json::{Map, Value, json};

use super::{ModelFile, embed_records};
use crate::Error;
use crate::files::write_text;

/// What to search for and how.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions {
    /// Hits per query.
    pub k: usize,
    /// Camera whose images are left out.
    pub camera: Option<CamId>,
    /// What is ranked.
    pub unit: Unit,
    /// How vectors are compared.
    pub metric: Metric,
}

/// The answer for one query.
#[derive(Debug)]
pub struct SearchResult {
    /// The picture.
    pub query: PathBuf,
    /// Nearest first.
    pub hits: Vec<Hit>,
    /// What they are worth, where a calibration was asked.
    pub verdict: Option<Verdict>,
}

/// Embeds the pictures and ranks the gallery for each.
///
/// # Errors
/// A gallery of another model, or a picture that cannot be read.
pub fn search_images(
    model: &ModelFile,
    gallery_path: &Path,
    gallery: &Embeddings,
    images: &[PathBuf],
    options: &SearchOptions,
) -> Result<Vec<SearchResult>, Error> {
    check_model(model, gallery_path, gallery)?;
    let query = embed_queries(model, images, &mut |_| ControlFlow::Continue(()))?;
    search_embeddings(&query, gallery, options)
}

/// Refuses a gallery that names another model.
///
/// # Errors
/// [`Error::OtherModel`].
pub fn check_model(
    model: &ModelFile,
    gallery_path: &Path,
    gallery: &Embeddings,
) -> Result<(), Error> {
    let ours = model.embedder.fingerprint();
    if gallery.model().is_empty() || gallery.model() == ours {
        return Ok(());
    }
    let (gallery_file, theirs) = (gallery_path.to_owned(), gallery.model().to_owned());
    Err(Error::OtherModel { gallery: gallery_file, theirs, model: model.path.clone(), ours })
}

/// Embeds pictures to search for, all of them or none.
///
/// # Errors
/// A picture that cannot be read.
pub fn embed_queries(
    model: &ModelFile,
    images: &[PathBuf],
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Embeddings, Error> {
    let record = |path: &PathBuf| ImageRecord { path: path.clone(), pid: Pid::JUNK, camid: None };
    let records: Vec<ImageRecord> = images.iter().map(record).collect();
    let options = model.experiment.embed_options();
    let embedding = embed_records(&model.embedder, &records, &[].into(), options, progress)?;
    match embedding.unreadable.into_iter().next() {
        Some(unreadable) => Err(Error::Unreadable { reason: unreadable.reason }),
        None => Ok(embedding.embeddings),
    }
}

/// Ranks the gallery for each query vector. Identities and cameras of the queries play no role.
///
/// # Errors
/// Other dimensions.
pub fn search_embeddings(
    query: &Embeddings,
    gallery: &Embeddings,
    options: &SearchOptions,
) -> Result<Vec<SearchResult>, Error> {
    let SearchOptions { k, camera, unit, metric } = *options;
    let query = query.clone().with_camids(vec![camera; query.len()]);
    let ranking = Ranking { k, unit, cameras: CameraRule::Cross, metric };
    let rows: Vec<usize> = (0..query.len()).collect();
    let ranked = rank(&query, &rows, gallery, &ranking)?;
    let result = |ranked: centroids_core::RankedQuery| SearchResult {
        query: query.paths()[ranked.query].clone().into(),
        hits: ranked.hits,
        verdict: None,
    };
    Ok(ranked.into_iter().map(result).collect())
}

/// Writes `{query: {indices, paths, distances, pids}}`: what the reference pickles as
/// `results.npy`, which nobody should have to unpickle, and the identities; also `known` and
/// `confidence` where there is a verdict.
///
/// # Errors
/// [`Error::Write`].
pub fn write_results_json(
    results: &[SearchResult],
    gallery: &Embeddings,
    file: &Path,
) -> Result<(), Error> {
    let entry = |result: &SearchResult| {
        let of = |value: &dyn Fn(&Hit) -> Value| result.hits.iter().map(value).collect::<Value>();
        let mut value = json!({
            "indices": of(&|hit| hit.example.into()),
            "paths": of(&|hit| gallery.paths()[hit.example].as_str().into()),
            "distances": of(&|hit| hit.distance.into()),
            "pids": of(&|hit| pid_name(gallery, hit.pid).into()),
        });
        if let Some(Verdict { known, confidence }) = result.verdict {
            value["known"] = known.into();
            value["confidence"] = confidence.into();
        }
        (result.query.to_string_lossy().into_owned(), value)
    };
    let all = Value::Object(results.iter().map(entry).collect::<Map<_, _>>());
    write_text(file, &format!("{all}\n"))
}

/// Writes `results.json` and the arrays `query_embeddings.npy` `[q, d]`, `query_paths.npy` `[q]`,
/// `results_indices.npy`, `results_distances.npy` and `results_paths.npy` `[q, k]` into a folder;
/// NumPy reads them without pickles. With a normalising metric the query vectors are normalised, as
/// the reference stores them.
///
/// # Errors
/// [`Error::Write`].
pub fn write_results(
    query: &Embeddings,
    results: &[SearchResult],
    gallery: &Embeddings,
    metric: &Metric,
    dir: &Path,
) -> Result<(), Error> {
    write_results_json(results, gallery, &dir.join("results.json"))?;
    let hits = || results.iter().flat_map(|result| &result.hits);
    let shape = [results.len(), results.first().map_or(0, |result| result.hits.len())];
    let indices: Vec<i64> = hits().map(|hit| hit.example as i64).collect();
    let distances: Vec<f32> = hits().map(|hit| hit.distance as f32).collect();
    let paths: Vec<&str> = hits().map(|hit| gallery.paths()[hit.example].as_str()).collect();
    let query_paths: Vec<&str> = query.paths().iter().map(String::as_str).collect();
    let stored = if metric.normalize { query.to_normalized() } else { query.clone() };
    let write = |name: &str, values, shape: &[usize]| write_npy(&dir.join(name), values, shape);
    write("results_indices.npy", NpyValues::I64(&indices), &shape)?;
    write("results_distances.npy", NpyValues::F32(&distances), &shape)?;
    write("results_paths.npy", NpyValues::Text(&paths), &shape)?;
    write("query_paths.npy", NpyValues::Text(&query_paths), &[query.len()])?;
    let vectors = NpyValues::F32(stored.values());
    Ok(write("query_embeddings.npy", vectors, &[query.len(), query.dim()])?)
}

/// The name of an identity, or its number.
pub(super) fn pid_name(set: &Embeddings, pid: Pid) -> String {
    set.pid_names().get(&pid).cloned().unwrap_or_else(|| pid.to_string())
}
