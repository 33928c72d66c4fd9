//! `centroids search`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use centroids::core::{CamId, Embeddings, Hit};
use centroids::model::parse_device;
use centroids::pipeline::{SearchOptions, SearchResult, open_model, search_images};
use serde_json::{Value, json};

use crate::cli::SearchArgs;
use crate::output::{Output, text};

pub(crate) fn run(arguments: SearchArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let gallery = Embeddings::load(&arguments.gallery)?;
    let device = parse_device(&arguments.device)?;
    let model = open_model(&model_path(&arguments, &gallery)?, &device)?;
    output.detail(format!("model: {} ({})", model.path.display(), model.embedder.fingerprint()));
    let options = SearchOptions {
        k: arguments.k as usize,
        camera: arguments.camera.map(CamId),
        unit: arguments.unit,
        metric: arguments.metric.over(model.experiment.metric()?),
    };
    let results = search_images(&model, &arguments.gallery, &gallery, &arguments.image, &options)?;
    for result in &results {
        show(result, &gallery, output);
    }
    let values: Vec<Value> = results.iter().map(|result| json_of(result, &gallery)).collect();
    output.value(&json!({ "unit": arguments.unit, "results": values }));
    Ok(ExitCode::SUCCESS)
}

fn model_path(arguments: &SearchArgs, gallery: &Embeddings) -> anyhow::Result<PathBuf> {
    if let Some(path) = &arguments.model {
        return Ok(path.clone());
    }
    let file = arguments.gallery.display();
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
    output.line(result.query.display());
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
    json!({ "query": text(&result.query), "hits": result.hits.iter().map(hit).collect::<Vec<_>>() })
}
