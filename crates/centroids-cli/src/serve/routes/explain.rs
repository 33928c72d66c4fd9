//! Why is this picture found to be like that class?

use axum::extract::{Request, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use centroids::pipeline::explain;
use utoipa::ToSchema;

use crate::serve::problem::Problem;
use crate::serve::state::{App, find_class};
use crate::serve::upload::Upload;

/// A picture and a class, as form fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form that is read part by part")]
pub(in crate::serve) struct Why {
    /// The picture.
    #[schema(content_media_type = "application/octet-stream")]
    image: String,
    /// Number or name of the class.
    pid: String,
}

/// Draws what of a picture speaks for a class (red) and against it (blue).
#[utoipa::path(post, path = "/v1/explain", tag = "search", security((), ("token" = [])),
    request_body(content = Why, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The picture with the map over it", body = Vec<u8>,
         content_type = "image/png", headers(("x-similarity" = f64, description = "Dot product of \
         the prepared embedding and centroid: the sum of the map"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn post(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Problem> {
    let upload = Upload::read(request).await?;
    let class = upload.field("pid").map(str::to_owned);
    let class = class.ok_or_else(|| Problem::unprocessable("pid: say which class is meant"))?;
    let Some(picture) = upload.pictures.into_iter().next() else {
        return Err(Problem::unprocessable("there is no picture: name its part `image`"));
    };
    let picture = app.decode(picture).await?;
    let (centroid, metric) = app
        .gallery(move |gallery| {
            let centroid = gallery.centroid(find_class(gallery, &class)?)?;
            let nothing = || Problem::not_found(format!("`{class}` has no image that counts"));
            Ok((centroid.ok_or_else(nothing)?, gallery.settings().metric()))
        })
        .await?;
    let explained = app
        .inference
        .with_model(move |model| explain(&model.embedder, &picture, &centroid, &metric))
        .await??;
    let similarity = (HeaderName::from_static("x-similarity"), explained.similarity.to_string());
    let kind = (header::CONTENT_TYPE, "image/png".to_owned());
    Ok(([kind, similarity], explained.png).into_response())
}
