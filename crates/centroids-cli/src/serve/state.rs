//! What the service holds: a model and a gallery that fit, and the bounds of its work.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use centroids::core::{Calibration, Unit};
use centroids::model::parse_device;
use centroids::pipeline::{ModelFile, check_gallery_model, open_model, read_calibration};
use centroids::store::{Gallery, OpenOptions, open_gallery};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::auth::Access;
use super::batcher::{Batcher, Batching};
use super::limits::Places;
use super::pictures::Pictures;
use crate::commands::index::model_path;

/// Where everything comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The gallery.
    pub(crate) store: PathBuf,
    /// The model, if not the one that the gallery names.
    pub(crate) model: Option<PathBuf>,
    /// What hits are worth.
    pub(crate) calibration: Option<PathBuf>,
    /// Where to compute.
    pub(crate) device: String,
}

/// A model, its gallery and its calibration, opened together.
pub(crate) struct Loaded {
    pub(crate) model: Arc<ModelFile>,
    pub(crate) fingerprint: String,
    pub(crate) gallery: Arc<dyn Gallery>,
    pub(crate) calibration: Option<Calibration>,
    pub(crate) batcher: Batcher,
}

impl Loaded {
    /// Opens all, and makes the first search as fast as the next.
    ///
    /// # Errors
    /// What cannot be opened or does not fit together, by its file.
    pub(crate) fn open(source: &Source, batching: Batching) -> anyhow::Result<Loaded> {
        let gallery = open_gallery(&source.store, OpenOptions::default())?;
        let path = model_path(source.model.as_deref(), &*gallery)?;
        let model = Arc::new(open_model(&path, &parse_device(&source.device)?)?);
        let fingerprint = model.embedder.fingerprint();
        check_gallery_model(&*gallery, &model.path, &fingerprint, false)?;
        let calibration = source.calibration.as_deref().map(read_calibration).transpose()?;
        if let Some(calibration) = &calibration {
            calibration.check(&fingerprint, calibration.unit, &gallery.settings().metric())?;
        }
        gallery.warm()?;
        let [height, width] = model.embedder.input().size;
        model.embedder.embed_batch(vec![0.0; 3 * height * width], [1, 3, height, width]);
        let batcher = Batcher::start(model.clone(), batching)?;
        Ok(Loaded { model, fingerprint, gallery: gallery.into(), calibration, batcher })
    }

    /// The calibration, if it is one for this unit.
    pub(crate) fn calibration(&self, unit: Unit) -> Option<&Calibration> {
        self.calibration.as_ref().filter(|calibration| calibration.unit == unit)
    }
}

/// The service.
pub(crate) struct App {
    pub(crate) source: Source,
    pub(crate) batching: Batching,
    pub(crate) access: Access,
    pub(crate) places: Places,
    /// Who may decode at a time: decoded pictures are large.
    pub(crate) decoders: Arc<Semaphore>,
    pub(crate) max_pixels: u64,
    pub(crate) pictures: Pictures,
    pub(crate) metrics: PrometheusHandle,
    loaded: RwLock<Arc<Loaded>>,
}

/// The service, as handlers have it.
pub(crate) type Shared = Arc<App>;

/// All of [`App`] but what is opened again while it runs.
pub(crate) struct Parts {
    pub(crate) source: Source,
    pub(crate) batching: Batching,
    pub(crate) access: Access,
    pub(crate) places: usize,
    pub(crate) max_pixels: u64,
    pub(crate) pictures: Pictures,
    pub(crate) metrics: PrometheusHandle,
}

impl App {
    pub(crate) fn new(parts: Parts, loaded: Loaded) -> App {
        let Parts { source, batching, access, places, max_pixels, pictures, metrics } = parts;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        App {
            source,
            batching,
            access,
            places: Places::new(places),
            decoders: Arc::new(Semaphore::new(cores)),
            max_pixels,
            pictures,
            metrics,
            loaded: RwLock::new(Arc::new(loaded)),
        }
    }

    /// What is served now. A request keeps to the one it began with.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves something else from the next request on.
    pub(crate) fn replace(&self, loaded: Loaded) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
    }

    /// Name of the gallery's file, without its folder.
    pub(crate) fn store_name(&self) -> String {
        Path::new(&self.source.store).file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
