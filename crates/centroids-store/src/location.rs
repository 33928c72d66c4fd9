//! Where a gallery is, which says what engine keeps it.

use std::path::Path;

use crate::embedded::{EmbeddedGallery, OpenOptions};
use crate::error::Error;
use crate::gallery::Gallery;
#[cfg(feature = "milvus")]
use crate::milvus::MilvusGallery;
use crate::settings::Settings;

/// What addresses of galleries on a Milvus server begin with.
const MILVUS: &str = "milvus://";

/// Opens the gallery at a path, or at `milvus://host:port/name`; `options` are for files.
///
/// # Errors
/// [`Error::Missing`] where there is none, [`Error::NoMilvus`] in a build without it, or of the
/// engine.
pub fn open_gallery(location: &Path, options: OpenOptions) -> Result<Box<dyn Gallery>, Error> {
    match address(location) {
        None => Ok(Box::new(EmbeddedGallery::open(location, options)?)),
        Some(address) => open_remote(address),
    }
}

/// Makes an empty gallery at a path, or at `milvus://host:port/name`, and opens it.
///
/// # Errors
/// [`Error::Exists`], [`Error::Setting`], [`Error::NoMilvus`], or of the engine.
pub fn create_gallery(location: &Path, settings: &Settings) -> Result<Box<dyn Gallery>, Error> {
    match address(location) {
        None => Ok(Box::new(EmbeddedGallery::create(location, settings)?)),
        Some(address) => create_remote(address, settings),
    }
}

/// The whole location, if it is an address.
fn address(location: &Path) -> Option<&str> {
    location.to_str().filter(|text| text.starts_with(MILVUS))
}

#[cfg(feature = "milvus")]
fn open_remote(address: &str) -> Result<Box<dyn Gallery>, Error> {
    Ok(Box::new(MilvusGallery::open(address)?))
}

#[cfg(feature = "milvus")]
fn create_remote(address: &str, settings: &Settings) -> Result<Box<dyn Gallery>, Error> {
    Ok(Box::new(MilvusGallery::create(address, settings)?))
}

#[cfg(not(feature = "milvus"))]
fn open_remote(address: &str) -> Result<Box<dyn Gallery>, Error> {
    Err(Error::NoMilvus { location: address.to_owned() })
}

#[cfg(not(feature = "milvus"))]
fn create_remote(address: &str, _: &Settings) -> Result<Box<dyn Gallery>, Error> {
    open_remote(address)
}
