//! `/v1/embed`

use axum::extract::{Request, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::serve::limits::Place;
use crate::serve::problem::Problem;
use crate::serve::state::Shared;
use crate::serve::upload::{Upload, embed_all};

/// Pictures to embed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct EmbedForm {
    /// One or several pictures.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1)]
    image: Vec<Vec<u8>>,
}

/// A picture file: JPEG, PNG, WebP, BMP, TIFF or PNM.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes a body")]
pub(super) struct PictureFile(Vec<u8>);

/// Vectors of pictures.
#[derive(Serialize, ToSchema)]
pub(super) struct Embeddings {
    /// In the order of the pictures.
    embeddings: Vec<Embedding>,
}

/// The vector of a picture.
#[derive(Serialize, ToSchema)]
struct Embedding {
    /// The file's name as it was sent.
    name: String,
    /// After the neck, not normalised.
    vector: Vec<f32>,
}

/// Embed pictures
#[utoipa::path(post, path = "/v1/embed", tag = "search",
    request_body(content((EmbedForm = "multipart/form-data"), (PictureFile = "image/jpeg"),
        (PictureFile = "image/png"), (PictureFile = "image/webp"))),
    responses((status = 200, description = "Their vectors", body = Embeddings)))]
pub(super) async fn embed(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Json<Embeddings>, Problem> {
    let loaded = app.loaded();
    let upload = Upload::read(request).await?;
    if let Some((name, _)) = upload.fields.first() {
        return Err(Problem::invalid(format!("unknown field `{name}`: only `image` is read")));
    }
    let names: Vec<String> = upload.pictures.iter().map(|picture| picture.name.clone()).collect();
    let vectors = embed_all(&app, &loaded, upload.pictures, place).await?;
    let each = names.into_iter().zip(vectors);
    Ok(Json(Embeddings {
        embeddings: each.map(|(name, vector)| Embedding { name, vector }).collect(),
    }))
}
