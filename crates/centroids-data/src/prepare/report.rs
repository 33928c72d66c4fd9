//! What became of the pictures.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::Error;

/// A picture that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub path: PathBuf,
    /// Why, in one line that names the file.
    pub reason: String,
}

/// How large a set became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetCount {
    /// Its name: train, val, test, query or gallery.
    pub set: &'static str,
    /// Different pair ids.
    pub identities: usize,
    /// Pictures.
    pub images: usize,
}

/// What [`prepare_street2shop`](super::prepare_street2shop) or
/// [`prepare_deepfashion`](super::prepare_deepfashion) made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CropReport {
    /// The folder with a folder of pictures per set.
    pub images: PathBuf,
    /// The lists written, COCO-style JSON and text.
    pub lists: Vec<PathBuf>,
    /// The sets, training first.
    pub sets: Vec<SetCount>,
    /// Pictures that a run before this had made already.
    pub kept: usize,
    /// Boxes left out: without area, too small, or outside their picture.
    pub boxes_left_out: usize,
    /// Pictures that are in the metadata but not on the disk.
    pub missing: Vec<PathBuf>,
    /// Pictures that cannot be read.
    pub broken: Vec<Failure>,
}

impl CropReport {
    /// # Errors
    /// When pictures are missing or broken: how many, and the first of them.
    pub(super) fn check_complete(&self) -> Result<(), Error> {
        let (missing, broken) = (self.missing.len(), self.broken.len());
        let first = self.missing.first().or(self.broken.first().map(|failure| &failure.path));
        let Some(first) = first else { return Ok(()) };
        let problem = format!(
            "{missing} pictures are missing and {broken} broken, this one first: get them and run \
             again, or do without them (not strict)"
        );
        Err(Error::layout(first, problem))
    }

    /// Every path once, in order.
    pub(super) fn tidy(&mut self) {
        self.missing.sort();
        self.missing.dedup();
        let mut seen = BTreeSet::new();
        self.broken.retain(|failure| seen.insert(failure.path.clone()));
    }
}
