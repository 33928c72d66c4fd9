//! Images with identities → embeddings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use centroids_core::{Embeddings, Pid};
use centroids_data::{
    ArchivedImages, Dataset, DatasetSource, Error as DataError, Files, ImageBytes, ImageList,
    ImageRecord, ImageSources, Layout, Split, list_images, list_others, read_archive,
    read_url_list,
};
use centroids_model::{EmbedOptions, Embedder};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::object_store::open_store;

/// Embeddings and what is missing from them.
#[derive(Debug)]
pub struct Embedding {
    /// One row per readable image, in the records' order.
    pub embeddings: Embeddings,
    /// The images that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// An image that could not be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why, naming the file.
    pub reason: String,
}

/// Embeds image files; `progress` is told how many are done and may break off.
///
/// # Errors
/// [`Error::Interrupted`] when `progress` broke off; when not one image can be read, or the model yields values that are not finite.
pub fn embed_records(
    embedder: &Embedder,
    records: &[ImageRecord],
    pid_names: &BTreeMap<Pid, String>,
    options: EmbedOptions,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Embedding, Error> {
    let embedding = embed_list(embedder, records, Arc::new(Files), options, progress)?;
    named(embedding, pid_names)
}

/// Embeds images from wherever they are; see [`embed_records`].
///
/// # Errors
/// As [`embed_records`].
pub fn embed_images(
    embedder: &Embedder,
    images: &Images,
    options: EmbedOptions,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Embedding, Error> {
    let sources = Arc::new(images.sources.clone());
    let embedding = embed_list(embedder, &images.records, sources, options, progress)?;
    named(embedding, &images.pid_names)
}

fn named(embedding: Embedding, names: &BTreeMap<Pid, String>) -> Result<Embedding, Error> {
    let Embedding { embeddings, unreadable } = embedding;
    if embeddings.is_empty() {
        let first = unreadable.first().map(|u| u.reason.clone()).unwrap_or_default();
        return Err(Error::NothingEmbedded { images: unreadable.len(), first });
    }
    Ok(Embedding { embeddings: embeddings.with_pid_names(names.clone()), unreadable })
}

/// Embeds `records`, maybe none, without names of identities. An image that is out of reach is not
/// left out, but an error: it may be there the next time.
pub(super) fn embed_list(
    embedder: &Embedder,
    records: &[ImageRecord],
    bytes: Arc<dyn ImageBytes>,
    options: EmbedOptions,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Embedding, Error> {
    let paths = records.iter().map(|record| record.path.clone()).collect();
    let mut broken_off = false;
    let embedded = embedder.embed(ImageList { paths, bytes }, options, &mut |done| {
        let flow = progress(done);
        broken_off |= flow.is_break();
        flow
    });
    if broken_off {
        return Err(Error::Interrupted);
    }
    let mut failures = embedded.failures;
    let unreachable =
        |(_, error): &(usize, DataError)| matches!(error, DataError::Unreachable { .. });
    if let Some(at) = failures.iter().position(unreachable) {
        return Err(failures.swap_remove(at).1.into());
    }
    let unreadable: Vec<Unreadable> = failures
        .into_iter()
        .map(|(row, error)| Unreadable {
            path: records[row].path.clone(),
            reason: error.to_string(),
        })
        .collect();
    let of_rows = || embedded.rows.iter().map(|&row| &records[row]);
    let embeddings = Embeddings::new(
        embedded.dim,
        embedded.values,
        of_rows().map(|record| record.pid).collect(),
        of_rows().map(|record| record.camid).collect(),
        of_rows().map(|record| record.path.to_string_lossy().into_owned()).collect(),
    )?
    .with_model(embedder.fingerprint());
    Ok(Embedding { embeddings, unreadable })
}

/// Images to embed.
#[derive(Debug, Default)]
pub struct Images {
    /// The images.
    pub records: Vec<ImageRecord>,
    /// Names of identities that are not numbers.
    pub pid_names: BTreeMap<Pid, String>,
    /// Visible files of a folder that are passed over: no images, or outside of the identities'
    /// folders.
    pub left_out: Vec<PathBuf>,
    /// What reads those images that are no files of their own.
    pub sources: ImageSources,
}

/// The images of `input`: one file, a list (`.txt`, a path per line), a tar archive (`.tar`), or a
/// dataset.
///
/// `split` takes one split of a dataset; without it a plain folder or manifest gives all its
/// images. Images directly in the folder are identities of their own, named by their path.
///
/// # Errors
/// A missing input, one without images, a dataset with several splits and none chosen.
pub fn images_of(
    input: &Path,
    layout: Option<Layout>,
    split: Option<Split>,
    camera_pattern: Option<&str>,
) -> Result<Images, Error> {
    let undecided = layout.is_none() && split.is_none() && camera_pattern.is_none();
    if input.is_file() && layout.is_none() {
        match input.extension().and_then(|extension| extension.to_str()) {
            Some("csv" | "jsonl") => {}
            Some("txt") => return listed(input),
            Some("tar") => return archived(input),
            _ => return Ok(each_its_own(vec![input.to_owned()])),
        }
    }
    if undecided && input.is_dir() && is_flat(input)? {
        let images = each_its_own(list_images(input)?);
        return Ok(Images { left_out: list_others(input)?, ..images });
    }
    let layout = match layout {
        Some(layout) => layout,
        None => Layout::detect(input)?,
    };
    let mut source = DatasetSource::new(layout, input);
    source.camera_pattern = camera_pattern.map(str::to_owned);
    let whole = layout == Layout::Folder && split.is_none();
    if whole {
        source.holdout = 0.0;
    }
    let dataset = source.load()?;
    let records = one_split(&dataset, input, split)?;
    let left_out = if whole { passed_over(input, &records)? } else { Vec::new() };
    Ok(Images { records, pid_names: dataset.pid_names, left_out, ..Images::default() })
}

/// The images of the split that was chosen, or of the only one.
fn one_split(
    dataset: &Dataset,
    input: &Path,
    split: Option<Split>,
) -> Result<Vec<ImageRecord>, Error> {
    let used: Vec<Split> =
        Split::ALL.into_iter().filter(|&s| !dataset.split(s).is_empty()).collect();
    let reason = match (split, used.as_slice()) {
        (Some(split), _) if dataset.split(split).is_empty() => {
            format!("has no images in split `{split}`")
        }
        (Some(split), _) | (None, &[split]) => return Ok(dataset.split(split).to_vec()),
        (None, _) => {
            let names: Vec<String> = used.iter().map(ToString::to_string).collect();
            format!("has the splits {}; choose one with --split", names.join(", "))
        }
    };
    Err(Error::Run { path: input.to_owned(), reason })
}

/// Files of a folder of identities that are none of its records.
fn passed_over(folder: &Path, records: &[ImageRecord]) -> Result<Vec<PathBuf>, Error> {
    let taken: BTreeSet<&Path> = records.iter().map(|record| record.path.as_path()).collect();
    let mut left_out = list_others(folder)?;
    left_out.extend(list_images(folder)?.into_iter().filter(|i| !taken.contains(i.as_path())));
    Ok(left_out)
}

fn is_flat(folder: &Path) -> Result<bool, Error> {
    let images = list_images(folder)?;
    Ok(images.iter().all(|image| image.parent() == Some(folder)))
}

fn listed(list: &Path) -> Result<Images, Error> {
    let text = std::fs::read_to_string(list)
        .map_err(|source| Error::Read { path: list.to_owned(), source })?;
    let base = list.parent().unwrap_or(Path::new(""));
    let text = text.trim_start_matches('\u{feff}'); // a byte order mark
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let paths: Vec<PathBuf> = lines.map(|line| base.join(line)).collect();
    if paths.is_empty() {
        let reason = "lists no images; it takes one path per line".to_owned();
        return Err(Error::Run { path: list.to_owned(), reason });
    }
    Ok(each_its_own(paths))
}

fn archived(archive: &Path) -> Result<Images, Error> {
    let mut images = read_archive(archive)?;
    let sources = ImageSources::archive(&mut images);
    let ArchivedImages { records, pid_names, left_out, .. } = images;
    Ok(Images { records, pid_names, left_out, sources })
}

/// The images of a list of URLs (see [`read_url_list`]), read from their store.
///
/// # Errors
/// A broken list, a store that cannot be used, a binary built without object stores.
pub fn images_of_urls(list: &Path) -> Result<Images, Error> {
    let (records, pid_names) = read_url_list(list)?;
    let sources = ImageSources::store(open_store(&records)?);
    Ok(Images { records, pid_names, sources, ..Images::default() })
}

fn each_its_own(paths: Vec<PathBuf>) -> Images {
    let pids = || (0..).map(Pid);
    let name = |path: &PathBuf| path.to_string_lossy().into_owned();
    let names = pids().zip(paths.iter().map(name)).collect();
    let record = |(path, pid)| ImageRecord { path, pid, camid: None };
    let records = paths.into_iter().zip(pids()).map(record).collect();
    Images { records, pid_names: names, ..Images::default() }
}
