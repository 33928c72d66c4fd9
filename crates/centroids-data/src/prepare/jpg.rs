//! A folder of any images → RGB JPEGs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::picture::{to_jpeg, write};
use super::report::Failure;
use super::target_folder::{make, make_parents};
use super::work::{Progress, for_all};
use crate::decode::{DEFAULT_MAX_PIXELS, decode_file};
use crate::error::Error;
use crate::listing::Listing;

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpgOptions {
    /// Folder of images.
    pub source: PathBuf,
    /// Folder for the JPEGs; made if need be.
    pub target: PathBuf,
    /// Whether to convert sub-folders too, to sub-folders of the same name.
    pub recursive: bool,
    /// Threads that decode and encode.
    pub threads: usize,
}

/// What [`convert_to_jpg`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpgReport {
    /// Files that have a JPEG now.
    pub converted: usize,
    /// How many of them an earlier run had converted.
    pub kept: usize,
    /// Files without one, sorted.
    pub failed: Vec<Failure>,
}

/// Writes `<stem>.jpg` for every visible file of a folder; `None` when `progress` breaks it off.
///
/// Files that cannot be read as a picture are in the report. Of two files with the same stem the
/// one that sorts first is converted, the other fails. A JPEG at least as new as its source is kept.
///
/// # Errors
/// When the folder is missing or empty, when source and target are the same (or, recursively, the
/// target is inside the source), or when a file cannot be written.
pub fn convert_to_jpg(
    options: &JpgOptions,
    progress: &mut Progress<'_>,
) -> Result<Option<JpgReport>, Error> {
    let files = files(options)?;
    refuse_overlap(options)?;
    let (jobs, mut failed) = plan(files, options);
    make_parents(jobs.iter().map(|job| job.target.as_path()))?;
    let jobs = Arc::new(jobs);
    let Some(outcomes) = for_all("converting", &jobs, options.threads, convert, progress)? else {
        return Ok(None);
    };
    let (mut converted, mut kept) = (0, 0);
    for (job, outcome) in jobs.iter().zip(outcomes) {
        match outcome {
            Outcome::Written => converted += 1,
            Outcome::Kept => (converted, kept) = (converted + 1, kept + 1),
            Outcome::Failed(reason) => {
                failed.push(Failure { path: job.source.clone(), reason });
            }
        }
    }
    failed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Some(JpgReport { converted, kept, failed }))
}

/// All visible files, sorted: like the reference, whatever their extension.
fn files(options: &JpgOptions) -> Result<Vec<PathBuf>, Error> {
    let listing = match options.recursive {
        true => Listing::of_tree(&options.source)?,
        false => Listing::of_folder(&options.source)?,
    };
    let mut files = [listing.images, listing.others].concat();
    files.sort();
    match files.is_empty() {
        true => Err(Error::NoImages { path: options.source.clone() }),
        false => Ok(files),
    }
}

/// Results must not be written over sources, nor be sources of the next run.
fn refuse_overlap(options: &JpgOptions) -> Result<(), Error> {
    make(&options.target)?;
    let real = |path: &Path| path.canonicalize().map_err(|source| Error::io(path, source));
    let (source, target) = (real(&options.source)?, real(&options.target)?);
    match source == target || (options.recursive && target.starts_with(&source)) {
        true => Err(Error::layout(
            &options.target,
            "is the folder of the sources, or inside it: give another folder for the JPEGs",
        )),
        false => Ok(()),
    }
}

#[derive(Debug)]
struct Job {
    source: PathBuf,
    target: PathBuf,
}

impl AsRef<Path> for Job {
    fn as_ref(&self) -> &Path {
        &self.source
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Written,
    Kept,
    Failed(String),
}

/// A job per target; files whose target is another's fail.
fn plan(files: Vec<PathBuf>, options: &JpgOptions) -> (Vec<Job>, Vec<Failure>) {
    let (mut jobs, mut failed): (Vec<Job>, Vec<Failure>) = Default::default();
    let mut taken: HashMap<PathBuf, usize> = HashMap::new();
    for source in files {
        let inner = source.strip_prefix(&options.source).unwrap_or(&source);
        let target = options.target.join(inner).with_extension("jpg");
        match taken.entry(target.clone()) {
            Entry::Vacant(free) => {
                free.insert(jobs.len());
                jobs.push(Job { source, target });
            }
            Entry::Occupied(first) => {
                let first = jobs[*first.get()].source.file_name().unwrap_or_default().display();
                let reason = format!(
                    "`{}`: would overwrite the JPEG of `{first}`: rename one of them",
                    source.display()
                );
                failed.push(Failure { path: source, reason });
            }
        }
    }
    (jobs, failed)
}

fn convert(job: &Job) -> Result<Outcome, Error> {
    if is_up_to_date(job) {
        return Ok(Outcome::Kept);
    }
    let picture = match decode_file(&job.source, DEFAULT_MAX_PIXELS) {
        Ok(picture) => picture,
        Err(error) => return Ok(Outcome::Failed(error.to_string())),
    };
    match to_jpeg(&picture) {
        Ok(jpeg) => write(&job.target, &jpeg).map(|()| Outcome::Written),
        Err(reason) => Ok(Outcome::Failed(format!("`{}`: {reason}", job.source.display()))),
    }
}

/// Whether the JPEG is there and no older than its source, as `make` would ask.
fn is_up_to_date(job: &Job) -> bool {
    let modified = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    match (modified(&job.source), modified(&job.target)) {
        (Some(source), Some(target)) => target >= source,
        _ => false,
    }
}
