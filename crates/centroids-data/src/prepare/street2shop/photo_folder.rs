//! Where the file of a photo is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::metadata::file_name;
use crate::error::Error;
use crate::listing::Listing;

/// The images of a folder by the numbers that are their stems.
#[derive(Debug)]
pub(super) struct PhotoFolder {
    folder: PathBuf,
    files: HashMap<u64, PathBuf>,
}

impl PhotoFolder {
    /// Lists the folder. Zeros before the number and the extension do not matter; should a photo be
    /// there twice, a `.jpg` goes first.
    ///
    /// # Errors
    /// When the folder is missing or has no such images.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let mut files: HashMap<u64, PathBuf> = HashMap::new();
        for path in Listing::of_folder(folder)?.images {
            let Some(number) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) else {
                continue;
            };
            let is_jpg = path.extension().is_some_and(|extension| extension == "jpg");
            if is_jpg || !files.contains_key(&number) {
                files.insert(number, path);
            }
        }
        match files.is_empty() {
            true => Err(Error::layout(
                folder,
                "holds no photos: they are named by their numbers, like 000000042.jpg",
            )),
            false => Ok(Self { folder: folder.into(), files }),
        }
    }

    /// The file of a photo, or where it should be.
    pub(super) fn path(&self, photo: u64) -> PathBuf {
        self.files.get(&photo).cloned().unwrap_or_else(|| self.folder.join(file_name(photo)))
    }
}
