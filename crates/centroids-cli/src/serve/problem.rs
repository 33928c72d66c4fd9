//! What went wrong, as RFC 9457 says it.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::observe::request_id;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Texts of the framework's own refusals are short.
const LONGEST_TEXT: usize = 4096;

/// A refusal or failure, before it knows which request it answers.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    retry_after: Option<u32>,
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    /// Path of the request.
    instance: String,
    /// As in the header `x-request-id` and in the log.
    request_id: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), retry_after: None }
    }

    /// Its status.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// 400: not what a request looks like.
    pub(crate) fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 422: well-formed, but nothing that can be done.
    pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 404.
    pub(crate) fn missing(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// 413.
    pub(crate) fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 429.
    pub(crate) fn busy() -> Problem {
        let detail = "as much is in work as is taken on at a time: come back in a second";
        Problem { retry_after: Some(1), ..Problem::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 500: what happened goes to the log, not to the client.
    pub(crate) fn internal(what: impl Into<String>) -> Problem {
        tracing::error!(what = what.into(), "failed");
        let detail = "the server failed; its log says why under this request_id";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// 503: may go better later.
    fn unavailable(what: &str, detail: &str) -> Problem {
        tracing::error!(what, "unavailable");
        Problem { retry_after: Some(5), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

/// Server's faults are logged with the file they name; clients read of what they sent.
impl From<centroids::store::Error> for Problem {
    fn from(error: centroids::store::Error) -> Problem {
        use centroids::store::Error;
        let text = error.to_string();
        match error {
            Error::Dimension { .. }
            | Error::NotFinite { .. }
            | Error::Member { .. }
            | Error::Filter { .. }
            | Error::JunkClass => Problem::invalid(text),
            Error::Conflict { .. } => Problem::new(StatusCode::CONFLICT, text),
            Error::Busy { .. } => Problem::unavailable(&text, "another process holds the gallery"),
            Error::DiskFull { .. } => Problem::unavailable(&text, "the server's disk is full"),
            Error::ReadOnly { .. } => Problem::unavailable(&text, "the gallery cannot be written"),
            _ => Problem::internal(text),
        }
    }
}

impl From<centroids::Error> for Problem {
    fn from(error: centroids::Error) -> Problem {
        match error {
            centroids::Error::Store(error) => error.into(),
            other => Problem::internal(other.to_string()),
        }
    }
}

/// The body is written by [`complete`], which knows the request.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes a problem document of every refusal, those of the framework included.
pub(crate) async fn complete(request: Request, next: Next) -> Response {
    let (path, id) = (request.uri().path().to_owned(), request_id(&request));
    let mut response = next.run(request).await;
    if !(response.status().is_client_error() || response.status().is_server_error()) {
        return response;
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None => {
            let body = std::mem::take(response.body_mut());
            let text = to_bytes(body, LONGEST_TEXT).await.unwrap_or_default();
            Problem::new(response.status(), reason(response.status(), &text))
        }
    };
    let document = Document {
        kind: "about:blank",
        title: title(problem.status),
        status: problem.status.as_u16(),
        detail: problem.detail,
        instance: path,
        request_id: id,
    };
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    *response.body_mut() = Body::from(serde_json::to_vec(&document).unwrap_or_default());
    response
}

fn title(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Problem").to_owned()
}

/// The framework's words, or ours where it has none for those who did not write it.
fn reason(status: StatusCode, text: &[u8]) -> String {
    match status {
        StatusCode::REQUEST_TIMEOUT => "the request took longer than the server allows".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => "this path does not know this method".to_owned(),
        StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than the server allows".to_owned(),
        _ if text.is_empty() => title(status),
        _ => String::from_utf8_lossy(text).into_owned(),
    }
}
