//! What stands for Parquet in a build without it: the same names, and one error.

use std::path::Path;

use crate::error::Error;
use crate::gallery::Gallery;
use crate::member::NewMember;

/// Writes nothing.
///
/// # Errors
/// [`Error::NoParquet`].
pub fn write_parquet(_gallery: &dyn Gallery, path: &Path) -> Result<usize, Error> {
    Err(Error::NoParquet { path: path.to_owned() })
}

/// A member of a file, and whether it is to be set aside.
pub type ParquetMember = (NewMember, bool);

/// A Parquet file of members, of which there can be none here.
#[derive(Debug)]
pub struct ParquetMembers {
    /// What made the embeddings; empty if the file does not say.
    pub model: String,
    /// The file of that model; empty if the file does not say.
    pub model_path: String,
    /// How many members there are.
    pub len: usize,
}

impl ParquetMembers {
    /// Opens nothing.
    ///
    /// # Errors
    /// [`Error::NoParquet`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Err(Error::NoParquet { path: path.to_owned() })
    }
}

impl Iterator for ParquetMembers {
    type Item = Result<ParquetMember, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
