//! Is it alive, is it ready, what does it do?

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::serve::problem::Problem;
use crate::serve::state::Shared;

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "service",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "alive\n"
}

/// Whether model and gallery can be used
#[utoipa::path(get, path = "/readyz", tag = "service", responses(
    (status = 200, description = "They can", body = String, content_type = "text/plain"),
    (status = 503, description = "The gallery cannot be read")))]
pub(super) async fn readyz(State(app): State<Shared>) -> Result<&'static str, Problem> {
    let loaded = app.loaded();
    let read = tokio::task::spawn_blocking(move || loaded.gallery.has_names()).await;
    match read {
        Ok(Ok(_)) => Ok("ready\n"),
        _ => Err(Problem::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "the gallery cannot be read",
        )),
    }
}

/// Counts and times, for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "Text format", body = String, content_type = "text/plain"),
    (status = 401, description = "A token is needed that is known here"),
    (status = 403, description = "The token may not do this")))]
pub(super) async fn metrics(
    State(app): State<Shared>,
    _: Request,
) -> Result<impl IntoResponse, Problem> {
    let loaded = app.loaded();
    let stats = tokio::task::spawn_blocking(move || loaded.gallery.stats()).await;
    if let Ok(Ok(stats)) = stats {
        metrics::gauge!("gallery_classes").set(stats.classes as f64);
        metrics::gauge!("gallery_members").set(stats.members as f64);
        metrics::gauge!("gallery_revision").set(stats.revision as f64);
    }
    metrics::gauge!("queue_depth").set(app.places.taken() as f64);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()))
}
