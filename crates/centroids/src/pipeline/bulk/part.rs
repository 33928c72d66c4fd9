//! A worker's way through its parts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use centroids_core::Pid;
use centroids_model::EmbedOptions;

use super::super::embed::{Embedding, Images, Unreadable, embed_list};
use super::super::model_file::ModelFile;
use super::folder::{BulkFolder, PartState, digest};
use super::plan::{PartNames, PartNote};
use crate::Error;
use crate::files::write_json;

/// What a worker works with.
#[derive(Debug)]
pub struct BulkJob<'a> {
    /// Where the parts go; made of `images` and `model`.
    pub folder: &'a BulkFolder,
    /// The images of all parts.
    pub images: &'a Images,
    /// What embeds them.
    pub model: &'a ModelFile,
    /// How to go through them.
    pub options: EmbedOptions,
    /// Whether a part with an image that cannot be read is an error.
    pub strict: bool,
}

/// What became of a worker's parts.
#[derive(Debug, Default)]
pub struct BulkReport {
    /// Parts that were embedded.
    pub written: Vec<usize>,
    /// Parts that were complete already.
    pub skipped: Vec<usize>,
    /// Images of the written parts that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Embeds the given parts, those aside that are complete. A part's file is written first, then its
/// note: one without the other is not complete. `progress` is told how many images of all these parts
/// are done, and may break off.
///
/// # Errors
/// [`Error::Interrupted`] when `progress` broke off; [`Error::Unreadable`] with `strict`; whatever
/// embedding or the file system reports. Parts written before are kept.
pub fn embed_parts(
    job: &BulkJob<'_>,
    parts: &[usize],
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<BulkReport, Error> {
    let names = PartNames::of(job.images);
    let (mut report, mut before) = (BulkReport::default(), 0);
    for &part in parts {
        let images = job.folder.plan().range(part).len();
        if matches!(job.folder.state(part), PartState::Complete(_)) {
            report.skipped.push(part);
        } else {
            let note = embed_part(job, &names, part, &mut |done| progress(before + done))?;
            report.written.push(part);
            report.unreadable.extend(note.unreadable);
        }
        before += images;
        if progress(before).is_break() {
            return Err(Error::Interrupted);
        }
    }
    Ok(report)
}

fn embed_part(
    job: &BulkJob<'_>,
    names: &PartNames<'_>,
    part: usize,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<PartNote, Error> {
    let BulkJob { folder, images, model, options, strict } = *job;
    let (plan, start) = (folder.plan(), Instant::now());
    let records = &images.records[plan.range(part)];
    let sources = Arc::new(images.sources.clone());
    let Embedding { embeddings, unreadable } =
        embed_list(&model.embedder, records, sources, options, progress)?;
    if let (true, [first, ..]) = (strict, unreadable.as_slice()) {
        let count = unreadable.len();
        let reason =
            format!("{count} images of part {part} cannot be read, not written: {}", first.reason);
        return Err(Error::Unreadable { reason });
    }
    let names: BTreeMap<Pid, String> = names.of_part(plan, part);
    let file = folder.file(part);
    let embeddings = embeddings.with_pid_names(names).with_model_path(plan.model_path.clone());
    embeddings.save(&file)?;
    let read = digest(&file).map_err(|source| Error::Read { path: file, source });
    let (bytes, sha256) = read?;
    let note = PartNote {
        part,
        shards: plan.shards(),
        images: records.len(),
        list: plan.parts[part].clone(),
        model: plan.model.clone(),
        input: plan.input,
        embeddings: embeddings.len(),
        dim: embeddings.dim(),
        bytes,
        sha256,
        seconds: start.elapsed().as_secs_f64(),
        unreadable,
    };
    write_json(&folder.note(part), &note)?;
    Ok(note)
}
