//! Everything that can go wrong between a configuration and a trained model.

use std::path::PathBuf;

/// Errors of this crate; every message names its subject and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such backbone.
    #[error("unknown backbone `{name}`; known are {known}")]
    UnknownBackbone {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No such device, or not compiled in.
    #[error("device `{name}`: {reason}")]
    Device {
        /// What was asked for.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A setting has an impossible value.
    #[error("{key} = {value}: {reason}")]
    Setting {
        /// Configuration key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Training left the numbers.
    #[error(
        "{term} became {value} in epoch {epoch}, step {step}; the last good checkpoint is kept. \
         Lower solver.base_lr or lengthen the warm-up"
    )]
    NotFinite {
        /// The loss term that did.
        term: &'static str,
        /// Its value.
        value: f64,
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
    },
    /// Images or datasets.
    #[error(transparent)]
    Data(#[from] centroids_data::Error),
    /// Embeddings or evaluation.
    #[error(transparent)]
    Core(#[from] centroids_core::Error),
}
