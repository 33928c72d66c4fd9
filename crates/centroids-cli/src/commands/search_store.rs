//! `centroids search --store`

use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use centroids::core::{CamId, Embeddings, Unit};
use centroids::model::parse_device;
use centroids::pipeline::{check_gallery_model, embed_queries, open_model, read_calibration};
use centroids::store::{
    Answer, Approximation, Filter, Gallery, Hit, OpenOptions, Precision, SearchOptions,
    open_gallery,
};
use serde_json::{Value, json};

use super::index::model_path;
use super::search::pictures;
use crate::cli::{SearchArgs, Width};
use crate::output::Output;
use crate::progress::Counter;

pub(crate) fn run(
    store: &Path,
    arguments: &SearchArgs,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let metric = &arguments.metric;
    ensure!(
        metric.distance.is_none() && metric.normalize.is_none() && !arguments.normalize_features,
        "{}: compares as it was made; --distance and --normalize are for `index create`",
        store.display()
    );
    let rows = match arguments.rows {
        Width::F32 => Precision::F32,
        Width::F16 => Precision::F16,
    };
    let mut open = OpenOptions { rows, ..OpenOptions::default() };
    open.approximate_above = arguments.approximate.or(open.approximate_above);
    let gallery = open_gallery(store, open)?;
    let options = options(arguments)?;
    let query = queries(&*gallery, arguments, output)?;
    let vectors: Vec<&[f32]> = (0..query.len()).map(|row| query.row(row)).collect();
    let answers = gallery.search(&vectors, &options)?;
    for (query, answer) in query.paths().iter().zip(&answers) {
        show(query, answer, output);
    }
    let approximation = gallery.approximation();
    say_how(approximation.as_ref(), arguments, output);
    let results = query.paths().iter().zip(&answers).map(|(query, answer)| {
        let Answer { hits, unknown, margin } = answer;
        json!({ "query": query, "unknown": unknown, "margin": margin,
                "hits": hits.iter().map(json_of).collect::<Vec<_>>() })
    });
    output.value(&json!({ "unit": options.unit, "approximate": approximation,
                          "results": results.collect::<Vec<_>>() }));
    Ok(ExitCode::SUCCESS)
}

/// Whether the search was approximate, and how good it is then.
fn say_how(found: Option<&Approximation>, arguments: &SearchArgs, output: &Output) {
    match found {
        Some(Approximation { rows, recall, neighbours, sample, seconds }) => output.detail(format!(
            "approximate search: of {rows} centroids a graph was made in {seconds:.1} s; it finds \
             {:.1}% of the {neighbours} nearest of {sample} of them",
            100.0 * recall
        )),
        None if arguments.approximate == Some(0) => {
            output.note("searched exactly: --camera, --where, --unit or -k leave no other way");
        }
        None => {}
    }
}

fn options(arguments: &SearchArgs) -> anyhow::Result<SearchOptions> {
    let mut filter = Filter::default();
    for (key, value) in &arguments.filter {
        filter = filter.and(key, value.clone())?;
    }
    Ok(SearchOptions {
        k: if arguments.k == 0 { usize::MAX } else { arguments.k as usize },
        unit: arguments.unit.unwrap_or(Unit::Centroid),
        without_camera: arguments.camera.map(CamId),
        filter,
        threshold: arguments.threshold,
        calibration: arguments.calibration.as_deref().map(read_calibration).transpose()?,
        examples: true,
    })
}

/// What to look for.
fn queries(
    gallery: &dyn Gallery,
    arguments: &SearchArgs,
    output: &Output,
) -> anyhow::Result<Embeddings> {
    if let Some(file) = &arguments.query {
        let query = Embeddings::load(file)?;
        check_gallery_model(gallery, file, query.model(), false)?;
        return Ok(query);
    }
    let pictures = pictures(arguments, output)?;
    let path = model_path(arguments.model.as_deref(), gallery)?;
    let model = open_model(&path, &parse_device(&arguments.device)?)?;
    output.detail(format!("model: {} ({})", model.path.display(), model.embedder.fingerprint()));
    check_gallery_model(gallery, &model.path, &model.embedder.fingerprint(), false)?;
    let mut counter = Counter::new(output, "embedding", pictures.len());
    let query = embed_queries(&model, &pictures, &mut |done| counter.at(done));
    counter.finish();
    Ok(query?)
}

fn show(query: &str, answer: &Answer, output: &Output) {
    output.line(query);
    if answer.hits.is_empty() {
        output.line("nothing is left to find: look at -k, --camera and --where");
        return;
    }
    let row = |hit: &Hit| {
        let name = hit.name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
        let example = hit.example.as_ref().map_or(String::new(), |example| example.key.clone());
        let (pid, distance) = (format!("{}{name}", hit.pid), format!("{:.4}", hit.distance));
        let confidence = hit.confidence.map(|share| format!("{:.1}%", 100.0 * share));
        let cells = [Some(hit.rank.to_string()), Some(pid), Some(distance), confidence];
        cells.into_iter().flatten().chain([example]).collect()
    };
    let calibrated = answer.hits[0].confidence.map(|_| "confidence");
    let header = ["rank", "pid", "distance"].into_iter().chain(calibrated).chain(["example"]);
    let header: Vec<&str> = header.collect();
    output.table(&header, answer.hits.iter().map(row).collect());
    let margin = answer.margin.map_or(String::new(), |margin| format!("margin {margin:.4}"));
    let unknown = if answer.unknown { "unknown: beyond the threshold" } else { "" };
    let notes: Vec<&str> =
        [unknown, margin.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
    if !notes.is_empty() {
        output.line(notes.join("; "));
    }
}

fn json_of(hit: &Hit) -> Value {
    json!({
        "rank": hit.rank,
        "pid": hit.pid,
        "name": hit.name,
        "distance": hit.distance,
        "confidence": hit.confidence,
        "example": hit.example.as_ref().map(|example| example.key.as_str()),
    })
}
