//! Pictures in, ranked identities out.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use centroids_core::{CamId, Embeddings, Hit, Metric, Unit, search};

use super::ModelFile;
use crate::Error;

/// What to search for and how.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions {
    /// Hits per query.
    pub k: usize,
    /// Camera whose images are left out.
    pub camera: Option<CamId>,
    /// What is ranked.
    pub unit: Unit,
    /// How vectors are compared.
    pub metric: Metric,
}

/// The answer for one picture.
#[derive(Debug)]
pub struct SearchResult {
    /// The picture.
    pub query: PathBuf,
    /// Nearest first.
    pub hits: Vec<Hit>,
}

/// Embeds the pictures and ranks the gallery for each.
///
/// # Errors
/// A gallery of another model, or a picture that cannot be read.
pub fn search_images(
    model: &ModelFile,
    gallery_path: &Path,
    gallery: &Embeddings,
    images: &[PathBuf],
    options: &SearchOptions,
) -> Result<Vec<SearchResult>, Error> {
    let ours = model.embedder.fingerprint();
    if !gallery.model().is_empty() && gallery.model() != ours {
        return Err(Error::OtherModel {
            gallery: gallery_path.to_owned(),
            theirs: gallery.model().to_owned(),
            model: model.path.clone(),
            ours,
        });
    }
    let paths: Arc<[PathBuf]> = images.into();
    let embedded = model
        .embedder
        .embed(paths, model.experiment.embed_options(), &mut |_| ControlFlow::Continue(()));
    if let Some((_, error)) = embedded.failures.into_iter().next() {
        return Err(error.into());
    }
    let SearchOptions { k, camera, unit, metric } = options;
    images
        .iter()
        .zip(embedded.values.chunks_exact(embedded.dim))
        .map(|(image, vector)| {
            let hits = search(vector, *camera, gallery, *k, *unit, metric)?;
            Ok(SearchResult { query: image.clone(), hits })
        })
        .collect()
}
