//! `centroids index add`

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use centroids::core::Embeddings;
use centroids::model::parse_device;
use centroids::pipeline::{
    AddReport, Addition, Images, ModelFile, TimeFrom, add_embeddings, add_images, add_parquet,
    open_model,
};
use centroids::store::{AddOptions, Gallery, OnConflict, ParquetMembers};
use serde_json::json;

use super::open;
use crate::cli::{AddIndexArgs, CommonArgs, TimeChoice};
use crate::commands::embed::{Naming, gather};
use crate::output::{Output, text};
use crate::progress::Counter;

pub(super) fn run(arguments: &AddIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let addition = addition(&arguments.common);
    let (files, pictures): (Vec<_>, Vec<_>) =
        arguments.inputs.iter().cloned().partition(|input| is_embeddings(input));
    let mut report = AddReport::default();
    for file in &files {
        merge(&mut report, add_file(&*gallery, file, &addition, output)?);
    }
    if !pictures.is_empty() {
        let images = images(arguments, &pictures, output)?;
        let model = model_of(arguments, &*gallery, output)?;
        let mut counter = Counter::new(output, "adding", images.records.len());
        let added = add_images(&*gallery, &model, &images, &addition, &mut |done| {
            let _ = counter.at(done);
        });
        counter.finish();
        merge(&mut report, added?);
    }
    say(&report, &arguments.file, output);
    let nothing = report.seen() > 0 && report.unreadable.len() == report.seen();
    ensure!(!nothing, "none of the {} images could be read", report.seen());
    Ok(())
}

pub(super) fn addition(common: &CommonArgs) -> Addition {
    let on_conflict = if common.replace { OnConflict::Replace } else { OnConflict::Refuse };
    Addition {
        attributes: common.attribute.iter().cloned().collect(),
        weight: common.weight,
        time: match common.time {
            None => TimeFrom::Nowhere,
            Some(TimeChoice::Now) => TimeFrom::Now,
            Some(TimeChoice::Modified) => TimeFrom::Modified,
        },
        options: AddOptions { on_conflict },
        force: common.force,
    }
}

/// Whether an input holds vectors rather than images.
fn is_embeddings(input: &Path) -> bool {
    input
        .extension()
        .is_some_and(|kind| kind == "safetensors" || kind == "npy" || kind == "parquet")
}

/// Adds an embedding file, with progress.
pub(super) fn add_file(
    gallery: &dyn Gallery,
    file: &Path,
    addition: &Addition,
    output: &Output,
) -> anyhow::Result<AddReport> {
    if file.extension().is_some_and(|kind| kind == "parquet") {
        let members = ParquetMembers::open(file)?;
        let mut counter = Counter::new(output, "adding", members.len);
        let report = add_parquet(gallery, file, members, addition, &mut |done| {
            let _ = counter.at(done);
        });
        counter.finish();
        return Ok(report?);
    }
    let embeddings = Embeddings::load(file)?;
    let mut counter = Counter::new(output, "adding", embeddings.len());
    let report = add_embeddings(gallery, file, &embeddings, addition, &mut |done| {
        let _ = counter.at(done);
    });
    counter.finish();
    Ok(report?)
}

fn images(
    arguments: &AddIndexArgs,
    pictures: &[PathBuf],
    output: &Output,
) -> anyhow::Result<Images> {
    let AddIndexArgs { layout, split, pid_from, pid_pattern, .. } = arguments;
    let naming = Naming { pid_from: *pid_from, pid_pattern: pid_pattern.as_deref() };
    let rule = naming.rule()?;
    let mut images = gather(pictures, layout, *split, output)?;
    if let Some(rule) = rule {
        images.pid_names = rule.apply(&mut images.records)?;
    }
    Ok(images)
}

fn model_of(
    arguments: &AddIndexArgs,
    gallery: &dyn Gallery,
    output: &Output,
) -> anyhow::Result<ModelFile> {
    let path = model_path(arguments.model.as_deref(), gallery)?;
    let model = open_model(&path, &parse_device(&arguments.device)?)?;
    output.detail(format!("model: {} ({})", model.path.display(), model.embedder.fingerprint()));
    Ok(model)
}

/// The model given, or the one that the gallery names.
pub(crate) fn model_path(given: Option<&Path>, gallery: &dyn Gallery) -> anyhow::Result<PathBuf> {
    let file = gallery.location();
    match (given, gallery.settings().model_path.as_str()) {
        (Some(path), _) => Ok(path.to_owned()),
        (None, "") => bail!("{file} does not say where its model is; give it with --model"),
        (None, path) if !Path::new(path).exists() => {
            bail!("{file}: its model {path} is gone; give it with --model")
        }
        (None, path) => Ok(path.into()),
    }
}

fn merge(all: &mut AddReport, one: AddReport) {
    all.added += one.added;
    all.replaced += one.replaced;
    all.already_there += one.already_there;
    all.under_another_identity += one.under_another_identity;
    all.junk += one.junk;
    all.unreadable.extend(one.unreadable);
}

/// What became of it.
pub(super) fn say(report: &AddReport, file: &Path, output: &Output) {
    for image in &report.unreadable {
        output.note(format!("warning: left out: {}", image.reason));
    }
    let mut line = format!("{} members added to {}", report.added, file.display());
    for (count, what) in [
        (report.replaced, "replaced"),
        (report.already_there, "were there already"),
        (report.under_another_identity, "of these under another identity"),
        (report.junk, "junk images left out"),
        (report.unreadable.len(), "unreadable images left out"),
    ] {
        if count > 0 {
            line.push_str(&format!("; {count} {what}"));
        }
    }
    output.line(line);
    let unreadable: Vec<String> = report.unreadable.iter().map(|u| text(&u.path)).collect();
    output.value(&json!({
        "file": text(file), "added": report.added, "replaced": report.replaced,
        "already_there": report.already_there, "junk": report.junk, "unreadable": unreadable,
        "under_another_identity": report.under_another_identity,
    }));
}
