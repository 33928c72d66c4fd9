//! `/v1/members`

use std::path::Path as FilePath;

use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use centroids::data::thumbnail;
use centroids::store::{Gallery, Member, MemberId, Selection};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::classes::class_ref;
use super::search::from_json;
use crate::serve::limits::{Place, blocking};
use crate::serve::problem::Problem;
use crate::serve::state::{App, Shared};
use crate::serve::upload::{Kind, body, kind, unsupported};

/// Sides of a thumbnail, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 16..=1024;

/// Ids of one request.
const MOST_IDS: usize = 100_000;

/// How many members changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    pub(super) members: usize,
}

/// Where a member's picture is on this server; `None` where its file is gone.
pub(super) fn picture_of(id: MemberId, key: &str) -> Option<String> {
    FilePath::new(key).is_file().then(|| format!("/v1/members/{}/image", id.0))
}

/// Size of a picture.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageParameters {
    /// Longer side in pixels; smaller pictures keep their size.
    #[serde(default = "usual_side")]
    #[param(default = 256, minimum = 16, maximum = 1024)]
    size: u32,
}

fn usual_side() -> u32 {
    256
}

/// A member's picture, small
#[utoipa::path(get, path = "/v1/members/{id}/image", tag = "gallery",
    params(("id" = i64, Path, description = "Number of the member"), ImageParameters),
    responses(
        (status = 200, description = "The picture", body = String, content_type = "image/jpeg"),
        (status = 404, description = "No such member, or its file is gone")))]
pub(super) async fn image(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    Path(id): Path<i64>,
    Query(ImageParameters { size }): Query<ImageParameters>,
) -> Result<impl IntoResponse, Problem> {
    if !SIDES.contains(&size) {
        let (least, most) = (SIDES.start(), SIDES.end());
        return Err(Problem::malformed(format!("size = {size}: must be {least} to {most}")));
    }
    let gallery = app.loaded().gallery.clone();
    let permit = app.decoders.clone().acquire_owned().await;
    let jpeg = blocking(place, move || {
        let _permit = permit;
        let member = find(&*gallery, id)?;
        let path = FilePath::new(&member.key);
        // A picture is a file: reading anything else might never end.
        let picture = path.is_file().then(|| thumbnail(path, size));
        let gone = || Problem::missing(format!("the picture of member {id} is gone"));
        picture.and_then(Result::ok).ok_or_else(gone)
    });
    let jpeg = jpeg.await??;
    Ok(([(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "private, max-age=3600")], jpeg))
}

/// # Errors
/// 404 where there is none.
fn find(gallery: &dyn Gallery, id: i64) -> Result<Member, Problem> {
    let missing = || Problem::missing(format!("there is no member {id}"));
    let before = id.checked_sub(1).ok_or_else(missing)?;
    let found = gallery.members(None, Some(MemberId(before)), 1)?.pop();
    found.filter(|member| member.id.0 == id).ok_or_else(missing)
}

/// Remove a member, and its picture if it was added over HTTP
#[utoipa::path(delete, path = "/v1/members/{id}", tag = "gallery",
    params(("id" = i64, Path, description = "Number of the member")),
    responses((status = 200, description = "It is gone", body = Changed),
        (status = 404, description = "No such member")))]
pub(super) async fn delete(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    Path(id): Path<i64>,
) -> Result<Json<Changed>, Problem> {
    let removed = blocking(place, move || {
        let gallery = app.loaded().gallery.clone();
        let member = find(&*gallery, id)?;
        remove(&app, &*gallery, &Selection::Ids(vec![member.id]), &[member.key])
    });
    match removed.await?? {
        0 => Err(Problem::missing(format!("there is no member {id}"))),
        members => Ok(Json(Changed { members })),
    }
}

/// Removes members, then their pictures.
pub(super) fn remove(
    app: &App,
    gallery: &dyn Gallery,
    selection: &Selection,
    keys: &[String],
) -> Result<usize, Problem> {
    let _order = app.pictures.removing();
    let removed = changing(|| gallery.remove(selection))?;
    keys.iter().for_each(|key| app.pictures.forget(key));
    Ok(removed)
}

/// Times a change of the gallery.
pub(super) fn changing<T>(change: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let changed = change();
    metrics::histogram!("store_write_seconds").record(start.elapsed());
    changed
}

/// Members that move.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Relabel {
    /// Numbers of the members; what is not there is passed over.
    ids: Vec<i64>,
    /// Name or pid of their new identity, made if there is none.
    #[schema(min_length = 1, max_length = 200)]
    class: String,
}

/// Give members another identity
#[utoipa::path(post, path = "/v1/members/relabel", tag = "gallery", request_body = Relabel,
    responses((status = 200, description = "How many moved", body = Changed)))]
pub(super) async fn relabel(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Json<Changed>, Problem> {
    let Relabel { ids, class } = json(request).await?;
    let selection = selection(ids)?;
    let members = blocking(place, move || {
        let gallery = app.loaded().gallery.clone();
        let class = class_ref(&*gallery, &class)?;
        Ok::<_, Problem>(changing(|| gallery.relabel(&selection, &class))?)
    });
    Ok(Json(Changed { members: members.await?? }))
}

/// Members that are set aside, or counted again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quarantine {
    /// Numbers of the members; what is not there is passed over.
    ids: Vec<i64>,
    /// Whether they are kept without counting.
    quarantined: bool,
}

/// Keep members without counting them, or count them again
#[utoipa::path(post, path = "/v1/members/quarantine", tag = "gallery", request_body = Quarantine,
    responses((status = 200, description = "How many changed", body = Changed)))]
pub(super) async fn quarantine(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Json<Changed>, Problem> {
    let Quarantine { ids, quarantined } = json(request).await?;
    let selection = selection(ids)?;
    let gallery = app.loaded().gallery.clone();
    let change = move || changing(|| gallery.quarantine(&selection, quarantined));
    Ok(Json(Changed { members: blocking(place, change).await?? }))
}

fn selection(ids: Vec<i64>) -> Result<Selection, Problem> {
    if ids.len() > MOST_IDS {
        return Err(Problem::too_large(format!("at most {MOST_IDS} ids in a request")));
    }
    Ok(Selection::Ids(ids.into_iter().map(MemberId).collect()))
}

/// A JSON body.
///
/// # Errors
/// 415 for anything else, and those of [`from_json`].
pub(super) async fn json<T: for<'a> Deserialize<'a>>(request: Request) -> Result<T, Problem> {
    match kind(&request) {
        Ok(Kind::Json) => from_json(&body(request).await?),
        _ => Err(unsupported("application/json")),
    }
}
