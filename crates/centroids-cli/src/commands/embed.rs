//! `centroids embed`

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use centroids::core::embedding_file::NPY_NAME;
use centroids::core::{CentroidOf, Embeddings, Pid, centroids};
use centroids::data::{Dataset, ImageSources, PidRule, Split};
use centroids::model::{EmbedOptions, parse_device};
use centroids::pipeline::{
    Embedding, Images, ModelFile, Unreadable, embed_images, embed_records, images_of,
    images_of_urls, open_model,
};
use serde_json::json;

use super::bulk;
use crate::cli::{EmbedArgs, LayoutArgs, PidFrom};
use crate::out_path::{check_out, folder_of};
use crate::output::{Output, text};
use crate::progress::Counter;

pub(crate) fn run(arguments: EmbedArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let EmbedArgs { out, bulk, .. } = &arguments;
    match (&bulk.status, &bulk.merge, &bulk.out_dir, out) {
        (Some(dir), ..) => bulk::status(dir, output),
        (None, Some(dir), _, Some(out)) => bulk::merge(dir, out, arguments.centroids, output),
        (None, None, Some(dir), _) => bulk::run(&arguments, dir, output),
        (_, _, _, Some(out)) => one_file(&arguments, out, output),
        (_, _, _, None) => bail!("--out is missing: say which file to write"),
    }
}

fn one_file(arguments: &EmbedArgs, given: &Path, output: &Output) -> anyhow::Result<ExitCode> {
    let out = vectors_out(given)?;
    let images = images(arguments, output)?;
    let (model, options) = model(arguments, output)?;
    let mut embedding = with_progress(&model, images.records.len(), output, |progress| {
        embed_images(&model.embedder, &images, options, progress)
    })?;
    if let (true, [first, ..]) = (arguments.strict, embedding.unreadable.as_slice()) {
        let images = embedding.unreadable.len();
        bail!("{images} images cannot be read, nothing written: {}", first.reason);
    }
    warn_of_unreadable(&embedding.unreadable, output);
    if arguments.centroids {
        embedding.embeddings = centroids(&embedding.embeddings, CentroidOf::Raw);
    }
    save(&embedding.embeddings, &out, arguments.centroids)?;
    report(&embedding, given, arguments.centroids, output);
    Ok(ExitCode::SUCCESS)
}

/// The images of all inputs, with the identities that are asked for.
pub(super) fn images(arguments: &EmbedArgs, output: &Output) -> anyhow::Result<Images> {
    let EmbedArgs { pid_from, pid_pattern, .. } = arguments;
    let naming = Naming { pid_from: *pid_from, pid_pattern: pid_pattern.as_deref() };
    let rule = naming.rule()?;
    let mut sets = sets(&arguments.inputs, &arguments.layout, arguments.split, output)?;
    if let Some(list) = &arguments.urls {
        sets.push(images_of_urls(list)?);
    }
    let mut images = joined(sets);
    if let Some(rule) = rule {
        images.pid_names = rule.apply(&mut images.records)?;
    }
    Ok(images)
}

/// The model, and how to go through the images.
pub(super) fn model(
    arguments: &EmbedArgs,
    output: &Output,
) -> anyhow::Result<(ModelFile, EmbedOptions)> {
    let path = arguments.model.as_deref().context("--model is missing: say what embeds")?;
    let model = open_model(path, &parse_device(&arguments.device)?)?;
    output.detail(format!("model: {} ({})", model.path.display(), model.embedder.fingerprint()));
    let mut options = model.experiment.embed_options();
    if let Some(batch_size) = arguments.batch_size {
        options.batch_size = batch_size as usize;
    }
    Ok((model, options))
}

/// The file of the vectors: `out`, or the usual one in it where it is a folder.
pub(super) fn vectors_out(out: &Path) -> anyhow::Result<PathBuf> {
    if !out.is_dir() && out.extension().is_some() {
        check_out(out, &["safetensors", "npy"])?;
        return Ok(out.to_owned());
    }
    let can_be = out.is_dir() || (!out.exists() && folder_of(out).is_none_or(Path::is_dir));
    ensure!(can_be, "{}: is no folder, and none can be made there", out.display());
    Ok(out.join(NPY_NAME))
}

/// What names an image's identity, as typed.
pub(crate) struct Naming<'a> {
    pub(crate) pid_from: Option<PidFrom>,
    pub(crate) pid_pattern: Option<&'a str>,
}

impl Naming<'_> {
    pub(crate) fn rule(&self) -> anyhow::Result<Option<PidRule>> {
        if let Some(pattern) = self.pid_pattern {
            return Ok(Some(PidRule::pattern(pattern)?));
        }
        Ok(self.pid_from.map(|from| match from {
            PidFrom::Folder => PidRule::folder(),
            PidFrom::Image => PidRule::path(),
        }))
    }
}

