//! Whether it lives, whether it is of use, and how it is doing.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use crate::serve::problem::Problem;
use crate::serve::state::App;

/// It lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = String)))]
pub(in crate::serve) async fn alive() -> &'static str {
    "ok\n"
}

/// It can answer: model and gallery are there.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = String),
    (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    app.gallery(|gallery| Ok(gallery.stats()?)).await?;
    Ok("ready\n")
}

/// Counters and histograms for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", security((), ("token" = [])), responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
    (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let stats = app.gallery(|gallery| Ok(gallery.stats()?)).await?;
    for (kind, count) in
        [("classes", stats.classes), ("members", stats.members), ("quarantined", stats.quarantined)]
    {
        metrics::gauge!("gallery_size", "of" => kind).set(count as f64);
    }
    metrics::gauge!("gallery_bytes").set(stats.bytes.unwrap_or_default() as f64);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((kind, app.recorder.render()).into_response())
}
