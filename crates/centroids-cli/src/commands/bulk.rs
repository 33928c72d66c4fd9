//! `centroids embed` in parts: a worker's share, what is complete, and the way back to one file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use centroids::pipeline::{
    BulkFolder, BulkJob, BulkPlan, PartState, embed_parts, merge_centroids, merge_parts,
};
use centroids::processes::Share;
use serde_json::json;

use super::embed::{images, model, save, vectors_out, warn_of_unreadable};
use crate::cli::EmbedArgs;
use crate::out_path::check_out;
use crate::output::{Output, text};
use crate::progress::Counter;

/// Embeds this worker's parts.
pub(super) fn run(arguments: &EmbedArgs, dir: &Path, output: &Output) -> anyhow::Result<ExitCode> {
    let shards = arguments.bulk.shards.unwrap_or(1) as usize;
    let share = match &arguments.bulk.shard {
        Some(given) => Share::parse(given)?,
        None => Share::from_environment(|name| std::env::var(name).ok(), shards)?,
    };
    let parts = share.parts(shards);
    output.note(format!("{share}: {} of {shards} parts", parts.len()));
    let images = images(arguments, output)?;
    let (model, options) = model(arguments, output)?;
    let plan = BulkPlan::new(&images, shards, &model)?;
    let total = parts.iter().map(|&part| plan.range(part).len()).sum();
    let folder = BulkFolder::begin(dir, plan)?;
    let stale = folder.clean()?;
    if stale > 0 {
        output.note(format!("{stale} temporary files of killed workers removed"));
    }
    let mut counter = Counter::new(output, "embedding", total);
    let strict = arguments.strict;
    let job = BulkJob { folder: &folder, images: &images, model: &model, options, strict };
    let report = embed_parts(&job, &parts, &mut |done| counter.at(done));
    counter.finish();
    let report = report?;
    warn_of_unreadable(&report.unreadable, output);
    output.line(format!(
        "{} parts written to {}, {} were complete{}",
        report.written.len(),
        dir.display(),
        report.skipped.len(),
        left_out(report.unreadable.len()),
    ));
    let unreadable: Vec<String> = report.unreadable.iter().map(|image| text(&image.path)).collect();
    output.value(&json!({
        "out_dir": text(dir), "shards": shards,
        "worker": { "rank": share.rank, "size": share.size, "source": share.source },
        "written": report.written, "skipped": report.skipped, "unreadable": unreadable,
    }));
    Ok(ExitCode::SUCCESS)
}

/// Shows what is there of every part.
pub(super) fn status(dir: &Path, output: &Output) -> anyhow::Result<ExitCode> {
    let folder = BulkFolder::open(dir)?;
    let plan = folder.plan();
    let mut counter = Counter::new(output, "checking", plan.shards());
    let (mut complete, mut missing, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    let (mut embeddings, mut unreadable) = (0, 0);
    for part in 0..plan.shards() {
        match folder.state(part) {
            PartState::Complete(note) => {
                complete.push(part);
                embeddings += note.embeddings;
                unreadable += note.unreadable.len();
            }
            PartState::Missing => missing.push(part),
            PartState::Damaged(reason) => {
                damaged.push(part);
                output.note(format!("part {part} is damaged: {reason}"));
            }
        }
        let _ = counter.at(part + 1);
    }
    counter.finish();
    let row = |state: &str, parts: &[usize]| {
        let images: usize = parts.iter().map(|&part| plan.range(part).len()).sum();
        let which = ranges(parts);
        vec![state.to_owned(), parts.len().to_string(), images.to_string(), which]
    };
    let rows = vec![row("complete", &complete), row("missing", &missing), row("damaged", &damaged)];
    output.table(&["state", "parts", "images", "which"], rows);
    output.line(format!("{embeddings} embeddings by {}{}", plan.model, left_out(unreadable)));
    output.value(&json!({
        "shards": plan.shards(), "images": plan.images, "model": plan.model,
        "complete": complete, "missing": missing, "damaged": damaged,
        "embeddings": embeddings, "unreadable": unreadable,
    }));
    let lacking = missing.len() + damaged.len();
    if lacking > 0 {
        bail!("{}: {lacking} parts are not complete: run the workers again", dir.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes one file of all parts.
pub(super) fn merge(
    dir: &Path,
    given: &Path,
    centroids: bool,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let folder = BulkFolder::open(dir)?;
    let (rows, dim) = if centroids {
        let out = vectors_out(given)?;
        let means = merge_centroids(&folder)?;
        save(&means, &out, true)?;
        (means.len(), means.dim())
    } else {
        check_out(given, &["safetensors"])?;
        ensure!(!given.is_dir(), "{}: is a folder, give a file", given.display());
        let joined = merge_parts(&folder, given)?;
        (joined.rows, joined.dim)
    };
    let what = if centroids { "centroids" } else { "embeddings" };
    let shards = folder.plan().shards();
    output.line(format!(
        "{rows} {what} of {dim} dimensions of {shards} parts in {}",
        given.display()
    ));
    output.value(&json!({
        "out": text(given), "embeddings": rows, "dim": dim, "shards": shards,
        "model": folder.plan().model,
    }));
    Ok(ExitCode::SUCCESS)
}

fn left_out(images: usize) -> String {
    if images > 0 { format!("; {images} images left out") } else { String::new() }
}

/// Ascending numbers with runs drawn together: `0-5, 7`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [only] => only.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_numbers_are_drawn_together() {
        assert_eq!(ranges(&[0, 1, 2, 4, 6, 7]), "0-2, 4, 6-7");
        assert_eq!(ranges(&[]), "");
    }
}
