//! One file per kind of thing that is asked for.

pub(super) mod classes;
pub(super) mod embed;
pub(super) mod explain;
pub(super) mod health;
pub(super) mod members;
pub(super) mod model;
pub(super) mod search;

use axum::extract::{FromRequest as _, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use centroids::store::{Example as StoredExample, Member};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::problem::Problem;
use super::upload::rejected;

/// An image to show.
#[derive(Serialize, ToSchema)]
pub(super) struct Example {
    /// Number of the member.
    id: i64,
    /// Its path or external key.
    key: String,
    /// Where this service shows it; null where the picture is gone.
    image: Option<String>,
}

impl Example {
    fn new(StoredExample { id, key }: StoredExample) -> Self {
        Self { id: id.0, image: image_of(id.0, &key), key }
    }

    fn of(member: Member) -> Self {
        Self::new(StoredExample { id: member.id, key: member.key })
    }
}

/// Where the picture of a member is shown, if there is a file under its key.
fn image_of(id: i64, key: &str) -> Option<String> {
    std::path::Path::new(key).is_file().then(|| format!("/v1/members/{id}/image"))
}

/// How many members something was done to.
#[derive(Serialize, ToSchema)]
pub(super) struct Count {
    members: usize,
}

/// The variable parts of an address; what does not fit is a problem document.
pub(super) struct Named<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|error| rejected(error.status(), error.body_text()))
    }
}

/// The fields of an address; what does not fit is a problem document.
pub(super) struct Asked<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|query| Self(query.0))
            .map_err(|error| rejected(error.status(), error.body_text()))
    }
}

/// The body as JSON.
///
/// # Errors
/// 415 another type, 413 too large, 400 malformed, 422 something else than was asked for.
async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let json = axum::Json::<T>::from_request(request, &()).await;
    json.map(|json| json.0).map_err(|error| rejected(error.status(), error.body_text()))
}
