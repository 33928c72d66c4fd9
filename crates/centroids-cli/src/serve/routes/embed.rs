//! Pictures to vectors.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::serve::problem::Problem;
use crate::serve::state::App;
use crate::serve::upload::Upload;

/// Pictures, as form fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form that is read part by part")]
pub(in crate::serve) struct Pictures {
    /// One or more pictures.
    #[schema(content_media_type = "application/octet-stream")]
    image: Vec<String>,
}

/// Vectors of pictures.
#[derive(Serialize, ToSchema)]
pub(in crate::serve) struct Embeddings {
    /// In the order of the pictures.
    embeddings: Vec<Embedding>,
}

/// The vector of a picture.
#[derive(Serialize, ToSchema)]
struct Embedding {
    /// The name it was sent under.
    name: String,
    /// `[dim]`, not normalised.
    vector: Vec<f32>,
}

/// Embeds pictures.
#[utoipa::path(post, path = "/v1/embed", tag = "search", security((), ("token" = [])),
    request_body(content(
        (Pictures = "multipart/form-data"),
        (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses(
        (status = 200, body = Embeddings),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn post(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Embeddings>, Problem> {
    let upload = Upload::read(request).await?;
    let vectors = app.embed(&upload.pictures).await?;
    let names = upload.pictures.into_iter().map(|picture| picture.name);
    let embeddings = names.zip(vectors).map(|(name, vector)| Embedding { name, vector }).collect();
    Ok(Json(Embeddings { embeddings }))
}
