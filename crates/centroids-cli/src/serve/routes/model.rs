//! What embeds and what is searched.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::serve::problem::Problem;
use crate::serve::state::App;

/// What embeds and what is searched.
#[derive(Serialize, ToSchema)]
pub(in crate::serve) struct Model {
    /// The backbone.
    name: String,
    /// Backbone and weights: equal weights, equal fingerprint.
    fingerprint: String,
    /// Dimension of an embedding.
    dim: usize,
    /// Height that pictures are resized to.
    height: usize,
    /// Width that pictures are resized to.
    width: usize,
    gallery: GallerySize,
    /// `none` or `token`.
    auth: &'static str,
    /// Whether hits have a confidence.
    calibrated: bool,
    /// Whether the gallery can be changed.
    writable: bool,
}

/// Counts of the gallery.
#[derive(Serialize, ToSchema)]
struct GallerySize {
    classes: usize,
    members: usize,
    quarantined: usize,
    cameras: usize,
    /// Grows with every change.
    revision: i64,
}

/// The model and the gallery.
#[utoipa::path(get, path = "/v1/model", tag = "model", security((), ("token" = [])), responses(
    (status = 200, body = Model),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
    (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn get(State(app): State<App>) -> Result<Json<Model>, Problem> {
    let stats = app.gallery(|gallery| Ok(gallery.stats()?)).await?;
    let model = app.inference.model();
    let [height, width] = model.input.size;
    Ok(Json(Model {
        name: model.name.clone(),
        fingerprint: model.fingerprint.clone(),
        dim: model.dim,
        height,
        width,
        gallery: GallerySize {
            classes: stats.classes,
            members: stats.members,
            quarantined: stats.quarantined,
            cameras: stats.cameras,
            revision: stats.revision,
        },
        auth: if app.tokens.is_empty() { "none" } else { "token" },
        calibrated: app.calibration.is_some(),
        writable: true,
    }))
}
