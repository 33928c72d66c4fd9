//! Around every request: an id, a place, a line in the log, a figure in the metrics, and headers.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use centroids::store::ContentHash;

use super::problem::{Problem, REQUEST_ID};
use super::state::App;

/// What a client calls the request, or what we do.
const ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers, times and logs a request. The id that a proxy gave it is kept.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let given = request.headers().get(ID).and_then(|value| value.to_str().ok());
    let sound = |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(is_plain);
    let id = given.filter(sound).map_or_else(new_id, str::to_owned);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request)).await;
    let (status, elapsed) = (response.status().as_u16(), start.elapsed());
    tracing::info!(
        request_id = id, %method, path, status, ms = elapsed.as_secs_f64() * 1e3, "request"
    );
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method.to_string(),
        "http_route" => route.unwrap_or_else(|| "other".to_owned()),
        "http_response_status_code" => status.to_string(),
    )
    .record(elapsed);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(ID, id);
    }
    response
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)
}

/// Sixteen digits that no other request of this process has.
fn new_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    ContentHash::of(format!("{process}-{number}").as_bytes()).to_string()[..16].to_owned()
}

/// Answers as many requests at a time as there is room for, and sends the others away. Health and
/// metrics always have room.
pub(super) async fn make_room(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    match app.room.clone().try_acquire_owned() {
        Ok(_place) => next.run(request).await,
        Err(_) => Problem::too_many().into_response(),
    }
}

/// What browsers are told: nothing is loaded from elsewhere, nothing is framed, types are as said.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let manual = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // The manual's pages bring styles of their own.
    let policy = match manual {
        true => {
            "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' \
                 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
        }
        false => {
            "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; \
                  base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        }
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(self), microphone=(), geolocation=()",
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// What a panic becomes: a fault of this request and no other.
pub(super) fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let cause = cause.downcast_ref::<String>().map(String::as_str);
    Problem::internal(cause.unwrap_or("a handler panicked")).into_response()
}

/// Gives answers of layers below, which have no words, the form of all others.
pub(super) async fn explain_bare(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match response.status() {
        StatusCode::REQUEST_TIMEOUT => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()
        }
        _ => response,
    }
}
