//! What is measured and logged of each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::Response;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::output::Output;

/// Under which a request is found in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Upper ends of the buckets of all times, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Of batch sizes, in pictures.
const PICTURES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Starts measuring.
///
/// # Errors
/// When something measures already.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let of_batches = Matcher::Full("embed_batch_size".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(of_batches, &PICTURES)?;
    let handle = builder.install_recorder()?;
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_histogram!("http_server_request_duration_seconds", Unit::Seconds, "Requests.");
    describe_histogram!("decode_seconds", Unit::Seconds, "Decoding the pictures of a request.");
    describe_histogram!("embed_seconds", Unit::Seconds, "Forward passes.");
    describe_histogram!("embed_wait_seconds", Unit::Seconds, "From decoded to embedded.");
    describe_histogram!("search_seconds", Unit::Seconds, "Searches.");
    describe_histogram!("store_write_seconds", Unit::Seconds, "Changes of the gallery.");
    describe_histogram!("embed_batch_size", "Pictures of a forward pass.");
    describe_counter!("reloads_total", "Reloads by outcome.");
    describe_gauge!("queue_depth", "Requests and pictures in work or waiting.");
    describe_gauge!("gallery_classes", "Identities.");
    describe_gauge!("gallery_members", "Images that count.");
    describe_gauge!("gallery_revision", "Grows with every change.");
    Ok(handle)
}

/// Starts the log on stderr: a line of JSON each, on a terminal for people.
pub(crate) fn start_log(output: &Output) {
    use std::io::IsTerminal as _;
    let default = match (output.quiet(), output.verbose()) {
        (true, _) => "error",
        (_, true) => "debug",
        _ => "info",
    };
    let level = std::env::var("CENTROIDS_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Who started a log before keeps it.
    let _ = if std::io::stderr().is_terminal() {
        log.with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_target(false).try_init()
    };
}

/// The number of a request, made where the client sent none.
pub(crate) fn request_id(request: &Request) -> String {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// Measures and logs a request. Neither headers nor bodies are logged.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", MatchedPath::as_str).to_owned();
    let (path, id) = (request.uri().path().to_owned(), request_id(&request));
    let response = next.run(request).await;
    let (status, seconds) = (response.status().as_u16(), start.elapsed().as_secs_f64());
    let labels = [
        ("http_request_method", known_method(&method).to_owned()),
        ("http_route", route.clone()),
        ("http_response_status_code", status.to_string()),
    ];
    metrics::histogram!("http_server_request_duration_seconds", &labels).record(seconds);
    let ms = (seconds * 1e4).round() / 10.0;
    match route.as_str() {
        "/healthz" | "/readyz" | "/metrics" => {
            tracing::debug!(method, path, status, ms, request_id = id, "request");
        }
        _ => tracing::info!(method, path, status, ms, request_id = id, "request"),
    }
    response
}

/// A client cannot make labels up.
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" => method,
        _ => "other",
    }
}
