//! What all requests share.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use centroids::core::{Calibration, Pid};
use centroids::store::{ClassRef, EmbeddedGallery, Gallery, OpenOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::auth::Tokens;
use super::inference::Inference;
use super::problem::Problem;

/// The service, for every handler; cloning shares it.
pub(crate) type App = Arc<Shared>;

/// See [`App`].
pub(crate) struct Shared {
    pub(super) inference: Inference,
    pub(super) store: PathBuf,
    galleries: RwLock<Galleries>,
    pub(super) calibration: Option<Calibration>,
    pub(super) tokens: Tokens,
    pub(super) cors: Vec<String>,
    /// Where uploaded pictures are kept.
    pub(super) uploads: PathBuf,
    pub(super) max_pixels: u64,
    /// Pictures are decoded by as many threads as there are cores.
    pub(super) decoders: Arc<Semaphore>,
    /// Requests that may be answered at a time.
    pub(super) room: Arc<Semaphore>,
    pub(super) recorder: PrometheusHandle,
}

/// Two handles of one gallery, so that searches do not wait for writers.
#[derive(Clone)]
struct Galleries {
    searched: Arc<dyn Gallery>,
    edited: Arc<dyn Gallery>,
}

impl Galleries {
    fn open(store: &std::path::Path) -> anyhow::Result<Self> {
        let open = || EmbeddedGallery::open(store, OpenOptions::default());
        let searched = open()?;
        searched.warm()?;
        Ok(Self { searched: Arc::new(searched), edited: Arc::new(open()?) })
    }
}

/// What [`Shared::new`] is made of, beside the gallery.
pub(super) struct Parts {
    pub(super) inference: Inference,
    pub(super) store: PathBuf,
    pub(super) calibration: Option<Calibration>,
    pub(super) tokens: Tokens,
    pub(super) cors: Vec<String>,
    pub(super) uploads: PathBuf,
    pub(super) max_pixels: u64,
    pub(super) max_requests: usize,
    pub(super) recorder: PrometheusHandle,
}

impl Shared {
    /// Opens the gallery.
    ///
    /// # Errors
    /// Of the gallery.
    pub(super) fn new(parts: Parts) -> anyhow::Result<App> {
        let Parts { inference, store, calibration, tokens, cors, uploads, max_pixels, .. } = parts;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Arc::new(Self {
            galleries: RwLock::new(Galleries::open(&store)?),
            inference,
            store,
            calibration,
            tokens,
            cors,
            uploads,
            max_pixels,
            decoders: Arc::new(Semaphore::new(cores)),
            room: Arc::new(Semaphore::new(parts.max_requests)),
            recorder: parts.recorder,
        }))
    }

    fn galleries(&self) -> Galleries {
        self.galleries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The handle whose rows are in memory.
    pub(super) fn searched(&self) -> Arc<dyn Gallery> {
        self.galleries().searched
    }

    /// Opens the gallery's file again: it may be another one by now.
    ///
    /// # Errors
    /// Of the gallery; the old one stays.
    pub(super) fn reopen(&self) -> anyhow::Result<()> {
        let new = Galleries::open(&self.store)?;
        *self.galleries.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Does something with the rows in memory, off the threads that serve.
    ///
    /// # Errors
    /// Of the work.
    pub(super) async fn search<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Gallery) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let gallery = self.searched();
        blocking(move || work(gallery.as_ref())).await
    }

    /// Reads or changes the gallery, off the threads that serve.
    ///
    /// # Errors
    /// Of the work.
    pub(super) async fn gallery<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Gallery) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let gallery = self.galleries().edited;
        blocking(move || work(gallery.as_ref())).await
    }
}

/// Runs what takes its time where it keeps no request waiting.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Problem::internal(error)))
}

/// The class a text means here: a name, or else the number of a class that may have a name.
pub(super) fn class_ref(gallery: &dyn Gallery, text: &str) -> Result<ClassRef, Problem> {
    let named = ClassRef::Name(text.to_owned());
    if text.is_empty() || text.len() > 255 {
        return Err(Problem::unprocessable("a class has a name of 1 to 255 bytes"));
    }
    if let Ok(pid) = text.parse::<i64>()
        && gallery.find_class(&named)?.is_none()
    {
        return Ok(ClassRef::Pid(Pid(pid)));
    }
    Ok(named)
}

/// The class that a text means.
///
/// # Errors
/// 404 if there is none.
pub(super) fn find_class(gallery: &dyn Gallery, text: &str) -> Result<Pid, Problem> {
    let found = gallery.find_class(&class_ref(gallery, text)?)?;
    found.ok_or_else(|| Problem::not_found(format!("there is no class `{text}`")))
}