/// Of centroids a pair of `.npy` files holds the identities in place of paths, as the reference's.
pub(super) fn save(embeddings: &Embeddings, out: &Path, centroids: bool) -> anyhow::Result<()> {
    if let Some(folder) = folder_of(out) {
        let cannot_make = || format!("cannot make {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot_make)?;
    }
    if centroids && out.extension().is_some_and(|extension| extension == "npy") {
        return Ok(embeddings.clone().with_pids_as_paths().save(out)?);
    }
    Ok(embeddings.save(out)?)
}

fn report(
    Embedding { embeddings, unreadable }: &Embedding,
    out: &Path,
    centroids: bool,
    output: &Output,
) {
    let (n, dim, left_out) = (embeddings.len(), embeddings.dim(), unreadable.len());
    let what = if centroids { "centroids" } else { "embeddings" };
    output.line(format!(
        "{n} {what} of {dim} dimensions in {}{}",
        out.display(),
        if left_out > 0 { format!("; {left_out} images left out") } else { String::new() }
    ));
    let paths: Vec<String> = unreadable.iter().map(|image| text(&image.path)).collect();
    output.value(&json!({
        "out": text(out), "embeddings": n, "dim": dim, "model": embeddings.model(),
        "unreadable": paths,
    }));
}

/// Embeds with progress; the embeddings know where their model is.
fn with_progress(
    model: &ModelFile,
    images: usize,
    output: &Output,
    embed: impl FnOnce(&mut dyn FnMut(usize) -> ControlFlow<()>) -> Result<Embedding, centroids::Error>,
) -> anyhow::Result<Embedding> {
    let mut counter = Counter::new(output, "embedding", images);
    let embedding = embed(&mut |done| counter.at(done));
    counter.finish();
    let mut embedding = embedding?;
    let path = std::path::absolute(&model.path)?.to_string_lossy().into_owned();
    embedding.embeddings = embedding.embeddings.with_model_path(path);
    Ok(embedding)
}

/// Embeds a split of a dataset with progress, warning of images that cannot be read.
pub(crate) fn embed_split(
    model: &ModelFile,
    dataset: &Dataset,
    split: Split,
    output: &Output,
) -> anyhow::Result<Embeddings> {
    let records = dataset.split(split);
    ensure!(!records.is_empty(), "{}: has no {split} images", dataset.root.display());
    let options = model.experiment.embed_options();
    let embedding = with_progress(model, records.len(), output, |progress| {
        embed_records(&model.embedder, records, &dataset.pid_names, options, progress)
    })?;
    warn_of_unreadable(&embedding.unreadable, output);
    Ok(embedding.embeddings)
}

/// Query and gallery of a dataset, see [`embed_split`].
pub(crate) fn embed_query_and_gallery(
    model: &ModelFile,
    dataset: &Dataset,
    output: &Output,
) -> anyhow::Result<(Embeddings, Embeddings)> {
    let query = embed_split(model, dataset, Split::Query, output)?;
    Ok((query, embed_split(model, dataset, Split::Gallery, output)?))
}

pub(super) fn warn_of_unreadable(unreadable: &[Unreadable], output: &Output) {
    for image in unreadable {
        output.note(format!("warning: left out: {}", image.reason));
    }
}

/// The files of all inputs as one set, see [`joined`].
pub(crate) fn gather(
    inputs: &[PathBuf],
    layout: &LayoutArgs,
    split: Option<Split>,
    output: &Output,
) -> anyhow::Result<Images> {
    let images = joined(sets(inputs, layout, split, output)?);
    ensure!(
        images.sources.are_files(),
        "archives can only be embedded: make a file with `centroids embed`, then give that"
    );
    Ok(images)
}

fn sets(
    inputs: &[PathBuf],
    layout: &LayoutArgs,
    split: Option<Split>,
    output: &Output,
) -> anyhow::Result<Vec<Images>> {
    let pattern = layout.camera_pattern.as_deref();
    let of = |input: &PathBuf| images_of(input, layout.layout, split, pattern);
    let sets = inputs.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    for (set, input) in sets.iter().zip(inputs) {
        warn_of_left_out(set, input, output);
    }
    Ok(sets)
}

/// Numbered identities keep their numbers; as soon as one set names its identities, all are numbered
/// anew by name (a number being its own name). Junk stays junk.
fn joined(mut sets: Vec<Images>) -> Images {
    if sets.len() == 1 {
        return sets.swap_remove(0);
    }
    let mut sources = ImageSources::default();
    sets.iter_mut().for_each(|set| sources.extend(std::mem::take(&mut set.sources)));
    if sets.iter().all(|set| set.pid_names.is_empty()) {
        let records = sets.into_iter().flat_map(|set| set.records).collect();
        return Images { records, sources, ..Images::default() };
    }
    let (mut records, mut numbers) = (Vec::new(), BTreeMap::new());
    for set in sets {
        for mut record in set.records {
            if record.pid != Pid::JUNK {
                let name = set.pid_names.get(&record.pid).cloned();
                let name = name.unwrap_or_else(|| record.pid.to_string());
                let next = Pid(numbers.len() as i64 + 1);
                record.pid = *numbers.entry(name).or_insert(next);
            }
            records.push(record);
        }
    }
    let pid_names = numbers.into_iter().map(|(name, pid)| (pid, name)).collect();
    Images { records, pid_names, sources, ..Images::default() }
}

/// Says how many files of a folder are passed over, and which is the first.
pub(crate) fn warn_of_left_out(images: &Images, input: &Path, output: &Output) {
    if let [first, ..] = images.left_out.as_slice() {
        let (folder, count) = (input.display(), images.left_out.len());
        output.note(format!(
            "warning: {folder}: {count} files left out, being no images or in no identity's \
             folder; the first: {}",
            first.display()
        ));
    }
}
