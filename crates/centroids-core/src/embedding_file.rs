//! Embeddings on disk: our `.safetensors` form, and the reference's pair of `.npy` files.
//!
//! # `.safetensors`
//! | tensor | type | shape | |
//! | --- | --- | --- | --- |
//! | `embeddings` | F32 | `[n, d]` | finite |
//! | `pids` | I64 | `[n]` | −1 = junk |
//! | `camids` | I64 | `[n]` | −1 = unknown |
//!
//! Metadata (text): `format` = [`FORMAT`]; `paths`, a JSON array of `n` strings; `model` and
//! `normalized` (`true` or `false`; if absent: unknown and `false`); `model_path`, the model's file,
//! if known; `pid_names`, a JSON object from pid to name, if identities have names. The same embeddings always give the same bytes.
//!
//! # `.npy`
//! `embeddings.npy` (float32 `[n, d]`) and `paths.npy` beside it (`n` strings). Other names pair with
//! `<name>_paths.npy`. The pid of a row is the name of its image's folder, or the whole entry where
//! it has none (the reference's centroids), numbered by [`pids_from_names`](crate::pids_from_names).
//! Pids, cameras and model are not in these files and get lost. A folder stands for the
//! `embeddings.npy` in it. Arrays of Python objects are refused, never unpickled.

mod concatenate;
mod fault;
mod npy;
pub(crate) mod numbers;
mod tensors;

use std::io;
use std::path::Path;

use crate::atomic_file::write_atomically;
use crate::embeddings::Embeddings;
use crate::error::Error;

pub use concatenate::{Concatenated, concatenate};
pub use fault::FileFault;
pub use npy::{NpyValues, write_npy};

/// The `format` that files of this version carry.
pub const FORMAT: &str = "centroids.embeddings.v1";

/// What the reference calls the vectors in its output folder.
pub const NPY_NAME: &str = "embeddings.npy";

impl Embeddings {
    /// Reads an embedding file; the extension says which kind, see [`embedding_file`](self). Of a
    /// folder its `embeddings.npy` is read.
    ///
    /// # Errors
    /// [`Error::Read`] if the system cannot read it, [`Error::BadFile`] naming the file and what is
    /// wrong with it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let inside = path.join(NPY_NAME);
            return if inside.is_file() { Self::load(&inside) } else { Err(no_file_in(path)) };
        }
        let loaded = match extension(path) {
            "safetensors" => tensors::read(path),
            "npy" => npy::read_pair(path),
            other => Err(Failure::Fault(FileFault::Extension(other.to_owned()))),
        };
        loaded.map_err(|failure| failure.of_reading(path))
    }

    /// Writes an embedding file of the kind that the extension says, by
    /// [`write_atomically`]: a file that was there stays whole until the new one is complete.
    ///
    /// # Errors
    /// [`Error::Write`]; [`Error::BadFile`] for an unknown extension, or if the paths are more than
    /// the format can hold.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let saved = match extension(path) {
            "safetensors" => tensors::write(self, path),
            "npy" => npy::write_pair(self, path),
            other => Err(Failure::Fault(FileFault::Extension(other.to_owned()))),
        };
        saved.map_err(|failure| failure.of_writing(path))
    }
}

fn no_file_in(folder: &Path) -> Error {
    Error::BadFile { path: folder.to_owned(), fault: FileFault::Folder }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or("")
}

/// Why a file was not read or written, before its path is put to it.
enum Failure {
    System(io::Error),
    Fault(FileFault),
    /// Concerns another file, already named.
    Elsewhere(Error),
}

impl Failure {
    fn of_reading(self, path: &Path) -> Error {
        match self {
            Self::System(source) => Error::Read { path: path.to_owned(), source },
            Self::Fault(fault) => Error::BadFile { path: path.to_owned(), fault },
            Self::Elsewhere(error) => error,
        }
    }

    fn of_writing(self, path: &Path) -> Error {
        match self {
            Self::System(source) => Error::Write { path: path.to_owned(), source },
            other => other.of_reading(path),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<FileFault> for Failure {
    fn from(fault: FileFault) -> Self {
        Self::Fault(fault)
    }
}
