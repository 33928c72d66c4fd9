//! Images in an object store: S3, Google Cloud Storage, Azure, or `file:` URLs.

#[cfg(feature = "object-store")]
mod client;

use std::sync::Arc;

use centroids_data::{ImageBytes, ImageRecord};

use crate::Error;

/// The store of all these URLs. Settings and keys come from the environment (`AWS_…`, `GOOGLE_…`,
/// `AZURE_…`); nothing is read yet.
///
/// # Errors
/// [`Error::Run`] naming the first URL that cannot be used; without the feature `object-store`, any.
#[cfg(feature = "object-store")]
pub(crate) fn open_store(images: &[ImageRecord]) -> Result<Arc<dyn ImageBytes>, Error> {
    Ok(Arc::new(client::Objects::open(images)?))
}

/// Without the feature `object-store`: an error that says how to get it.
#[cfg(not(feature = "object-store"))]
pub(crate) fn open_store(images: &[ImageRecord]) -> Result<Arc<dyn ImageBytes>, Error> {
    let path = images.first().map(|image| image.path.clone()).unwrap_or_default();
    let reason = "this binary reads no object stores: build with `cargo build --release --workspace \
                  --features object-store`";
    Err(Error::Run { path, reason: reason.to_owned() })
}
