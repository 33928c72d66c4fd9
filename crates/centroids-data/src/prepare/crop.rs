//! One box of one picture → one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CropOptions;
use super::boxes::{CornerBox, PixelBox};
use super::picture::{measure, on_white, to_jpeg, write};
use super::report::{CropReport, Failure};
use super::work::{Progress, for_all};
use crate::decode::{DEFAULT_MAX_PIXELS, decode_file};
use crate::error::Error;

/// What to cut out of which picture.
#[derive(Debug)]
pub(super) struct CropJob {
    /// The picture.
    pub(super) source: PathBuf,
    /// The file to write.
    pub(super) target: PathBuf,
    /// What to take; `None` for all of it.
    pub(super) part: Option<CornerBox>,
    /// In whose pixels `part` is.
    pub(super) drawn_on: DrawnOn,
}

impl CropJob {
    /// The name of the file to write.
    pub(super) fn name(&self) -> String {
        self.target.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The picture that a box was drawn on.
#[derive(Debug)]
pub(super) enum DrawnOn {
    /// The source itself.
    Source,
    /// A copy of it whose longer side has this many pixels; its file, if there is one, knows better.
    Copy { long_side: u32, file: Option<PathBuf> },
}

impl AsRef<Path> for CropJob {
    fn as_ref(&self) -> &Path {
        &self.source
    }
}

/// What became of a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The file is written.
    Written,
    /// The file was there.
    Kept,
    /// The box holds nothing of the picture.
    Empty,
    /// There is no such picture.
    Missing,
    /// The picture cannot be used, and why.
    Broken(String),
}

impl Outcome {
    /// Whether there is a file now.
    pub(super) fn is_there(&self) -> bool {
        matches!(self, Self::Written | Self::Kept)
    }
}

/// Crops all; outcomes in the order of the jobs, `None` when broken off. Counts them in `report`.
///
/// # Errors
/// When a file cannot be written or nothing can be used; with `strict`, when a picture is missing
/// or broken.
pub(super) fn crop_all(
    jobs: &Arc<Vec<CropJob>>,
    options: CropOptions,
    report: &mut CropReport,
    progress: &mut Progress<'_>,
) -> Result<Option<Vec<Outcome>>, Error> {
    let work = move |job: &CropJob| crop(job, options.size);
    let Some(outcomes) = for_all("cropping", jobs, options.threads, work, progress)? else {
        return Ok(None);
    };
    for (job, outcome) in jobs.iter().zip(&outcomes) {
        match outcome {
            Outcome::Written => {}
            Outcome::Kept => report.kept += 1,
            Outcome::Empty => report.boxes_left_out += 1,
            Outcome::Missing => report.missing.push(job.source.clone()),
            Outcome::Broken(reason) => {
                report.broken.push(Failure { path: job.source.clone(), reason: reason.clone() });
            }
        }
    }
    report.tidy();
    if options.strict {
        report.check_complete()?;
    }
    if !outcomes.iter().any(Outcome::is_there) {
        let first = jobs.first().map_or(&report.images, |job| &job.source);
        let count = outcomes.len();
        let problem = format!("none of {count} listed pictures can be used, this one first");
        return Err(Error::layout(first, problem + ": check lists and pictures"));
    }
    Ok(Some(outcomes))
}

fn crop(job: &CropJob, size: [u32; 2]) -> Result<Outcome, Error> {
    if job.target.exists() {
        return Ok(Outcome::Kept);
    }
    let picture = match decode_file(&job.source, DEFAULT_MAX_PIXELS) {
        Ok(picture) => picture,
        Err(Error::Missing { .. }) => return Ok(Outcome::Missing),
        Err(error) => return Ok(Outcome::Broken(error.to_string())),
    };
    let Some(window) = window(job, [picture.width as u32, picture.height as u32]) else {
        return Ok(Outcome::Empty);
    };
    match to_jpeg(&on_white(picture, window, size)) {
        Ok(jpeg) => write(&job.target, &jpeg).map(|()| Outcome::Written),
        Err(reason) => Ok(Outcome::Broken(format!("`{}`: {reason}", job.source.display()))),
    }
}

/// The pixels to take from a picture of this width and height, if any.
fn window(job: &CropJob, size: [u32; 2]) -> Option<PixelBox> {
    let [width, height] = size;
    match job.part {
        None => Some(PixelBox { left: 0, top: 0, width, height }),
        Some(part) => part.scaled(factors(&job.drawn_on, size)).clip(size),
    }
}

/// How many times as wide and as high the source is.
fn factors(drawn_on: &DrawnOn, [width, height]: [u32; 2]) -> [f64; 2] {
    let [width, height] = [width, height].map(f64::from);
    match drawn_on {
        DrawnOn::Source => [1.0; 2],
        DrawnOn::Copy { long_side, file } => match file.as_deref().map(measure) {
            Some(Ok([w, h])) if w > 0 && h > 0 => [width / f64::from(w), height / f64::from(h)],
            _ => [width.max(height) / f64::from(*long_side); 2],
        },
    }
}
