//! What can be wrong with an embedding file.

use super::{FORMAT, NPY_NAME};
use crate::error::Error;

/// What is wrong with an embedding file, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// Neither of the two kinds.
    #[error("embedding files end in .safetensors or .npy, not in `{0}`: rename or convert it")]
    Extension(String),

    /// A folder without the pair of files.
    #[error("a folder without {NPY_NAME}: give the embedding file itself")]
    Folder,

    /// Another kind of file, or the beginning is destroyed.
    #[error("not a safetensors file ({0}): give a file written by `centroids embed`")]
    NotSafetensors(String),

    /// Shorter or longer than its header says.
    #[error("{found} bytes long, but its header speaks of {expected}: {}", wrong_length(*.found < *.expected))]
    Length {
        /// Bytes the header asks for.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },

    /// A safetensors file for another purpose, such as model weights.
    #[error(
        "no embedding file: its metadata has no `format` = `{FORMAT}`; give a file written by \
         `centroids embed`"
    )]
    NoFormat,

    /// A format that is not a version of ours.
    #[error(
        "format `{0}` is not an embedding file's (`{FORMAT}`): give a file written by `centroids \
         embed`"
    )]
    OtherFormat(String),

    /// Written by a later version.
    #[error(
        "written by a newer version (format `{0}`, this one reads `{FORMAT}`): upgrade centroids"
    )]
    NewerFormat(String),

    /// Written by an earlier version that is no longer read.
    #[error("format `{0}` is too old (this version reads `{FORMAT}`): embed the images again")]
    OlderFormat(String),

    /// A tensor of the format is absent.
    #[error("tensor `{0}` is missing: the file is incomplete, embed the images again")]
    MissingTensor(&'static str),

    /// A tensor has the wrong type.
    #[error("`{tensor}` has type {found} instead of {expected}: convert it before saving")]
    WrongType {
        /// Name of the tensor.
        tensor: &'static str,
        /// Its type.
        found: String,
        /// The type it should have.
        expected: &'static str,
    },

    /// A tensor has the wrong shape.
    #[error(
        "`{tensor}` has shape {found:?} instead of {expected}: the file is inconsistent, embed the images again"
    )]
    WrongShape {
        /// Name of the tensor.
        tensor: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: String,
    },

    /// An entry of the metadata is absent.
    #[error("metadata `{0}` is missing: the file is incomplete, embed the images again")]
    MissingMetadata(&'static str),

    /// An entry of the metadata cannot be understood.
    #[error("metadata `{key}` is not {expected} ({problem}): embed the images again")]
    BadMetadata {
        /// Name of the entry.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What is wrong with it.
        problem: String,
    },

    /// A camera that is neither −1 nor a camera number.
    #[error(
        "`camids` holds {camid} in row {row}: cameras are numbered from 0, and -1 means unknown"
    )]
    BadCamera {
        /// Row, from 0.
        row: usize,
        /// The value found.
        camid: i64,
    },

    /// The numbers and lists are readable but do not make embeddings.
    #[error("{0}")]
    Content(Box<Error>),

    /// The text is more than a safetensors header may hold (100 MB).
    #[error(
        "paths and names take {0} bytes, but the format holds 100000000: shorten the paths or split the set"
    )]
    TooMuchText(usize),

    /// One of several files that do not belong together.
    #[error("its {what} is `{found}`, but `{first}` in files before it: join files of one model")]
    OtherPart {
        /// What differs.
        what: &'static str,
        /// What this file says.
        found: String,
        /// What the others say.
        first: String,
    },

    /// No files to join.
    #[error("there is no file to make it of")]
    NoParts,

    /// Not a NumPy file, or the beginning is destroyed.
    #[error("not a .npy file ({0}): save the array with numpy.save")]
    NotNpy(String),

    /// Python objects, which could run any code when loaded.
    #[error(
        "holds pickled Python objects, which are never loaded: if you trust the file, convert it \
         once in Python, `numpy.save(file, numpy.load(file, allow_pickle=True).astype(str))` for paths, \
         `.astype('float32')` for vectors"
    )]
    Pickled,

    /// Column-major order.
    #[error("the array is in Fortran order: save `numpy.ascontiguousarray(array)`")]
    FortranOrder,

    /// A code point that is no character.
    #[error("entry {entry} is not Unicode text (code point {code:#x}): write the paths again")]
    NotText {
        /// Entry, from 0.
        entry: usize,
        /// What is no character.
        code: u32,
    },

    /// The second file of a pair is absent.
    #[error("its paths are neither in {0}: put the paths file beside it")]
    NoPaths(String),
}

fn wrong_length(short: bool) -> &'static str {
    if short {
        "it is truncated, copy or create it again"
    } else {
        "something was appended, copy or create it again"
    }
}
