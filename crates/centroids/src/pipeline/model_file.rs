//! A checkpoint opened for embedding.

use std::path::{Path, PathBuf};

use centroids_model::{Checkpoint, Device, Embedder};

use crate::{Error, Experiment, RunDir};

/// An embedder and the file it came from.
#[derive(Debug)]
pub struct ModelFile {
    /// The checkpoint file.
    pub path: PathBuf,
    /// The model in it.
    pub embedder: Embedder,
    /// The settings it was trained with.
    pub experiment: Experiment,
}

/// Opens a checkpoint file, or the best (else the last) checkpoint of a run folder.
///
/// # Errors
/// A path that is neither, or a broken checkpoint.
pub fn open_model(path: &Path, device: &Device) -> Result<ModelFile, Error> {
    let path = if path.is_dir() { RunDir::open(path)?.model() } else { path.to_owned() };
    let checkpoint = Checkpoint::load(&path)?;
    Ok(ModelFile {
        embedder: Embedder::from_checkpoint(&checkpoint, device)?,
        experiment: Experiment::parse(&checkpoint.config)
            .map_err(|source| Error::Config { path: path.clone(), source: source.into() })?,
        path,
    })
}
