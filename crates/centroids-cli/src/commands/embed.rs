//! `centroids embed`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure};
use centroids::core::{Embeddings, Pid};
use centroids::data::{Dataset, ImageRecord, Split};
use centroids::model::{EmbedOptions, parse_device};
use centroids::pipeline::{Embedding, ModelFile, embed_records, open_model, records_of};
use serde_json::json;

use crate::cli::EmbedArgs;
use crate::output::{Output, text};
use crate::progress::Counter;

pub(crate) fn run(arguments: EmbedArgs, output: &Output) -> anyhow::Result<ExitCode> {
    check_out(&arguments.out, &["safetensors", "npy"])?;
    let (records, names) = gather(&arguments)?;
    let device = parse_device(&arguments.device)?;
    let model = open_model(&arguments.model, &device)?;
    output.detail(format!("model: {} ({})", model.path.display(), model.embedder.fingerprint()));
    let mut options = model.experiment.embed_options();
    if let Some(batch_size) = arguments.batch_size {
        options.batch_size = batch_size as usize;
    }
    let embedding = embed(&model, &records, &names, options, output)?;
    if let (true, [first, ..]) = (arguments.strict, embedding.unreadable.as_slice()) {
        let images = embedding.unreadable.len();
        bail!("{images} images cannot be read, nothing written: {}", first.reason);
    }
    warn_of_unreadable(&embedding, output);
    embedding.embeddings.save(&arguments.out)?;
    report(&embedding, &arguments.out, output);
    Ok(ExitCode::SUCCESS)
}

/// What would be found out only after all the work.
pub(crate) fn check_out(out: &Path, endings: &[&str]) -> anyhow::Result<()> {
    let ending = out.extension().and_then(|extension| extension.to_str());
    ensure!(
        ending.is_some_and(|ending| endings.contains(&ending)),
        "{}: the output must end in .{}",
        out.display(),
        endings.join(" or .")
    );
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    ensure!(
        folder.is_none_or(Path::is_dir) && !out.is_dir(),
        "{}: is a folder, or lies in a folder that does not exist",
        out.display()
    );
    Ok(())
}

fn report(Embedding { embeddings, unreadable }: &Embedding, out: &Path, output: &Output) {
    let (n, dim, left_out) = (embeddings.len(), embeddings.dim(), unreadable.len());
    output.line(format!(
        "{n} embeddings of {dim} dimensions in {}{}",
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
fn embed(
    model: &ModelFile,
    records: &[ImageRecord],
    names: &BTreeMap<Pid, String>,
    options: EmbedOptions,
    output: &Output,
) -> anyhow::Result<Embedding> {
    let mut counter = Counter::new(output, "embedding", records.len());
    let embedding =
        embed_records(&model.embedder, records, names, options, &mut |done| counter.at(done));
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
    let embedding = embed(model, records, &dataset.pid_names, options, output)?;
    warn_of_unreadable(&embedding, output);
    Ok(embedding.embeddings)
}

fn warn_of_unreadable(embedding: &Embedding, output: &Output) {
    for image in &embedding.unreadable {
        output.note(format!("warning: left out: {}", image.reason));
    }
}

/// The images of all inputs. Numbered identities keep their numbers; as soon as one input names its
/// identities, all are numbered anew by name (a number being its own name). Junk stays junk.
fn gather(arguments: &EmbedArgs) -> anyhow::Result<(Vec<ImageRecord>, BTreeMap<Pid, String>)> {
    let pattern = arguments.layout.camera_pattern.as_deref();
    let of = |input: &PathBuf| records_of(input, arguments.layout.layout, arguments.split, pattern);
    if let [one] = arguments.inputs.as_slice() {
        return Ok(of(one)?);
    }
    let sets = arguments.inputs.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    if sets.iter().all(|(_, names)| names.is_empty()) {
        let all = sets.into_iter().flat_map(|(records, _)| records).collect();
        return Ok((all, BTreeMap::new()));
    }
    let (mut all, mut numbers) = (Vec::new(), BTreeMap::new());
    for (records, names) in sets {
        for mut record in records {
            if record.pid != Pid::JUNK {
                let name = names.get(&record.pid).cloned();
                let name = name.unwrap_or_else(|| record.pid.to_string());
                let next = Pid(numbers.len() as i64 + 1);
                record.pid = *numbers.entry(name).or_insert(next);
            }
            all.push(record);
        }
    }
    Ok((all, numbers.into_iter().map(|(name, pid)| (pid, name)).collect()))
}
