//! Images of the gallery.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use centroids::data::thumbnail;
use centroids::store::{Gallery, Member, MemberId, Selection};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Asked, Count, Named, json};
use crate::serve::problem::Problem;
use crate::serve::state::{App, blocking, class_ref};

/// The size of a picture.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct Size {
    /// Longer side in pixels, at most 1024; a smaller picture keeps its size.
    #[param(minimum = 1, maximum = 1024)]
    size: Option<u32>,
}

/// Which images get which class.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Relabel {
    /// Numbers of members.
    ids: Vec<i64>,
    /// Name or number; a new name is a new class.
    class: String,
}

/// Which images are set aside.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Quarantine {
    /// Numbers of members.
    ids: Vec<i64>,
    /// True: they are kept but do not count. False: they count again.
    quarantined: bool,
}

/// A small JPEG of a member's picture.
#[utoipa::path(get, path = "/v1/members/{id}/image", tag = "gallery", security((), ("token" = [])),
    params(("id" = i64, Path, description = "Number of the member"), Size),
    responses(
        (status = 200, description = "The picture", body = Vec<u8>, content_type = "image/jpeg"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn image(
    State(app): State<App>,
    Named(id): Named<i64>,
    Asked(Size { size }): Asked<Size>,
) -> Result<Response, Problem> {
    let size = size.unwrap_or(256).clamp(1, 1024);
    let member = app.gallery(move |gallery| member(gallery, id)).await?;
    let shown = blocking(move || {
        let path = std::path::Path::new(&member.key);
        thumbnail(path, size).map_err(|error| {
            tracing::warn!(%error, "a picture cannot be shown");
            Problem::not_found(format!("the picture of member {id} is gone or broken"))
        })
    });
    let headers =
        [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, max-age=3600")];
    Ok((headers, shown.await?).into_response())
}

/// The member of a number.
///
/// # Errors
/// 404 if there is none.
fn member(gallery: &dyn Gallery, id: i64) -> Result<Member, Problem> {
    let before = id.checked_sub(1).map(MemberId);
    let found = gallery.members(None, before, 1)?.into_iter().find(|member| member.id.0 == id);
    found.ok_or_else(|| Problem::not_found(format!("there is no member {id}")))
}

/// Takes an image out.
#[utoipa::path(delete, path = "/v1/members/{id}", tag = "gallery", security((), ("token" = [])),
    params(("id" = i64, Path, description = "Number of the member")),
    responses(
        (status = 200, body = Count),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn delete(
    State(app): State<App>,
    Named(id): Named<i64>,
) -> Result<Json<Count>, Problem> {
    let selection = Selection::Ids(vec![MemberId(id)]);
    match app.gallery(move |gallery| Ok(gallery.remove(&selection)?)).await? {
        0 => Err(Problem::not_found(format!("there is no member {id}"))),
        members => Ok(Json(Count { members })),
    }
}

/// Gives images another class. Numbers that are not there are passed over.
#[utoipa::path(post, path = "/v1/members/relabel", tag = "gallery", security((), ("token" = [])),
    request_body = Relabel,
    responses(
        (status = 200, body = Count),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn relabel(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Count>, Problem> {
    let Relabel { ids, class } = json(request).await?;
    let members = app.gallery(move |gallery| {
        let class = class_ref(gallery, &class)?;
        Ok(gallery.relabel(&selected(ids), &class)?)
    });
    Ok(Json(Count { members: members.await? }))
}

/// Sets images aside, or counts them again. Numbers that are not there are passed over.
#[utoipa::path(post, path = "/v1/members/quarantine", tag = "gallery", security((), ("token" = [])),
    request_body = Quarantine,
    responses(
        (status = 200, body = Count),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn quarantine(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Count>, Problem> {
    let Quarantine { ids, quarantined } = json(request).await?;
    let members = app.gallery(move |gallery| Ok(gallery.quarantine(&selected(ids), quarantined)?));
    Ok(Json(Count { members: members.await? }))
}

fn selected(ids: Vec<i64>) -> Selection {
    Selection::Ids(ids.into_iter().map(MemberId).collect())
}
