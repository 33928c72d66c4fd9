//! `/v1/model`

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::serve::limits::{Place, blocking};
use crate::serve::problem::Problem;
use crate::serve::state::Shared;

/// The model and the gallery that are served.
#[derive(Serialize, ToSchema)]
pub(super) struct Model {
    /// Backbone.
    name: String,
    /// Backbone and a hash of the weights: equal weights, equal name.
    fingerprint: String,
    /// Dimensions of a vector.
    dim: usize,
    /// Height that pictures are resized to, in pixels.
    height: usize,
    /// Width that pictures are resized to, in pixels.
    width: usize,
    gallery: Gallery,
    auth: Auth,
    /// Whether first hits come with a confidence.
    calibrated: bool,
    /// Whether the gallery can be changed, with the right token.
    writable: bool,
}

/// Counts.
#[derive(Serialize, ToSchema)]
struct Gallery {
    /// Identities.
    classes: usize,
    /// Images that count.
    members: usize,
    /// Images that are kept but do not count.
    quarantined: usize,
    /// Known cameras.
    cameras: usize,
    /// Grows with every change.
    revision: i64,
}

/// Whether a token is needed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Auth {
    None,
    Token,
}

/// What is served
#[utoipa::path(get, path = "/v1/model", tag = "service",
    responses((status = 200, description = "Model and gallery", body = Model)))]
pub(super) async fn model(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
) -> Result<Json<Model>, Problem> {
    let loaded = app.loaded();
    let gallery = loaded.gallery.clone();
    let stats = blocking(place, move || gallery.stats()).await??;
    let embedder = &loaded.model.embedder;
    let [height, width] = embedder.input().size;
    Ok(Json(Model {
        name: embedder.backbone().backbone.name().to_owned(),
        fingerprint: loaded.fingerprint.clone(),
        dim: embedder.dim(),
        height,
        width,
        gallery: Gallery {
            classes: stats.classes,
            members: stats.members,
            quarantined: stats.quarantined,
            cameras: stats.cameras,
            revision: stats.revision,
        },
        auth: if app.access.is_needed() { Auth::Token } else { Auth::None },
        calibrated: loaded.calibration.is_some(),
        writable: app.access.is_writable(),
    }))
}
