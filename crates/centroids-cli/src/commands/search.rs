//! `centroids search`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use centroids::core::{CamId, Embeddings, Hit, Metric, Unit, Verdict};
use centroids::model::parse_device;
use centroids::pipeline::{
    SearchOptions, SearchResult, check_model, embed_queries, images_of, open_model,
    read_calibration, search_embeddings, write_results, write_results_json,
};
use serde_json::{Value, json};

use super::embed::warn_of_left_out;
use crate::cli::SearchArgs;
use crate::out_path::check_folder;
use crate::output::{Output, text};
use crate::progress::Counter;

pub(crate) fn run(arguments: SearchArgs, output: &Output) -> anyhow::Result<ExitCode> {
    if let Some(store) = &arguments.store {
        return super::search_store::run(store, &arguments, output);
    }
    check_out(arguments.out.as_deref())?;
    let calibration = arguments.calibration.as_deref().map(read_calibration).transpose()?;
    let file = arguments.gallery.as_deref().unwrap_or(Path::new(""));
    let gallery = Embeddings::load(file)?;
    let (query, metric) = queries(&arguments, (file, &gallery), output)?;
    let mut metric = arguments.metric.over(metric);
    metric.normalize |= arguments.normalize_features;
    let options = SearchOptions {
        k: if arguments.k == 0 { usize::MAX } else { arguments.k as usize },
        camera: arguments.camera.map(CamId),
        unit: arguments.unit.unwrap_or_else(|| default_unit(file)),
        metric,
    };
    if let Some(calibration) = &calibration {
        let model = if gallery.model().is_empty() { query.model() } else { gallery.model() };
        calibration.check(model, options.unit, &metric)?;
    }
    let mut results = search_embeddings(&query, &gallery, &options)?;
    if let Some(calibration) = &calibration {
        let judge = |of: &mut SearchResult| of.verdict = Some(calibration.judge(&of.hits));
        results.iter_mut().for_each(judge);
    }
    match &arguments.out {
        None => results.iter().for_each(|result| show(result, &gallery, output)),
        Some(out) => {
            write(out, &query, &results, &gallery, &metric)?;
            output.line(format!("results of {} queries in {}", results.len(), out.display()));
        }
    }
    let values: Vec<Value> = results.iter().map(|result| json_of(result, &gallery)).collect();
    output.value(&json!({ "unit": options.unit, "results": values }));
    Ok(ExitCode::SUCCESS)
}

/// `.npy` files know no identities but folder names.
fn default_unit(gallery: &Path) -> Unit {
    let keeps_identities = gallery.extension().is_some_and(|kind| kind == "safetensors");
    if keeps_identities { Unit::Centroid } else { Unit::Instance }
}

/// What to look for, and how its model compares.
fn queries(
    arguments: &SearchArgs,
    (gallery_file, gallery): (&Path, &Embeddings),
    output: &Output,
) -> anyhow::Result<(Embeddings, Metric)> {
    if let Some(file) = &arguments.query {
        let query = Embeddings::load(file)?;
        let (ours, theirs) = (query.model(), gallery.model());
        ensure!(
            ours.is_empty() || theirs.is_empty() || ours == theirs,
            "{} was embedded with {ours}, {} with {theirs}; embed both with one model",
            file.display(),
            gallery_file.display()
        );
        return Ok((query, Metric::default()));
    }
    let pictures = pictures(arguments, output)?;
    let device = parse_device(&arguments.device)?;
    let model = open_model(&model_path(arguments, (gallery_file, gallery))?, &device)?;
    output.detail(format!("model: {} ({})", model.path.display(), model.embedder.fingerprint()));
    check_model(&model, gallery_file, gallery)?;
    let mut counter = Counter::new(output, "embedding", pictures.len());
    let query = embed_queries(&model, &pictures, &mut |done| counter.at(done));
    counter.finish();
    Ok((query?, model.experiment.metric()?))
}

/// The pictures of all inputs.
pub(super) fn pictures(arguments: &SearchArgs, output: &Output) -> anyhow::Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    for input in &arguments.image {
        let images = images_of(input, None, None, None)?;
        ensure!(images.sources.are_files(), "{}: give pictures, not archives", input.display());
        warn_of_left_out(&images, input, output);
        pictures.extend(images.records.into_iter().map(|record| record.path));
    }
    Ok(pictures)
}

fn is_json(out: &Path) -> bool {
    out.extension().is_some_and(|kind| kind == "json")
}

/// What would be found out only after all the work.
fn check_out(out: Option<&Path>) -> anyhow::Result<()> {
    let Some(out) = out else {
        return Ok(());
    };
    check_folder(out)?;
    let fits = if is_json(out) { !out.is_dir() } else { out.is_dir() || !out.exists() };
    ensure!(fits, "{}: the output must be a folder or a .json file", out.display());
    Ok(())
}

fn write(
    out: &Path,
    query: &Embeddings,
    results: &[SearchResult],
    gallery: &Embeddings,
    metric: &Metric,
) -> anyhow::Result<()> {
    if is_json(out) {
        return Ok(write_results_json(results, gallery, out)?);
    }
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    Ok(write_results(query, results, gallery, metric, out)?)
}

fn model_path(
    arguments: &SearchArgs,
    (file, gallery): (&Path, &Embeddings),
) -> anyhow::Result<PathBuf> {
    if let Some(path) = &arguments.model {
        return Ok(path.clone());
    }
    let file = file.display();
    match gallery.model_path() {
        "" => bail!("{file} does not say where its model is; give it with --model"),
        path if !Path::new(path).exists() => {
            bail!("{file}: its model {path} is gone; give it with --model")
        }
        path => Ok(path.into()),
    }
}

/// Prints the hits of one picture.
pub(crate) fn show(result: &SearchResult, gallery: &Embeddings, output: &Output) {
    match result.verdict {
        None => output.line(result.query.display()),
        Some(Verdict { known, confidence }) => output.line(format!(
            "{}: {}, the first hit is right with {:.1}%",
            result.query.display(),
            if known { "known" } else { "unknown" },
            100.0 * confidence
        )),
    }
    if result.hits.is_empty() {
        output.line("nothing is left to find: look at -k and --camera");
        return;
    }
    let row = |hit: &Hit| {
        vec![
            hit.rank.to_string(),
            name(gallery, hit),
            format!("{:.4}", hit.distance),
            gallery.paths()[hit.example].clone(),
        ]
    };
    output.table(&["rank", "pid", "distance", "example"], result.hits.iter().map(row).collect());
}

fn name(gallery: &Embeddings, hit: &Hit) -> String {
    match gallery.pid_names().get(&hit.pid) {
        // An image that is its own identity bears its path as name.
        Some(name) if *name != gallery.paths()[hit.example] => format!("{} ({name})", hit.pid),
        _ => hit.pid.to_string(),
    }
}

fn json_of(result: &SearchResult, gallery: &Embeddings) -> Value {
    let hit = |hit: &Hit| {
        json!({
            "rank": hit.rank,
            "pid": hit.pid,
            "name": gallery.pid_names().get(&hit.pid),
            "distance": hit.distance,
            "example": gallery.paths()[hit.example],
        })
    };
    let hits: Vec<Value> = result.hits.iter().map(hit).collect();
    let mut value = json!({ "query": text(&result.query), "hits": hits });
    if let Some(Verdict { known, confidence }) = result.verdict {
        value["known"] = known.into();
        value["confidence"] = confidence.into();
    }
    value
}
