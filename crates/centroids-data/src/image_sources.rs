//! The sources of a set of images.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{ArchivedImages, Member};
use crate::error::Error;
use crate::image_bytes::{Files, ImageBytes};
use crate::url_list::scheme;

/// Reads an image from the archive it is a member of, URLs from a store, all others as files.
#[derive(Clone, Debug, Default)]
pub struct ImageSources {
    members: HashMap<OsString, Member>,
    store: Option<Arc<dyn ImageBytes>>,
}

impl ImageSources {
    /// The members of an archive.
    pub fn archive(images: &mut ArchivedImages) -> Self {
        Self { members: std::mem::take(&mut images.members), store: None }
    }

    /// A store that reads URLs.
    pub fn store(store: Arc<dyn ImageBytes>) -> Self {
        Self { store: Some(store), ..Self::default() }
    }

    /// Takes in what other images need.
    pub fn extend(&mut self, other: Self) {
        self.members.extend(other.members);
        self.store = other.store.or(self.store.take());
    }

    /// Whether every image is a file of its own.
    pub fn are_files(&self) -> bool {
        self.members.is_empty() && self.store.is_none()
    }
}

impl ImageBytes for ImageSources {
    fn read(&self, path: &Path, bytes: &mut Vec<u8>) -> Result<(), Error> {
        match (self.members.get(path.as_os_str()), &self.store) {
            (Some(member), _) => member.read(path, bytes),
            (None, Some(store)) if scheme(path).is_some() => store.read(path, bytes),
            _ => Files.read(path, bytes),
        }
    }

    fn expect(&self, paths: &[PathBuf]) {
        if let Some(store) = &self.store {
            let urls = paths.iter().filter(|path| scheme(path).is_some()).cloned();
            store.expect(&urls.collect::<Vec<_>>());
        }
    }
}
