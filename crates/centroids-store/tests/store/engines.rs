#![expect(clippy::print_stdout, reason = "what was not tested must be seen")]

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

use centroids_store::{EmbeddedGallery, Gallery, Settings};
use tempfile::TempDir;

/// Where galleries are made that a test needs.
pub(crate) enum Engine {
    Embedded,
    /// On a Milvus server at `host:port`.
    #[cfg_attr(not(feature = "milvus"), expect(dead_code, reason = "made where it can be tested"))]
    Milvus(String),
}

/// A gallery that is gone when the test is done.
pub(crate) struct Made {
    gallery: Option<Box<dyn Gallery>>,
    _folder: Option<TempDir>,
}

static MADE: AtomicUsize = AtomicUsize::new(0);

impl Engine {
    /// The server that tests may use, `None` and a line about it where there is none.
    #[cfg(feature = "milvus")]
    pub(crate) fn milvus(test: &str) -> Option<Self> {
        let server = std::env::var("CENTROIDS_MILVUS").ok();
        if server.is_none() {
            println!("SKIPPED: {test}: CENTROIDS_MILVUS=host:port names no Milvus server");
        }
        server.map(Self::Milvus)
    }

    pub(crate) fn make(&self, settings: &Settings) -> Made {
        match self {
            Self::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("g.gallery");
                let gallery = EmbeddedGallery::create(&path, settings).unwrap();
                Made { gallery: Some(Box::new(gallery)), _folder: Some(folder) }
            }
            Self::Milvus(server) => {
                let number = MADE.fetch_add(1, Ordering::Relaxed);
                let name = format!("milvus://{server}/test_{}_{number}", std::process::id());
                let gallery = centroids_store::create_gallery(name.as_ref(), settings).unwrap();
                Made { gallery: Some(gallery), _folder: None }
            }
        }
    }
}

impl Deref for Made {
    type Target = dyn Gallery;

    fn deref(&self) -> &Self::Target {
        self.gallery.as_deref().unwrap()
    }
}

#[cfg(feature = "milvus")]
impl Drop for Made {
    fn drop(&mut self) {
        let location = self.gallery.take().map(|gallery| gallery.location());
        if let Some(address) = location.filter(|location| location.starts_with("milvus://")) {
            // A test that fails for another reason says that one.
            let _ = centroids_store::MilvusGallery::open(&address).map(|gallery| gallery.erase());
        }
    }
}
