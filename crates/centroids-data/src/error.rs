//! Everything that can go wrong between a folder of pictures and a batch of numbers.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate: one line that names the file or the setting and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder, a manifest or an image is not there.
    #[error("`{path}` does not exist: check the path", path = .path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },

    /// A path that should be a folder is something else.
    #[error("`{}` is not a folder: give the folder that holds the images", .path.display())]
    NotAFolder {
        /// The path given.
        path: PathBuf,
    },

    /// A folder holds no file with the extension of a known image format.
    #[error(
        "`{path}` holds no images: give a folder with {known} files",
        path = .path.display(),
        known = crate::listing::EXTENSIONS.join(", ")
    )]
    NoImages {
        /// The folder searched.
        path: PathBuf,
    },

    /// The operating system refused to read or write.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// An object store failed or did not answer, after all repetitions: not the image's fault.
    #[error("`{url}`: {reason}: check the store and its keys, then run again")]
    Unreachable {
        /// The object.
        url: String,
        /// What the store says.
        reason: String,
    },

    /// The root does not look like any layout.
    #[error("`{}` looks like no known layout: {wanted}", .path.display())]
    UnknownLayout {
        /// The root given.
        path: PathBuf,
        /// What would have been recognised.
        wanted: &'static str,
    },

    /// A name that is not in the list of allowed ones.
    #[error("unknown {what} `{name}`: use one of {allowed}")]
    UnknownName {
        /// What the name should have been, e.g. "layout".
        what: &'static str,
        /// The name given.
        name: String,
        /// The names allowed.
        allowed: &'static str,
    },

    /// A dataset folder lacks one of its parts or holds nothing usable.
    #[error("`{}`: {problem}", .path.display())]
    Layout {
        /// The folder concerned.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },

    /// The camera pattern cannot be used.
    #[error("camera pattern `{pattern}`: {problem}")]
    CameraPattern {
        /// The regular expression given.
        pattern: String,
        /// What is wrong and what to do.
        problem: String,
    },

    /// The pattern of identities cannot be used.
    #[error("pid pattern `{pattern}`: {problem}")]
    PidPattern {
        /// The regular expression given.
        pattern: String,
        /// What is wrong and what to do.
        problem: String,
    },

    /// The share of identities held out for testing is out of range.
    #[error("holdout {holdout}: must lie between 0 (all train) and 1 (all test)")]
    Holdout {
        /// The share given.
        holdout: f64,
    },

    /// A row of a manifest is broken.
    #[error("`{}` line {line}: {problem}", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line number, counted from 1.
        line: u64,
        /// What is wrong and what to do.
        problem: String,
    },

    /// A file is no picture that can be read, or only part of one.
    #[error("`{name}`: {problem}")]
    Decode {
        /// The file.
        name: String,
        /// What is wrong.
        problem: String,
    },

    /// A picture announces more pixels than allowed; nothing was allocated for it.
    #[error(
        "`{name}`: {width}×{height} pixels are more than the limit of {limit}: shrink the picture \
         or raise the limit"
    )]
    TooManyPixels {
        /// The file.
        name: String,
        /// Width from the header.
        width: u64,
        /// Height from the header.
        height: u64,
        /// The limit in pixels.
        limit: u64,
    },

    /// P×K sampling is impossible with these numbers.
    #[error("P×K sampling with P={p}, K={k}: {problem}")]
    Sampler {
        /// Identities per batch.
        p: usize,
        /// Images per identity.
        k: usize,
        /// What is wrong and what to do.
        problem: String,
    },

    /// A worker thread of a loader died before it delivered.
    #[error(
        "a loader thread panicked in the batch that starts with `{first}`: look at its images",
        first = .first.display()
    )]
    WorkerPanicked {
        /// First image of the batch that was lost.
        first: PathBuf,
    },

    /// The synthetic catalogue would overwrite something.
    #[error(
        "`{path}` exists and is not an empty folder: give a new folder or remove it",
        path = .path.display()
    )]
    NotEmpty {
        /// The folder given.
        path: PathBuf,
    },

    /// The synthetic catalogue cannot be made with these numbers.
    #[error("synthetic catalogue: {problem}")]
    Synth {
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.into() },
            _ => Self::Io { path: path.into(), source },
        }
    }

    pub(crate) fn layout(path: &Path, problem: impl Into<String>) -> Self {
        Self::Layout { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn decode(name: &str, problem: impl Into<String>) -> Self {
        Self::Decode { name: name.into(), problem: problem.into() }
    }
}
