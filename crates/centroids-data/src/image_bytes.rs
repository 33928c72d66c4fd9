//! Where the bytes of an image come from: a file of its own, or a place that a source knows.

use std::fmt::Debug;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;

/// Images beside files (members of an archive, objects of a store) are refused above this many bytes
/// before anything is allocated for them: 1 GiB.
pub const MAX_IMAGE_BYTES: u64 = 1 << 30;

/// Gives the bytes of images by their paths. Threads read at the same time.
pub trait ImageBytes: Debug + Send + Sync {
    /// Appends the bytes of an image to `bytes`.
    ///
    /// # Errors
    /// Naming the image.
    fn read(&self, path: &Path, bytes: &mut Vec<u8>) -> Result<(), Error>;

    /// Says that these images are read next, in this order, so that a distant source can begin with
    /// all of them.
    fn expect(&self, _paths: &[PathBuf]) {}
}

/// Every path is a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl ImageBytes for Files {
    fn read(&self, path: &Path, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let read = File::open(path).and_then(|mut file| file.read_to_end(bytes));
        read.map(drop).map_err(|source| Error::io(path, source))
    }
}

/// Paths of images, and what reads them.
#[derive(Clone, Debug)]
pub struct ImageList {
    /// What the images are called, also in errors.
    pub paths: Arc<[PathBuf]>,
    /// Where their bytes come from.
    pub bytes: Arc<dyn ImageBytes>,
}

impl From<Arc<[PathBuf]>> for ImageList {
    fn from(paths: Arc<[PathBuf]>) -> Self {
        Self { paths, bytes: Arc::new(Files) }
    }
}

impl From<Vec<PathBuf>> for ImageList {
    fn from(paths: Vec<PathBuf>) -> Self {
        Arc::<[PathBuf]>::from(paths).into()
    }
}
