//! `/v1/explain`

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use centroids::data::decode_bytes;
use centroids::pipeline::{Explanation, explain as explain_picture};
use utoipa::ToSchema;

use super::classes::existing;
use crate::serve::limits::{Place, blocking};
use crate::serve::problem::Problem;
use crate::serve::state::{App, Loaded, Shared};
use crate::serve::upload::{Picture, Upload};

/// A picture and a class.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct ExplainForm {
    /// The picture.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// Number or name of the class.
    pid: String,
}

/// Show what of a picture speaks for a class (red) and against it (blue)
#[utoipa::path(post, path = "/v1/explain", tag = "search",
    request_body(content = ExplainForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The picture with the map over it, at most 512 pixels a side",
         body = String, content_type = "image/png", headers(("x-similarity" = f64,
         description = "Dot product of the prepared embedding and centroid: the sum of the map"))),
        (status = 404, description = "No such class, or none of its images counts")))]
pub(super) async fn explain(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let loaded = app.loaded();
    let mut upload = Upload::read(request).await?;
    let ([(field, class)], 1) = (&upload.fields[..], upload.pictures.len()) else {
        return Err(Problem::invalid("send one picture as `image` and one class as `pid`"));
    };
    if field != "pid" {
        return Err(Problem::invalid(format!("unknown field `{field}`: say the class as `pid`")));
    }
    let (class, picture) = (class.clone(), upload.pictures.remove(0));
    let permit = app.decoders.clone().acquire_owned().await;
    let explained = blocking(place, move || {
        let _permit = permit;
        why(&app, &loaded, &picture, &class)
    });
    let Explanation { similarity, png } = explained.await??;
    let similarity = (HeaderName::from_static("x-similarity"), similarity.to_string());
    Ok(([(CONTENT_TYPE, "image/png".to_owned()), similarity], png))
}

fn why(
    app: &App,
    loaded: &Loaded,
    Picture { name, bytes }: &Picture,
    class: &str,
) -> Result<Explanation, Problem> {
    let picture = decode_bytes(bytes, name, app.max_pixels);
    let picture = picture.map_err(|error| Problem::invalid(error.to_string()))?;
    let gallery = &*loaded.gallery;
    let centroid = gallery.centroid(existing(gallery, class)?)?;
    let nothing = || Problem::missing(format!("no image of class `{class}` counts"));
    let (centroid, metric) = (centroid.ok_or_else(nothing)?, gallery.settings().metric());
    Ok(explain_picture(&loaded.model.embedder, &picture, &centroid, &metric)?)
}
