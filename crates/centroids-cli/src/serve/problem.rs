//! Errors as RFC 9457 problem documents.

use std::fmt::Display;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use centroids::store;
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`: the title says it all.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
    /// What the log calls this request.
    request_id: String,
    #[serde(skip)]
    retry_after: Option<u32>,
}

tokio::task_local! {
    /// The request that is being answered.
    pub(super) static REQUEST_ID: String;
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Display) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.to_string(),
            request_id: REQUEST_ID.try_with(Clone::clone).unwrap_or_default(),
            retry_after: None,
        }
    }

    /// What is wrong and what to do.
    pub(super) fn detail(self) -> String {
        self.detail
    }

    pub(super) fn not_found(detail: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// What the client sent can be read but means nothing: a broken picture, a wrong dimension.
    pub(super) fn unprocessable(detail: impl Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// Full: come back later.
    pub(super) fn too_many() -> Self {
        let busy = "the service is busy; try again after the time in Retry-After";
        Self { retry_after: Some(1), ..Self::new(StatusCode::TOO_MANY_REQUESTS, busy) }
    }

    /// A fault on this side. The client learns no more than that; the log has the rest.
    pub(super) fn internal(cause: impl Display) -> Self {
        tracing::error!(%cause, "request failed");
        let detail = "the service failed; its log says why, under this request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"centroids\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<store::Error> for Problem {
    /// Only what the client sent is told; of files and their faults the log has the rest.
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        match error {
            E::Dimension { .. } | E::NotFinite { .. } | E::Member { .. } | E::Filter { .. } => {
                Self::unprocessable(error)
            }
            E::Conflict { .. } | E::JunkClass => Self::new(StatusCode::CONFLICT, error),
            E::Busy { .. } => {
                tracing::warn!(%error, "the gallery is busy");
                Self { retry_after: Some(1), ..Self::too_many() }
            }
            E::DiskFull { .. } => {
                tracing::error!(%error, "cannot store");
                let detail = "the service's disk is full: nothing of this request was stored";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, detail)
            }
            other => Self::internal(other),
        }
    }
}

impl From<centroids::Error> for Problem {
    fn from(error: centroids::Error) -> Self {
        match error {
            centroids::Error::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_document_of_its_kind() {
        let response = Problem::too_many().into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let problem = serde_json::to_value(Problem::not_found("no class `x`")).unwrap();
        assert_eq!(
            (&problem["status"], &problem["title"], &problem["type"], &problem["detail"]),
            (&404.into(), &"Not Found".into(), &"about:blank".into(), &"no class `x`".into())
        );
    }
}
