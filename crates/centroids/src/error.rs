//! What can go wrong in a pipeline.

use std::path::PathBuf;

/// Errors of this crate; every message names the file or key and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Something is wrong in a configuration file.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<Error>,
    },
    /// Not what a configuration is written in.
    #[error("not valid {format}: {reason}")]
    Syntax {
        /// TOML or YAML.
        format: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// What was given.
        key: String,
        /// The most similar known key.
        nearest: String,
    },
    /// A key in both spellings.
    #[error("`{key}` is given twice, in lower and in upper case: keep one")]
    KeyTwice {
        /// The key, in lower case.
        key: String,
    },
    /// A value of the wrong type.
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A trailing key.
    #[error("`{key}` has no value: settings are given as KEY VALUE pairs")]
    PairWithoutValue {
        /// The key.
        key: String,
    },
    /// An impossible value.
    #[error("{key} = {value}: {reason}")]
    Setting {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A run folder that cannot be used as asked.
    #[error("{path}: {reason}")]
    Run {
        /// The folder.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// A file that is not what it should be.
    #[error("{path}: {reason}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Nothing could be embedded.
    #[error("none of the {images} images could be read; the first: {first}")]
    NothingEmbedded {
        /// How many were tried.
        images: usize,
        /// The first failure.
        first: String,
    },
    /// A picture that is needed cannot be read.
    #[error("{reason}")]
    Unreadable {
        /// Why, naming the file.
        reason: String,
    },
    /// Several processes that cannot train together as asked.
    #[error("{reason}")]
    Processes {
        /// Why, and what to do.
        reason: String,
    },
    /// The caller broke the work off.
    #[error("interrupted")]
    Interrupted,
    /// Query and gallery, or gallery and model, do not belong together.
    #[error(
        "{gallery} was embedded with {theirs}, but {model} is {ours}; embed the gallery again or choose its model"
    )]
    OtherModel {
        /// The embedding file.
        gallery: PathBuf,
        /// Its model.
        theirs: String,
        /// The checkpoint given.
        model: PathBuf,
        /// The checkpoint's model.
        ours: String,
    },
    /// Embeddings or evaluation.
    #[error(transparent)]
    Core(#[from] centroids_core::Error),
    /// Images or datasets.
    #[error(transparent)]
    Data(#[from] centroids_data::Error),
    /// A durable gallery.
    #[error(transparent)]
    Store(#[from] centroids_store::Error),
    /// Model or training.
    #[error(transparent)]
    Model(#[from] centroids_model::Error),
}
