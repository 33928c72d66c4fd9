//! `/v1/classes`

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use centroids::core::{CamId, Pid};
use centroids::pipeline::{ClassMember, ClassView, view_class};
use centroids::store::{
    AddOptions, Added, ClassInfo, ClassRef, ContentHash, Gallery, NewMember, Selection,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::members::{Changed, changing, json, picture_of, remove};
use super::search::FoundExample;
use crate::serve::limits::{Place, blocking};
use crate::serve::problem::Problem;
use crate::serve::state::{App, Loaded, Shared};
use crate::serve::upload::{self, Picture, Upload};
use crate::values::attribute;

/// Classes of a page.
const MOST_CLASSES: usize = 1000;
/// Characters of a name.
const LONGEST_NAME: usize = 200;
/// Classes read at a time while looking for names.
const CHUNK: usize = 1000;

/// The class that a text means: a name, or else the pid of a class that may have a name.
///
/// # Errors
/// 422 for what can be no name.
pub(super) fn class_ref(gallery: &dyn Gallery, text: &str) -> Result<ClassRef, Problem> {
    let sound = !text.trim().is_empty()
        && text.chars().count() <= LONGEST_NAME
        && !text.chars().any(char::is_control);
    if !sound {
        let rule = format!("a class has a name of 1 to {LONGEST_NAME} printable characters");
        return Err(Problem::invalid(rule));
    }
    if text.parse() == Ok(Pid::JUNK.0) {
        return Err(centroids::store::Error::JunkClass.into());
    }
    Ok(gallery.class_named(text)?)
}

/// # Errors
/// 404 where there is no such class.
pub(super) fn existing(gallery: &dyn Gallery, text: &str) -> Result<Pid, Problem> {
    let found = gallery.find_class(&class_ref(gallery, text)?)?;
    found.ok_or_else(|| Problem::missing(format!("there is no class `{text}`")))
}

/// The class of a pid.
fn info(gallery: &dyn Gallery, pid: Pid) -> Result<Option<ClassInfo>, Problem> {
    let before = pid.0.checked_sub(1).map(Pid);
    let found = gallery.classes(before, 1)?.pop();
    Ok(found.filter(|class| class.pid == pid))
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    /// Classes above this pid.
    after: Option<i64>,
    /// How many.
    #[serde(default = "usual_classes")]
    #[param(default = 50, minimum = 1, maximum = 1000)]
    limit: usize,
    /// Only those whose name, or pid where they have none, holds this, in upper or lower case.
    search: Option<String>,
}

fn usual_classes() -> usize {
    50
}

/// A page of classes.
#[derive(Serialize, ToSchema)]
pub(super) struct Classes {
    /// Ascending by pid.
    classes: Vec<ListedClass>,
    /// `after` of the next page; null on the last.
    next: Option<i64>,
}

/// An identity.
#[derive(Serialize, ToSchema)]
struct ListedClass {
    pid: i64,
    /// Its name, if it has one.
    name: Option<String>,
    /// Images that count.
    members: usize,
    /// Images that are kept but do not count.
    quarantined: usize,
    /// Known cameras of the images that count.
    cameras: usize,
    /// Its first image.
    example: Option<FoundExample>,
}

/// List classes
#[utoipa::path(get, path = "/v1/classes", tag = "gallery", params(ListParameters),
    responses((status = 200, description = "A page of them", body = Classes)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    Query(parameters): Query<ListParameters>,
) -> Result<Json<Classes>, Problem> {
    if !(1..=MOST_CLASSES).contains(&parameters.limit) {
        let limit = parameters.limit;
        return Err(Problem::malformed(format!("limit = {limit}: must be 1 to {MOST_CLASSES}")));
    }
    let gallery = app.loaded().gallery.clone();
    Ok(Json(blocking(place, move || page(&*gallery, &parameters)).await??))
}

fn page(gallery: &dyn Gallery, parameters: &ListParameters) -> Result<Classes, Problem> {
    let ListParameters { after, limit, search } = parameters;
    let wanted = search.as_ref().map(|text| text.to_lowercase());
    let matches = |class: &ClassInfo| {
        let name = class.name.clone().unwrap_or_else(|| class.pid.to_string());
        wanted.as_ref().is_none_or(|wanted| name.to_lowercase().contains(wanted))
    };
    let (mut found, mut after) = (Vec::new(), after.map(Pid));
    // One more than asked for says whether there is a next page.
    while found.len() <= *limit {
        let size = if wanted.is_none() { limit + 1 } else { CHUNK };
        let classes = gallery.classes(after, size)?;
        let is_last = classes.len() < size;
        after = classes.last().map(|class| class.pid).or(after);
        found.extend(classes.into_iter().filter(matches));
        if is_last {
            break;
        }
    }
    let more = found.len() > *limit;
    found.truncate(*limit);
    let next = found.last().filter(|_| more).map(|class| class.pid.0);
    let classes =
        found.into_iter().map(|class| listed(gallery, class)).collect::<Result<_, _>>()?;
    Ok(Classes { classes, next })
}

fn listed(gallery: &dyn Gallery, class: ClassInfo) -> Result<ListedClass, Problem> {
    let first = gallery.members(Some(class.pid), None, 1)?.pop();
    let ClassInfo { pid, name, members, quarantined, cameras } = class;
    let example = first.map(|member| FoundExample::new(member.id, member.key));
    Ok(ListedClass { pid: pid.0, name, members, quarantined, cameras, example })
}

/// An identity and its images.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownClass {
    pid: i64,
    /// Its name, if it has one.
    name: Option<String>,
    /// Ascending by id.
    members: Vec<ShownMember>,
    /// Of the distances of the images that count; null where there are none.
    spread: Option<Spread>,
}

/// Distances of images from the centroid of their class.
#[derive(Serialize, ToSchema)]
struct Spread {
    mean: f64,
    max: f64,
}

/// An image.
#[derive(Serialize, ToSchema)]
struct ShownMember {
    id: i64,
    /// Its path or another name for it.
    key: String,
    /// Its camera, if known.
    camid: Option<u32>,
    /// When it was taken, seconds since 1970.
    time: Option<f64>,
    /// Its share in the centroid.
    weight: f64,
    /// Whether it is kept without counting.
    quarantined: bool,
    /// What filters look at.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// From the centroid of its class; null where no image of it counts.
    distance: Option<f64>,
    /// Whether it is much farther away than the others of its class.
    outlier: bool,
    /// Where its picture is on this server; null where the file is gone.
    image: Option<String>,
}

/// A class and its members
#[utoipa::path(get, path = "/v1/classes/{class}", tag = "gallery",
    params(("class" = String, Path, description = "Name, or pid", min_length = 1, max_length = 200)),
    responses((status = 200, description = "The class", body = ShownClass),
        (status = 404, description = "No such class"),
        (status = 422, description = "This can be no name")))]
pub(super) async fn get(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    Path(class): Path<String>,
) -> Result<Json<ShownClass>, Problem> {
    let gallery = app.loaded().gallery.clone();
    let shown = blocking(place, move || {
        let pid = existing(&*gallery, &class)?;
        let name = info(&*gallery, pid)?.and_then(|class| class.name);
        let ClassView { members, spread, .. } = view_class(&*gallery, pid)?;
        Ok::<_, Problem>(ShownClass {
            pid: pid.0,
            name,
            members: members.into_iter().map(shown_member).collect(),
            spread: spread.map(|spread| Spread { mean: spread.mean, max: spread.max }),
        })
    });
    Ok(Json(shown.await??))
}

fn shown_member(of: ClassMember) -> ShownMember {
    let ClassMember { member, distance, outlier } = of;
    ShownMember {
        id: member.id.0,
        image: picture_of(member.id, &member.key),
        key: member.key,
        camid: member.camid.map(|camid| camid.0),
        time: member.time,
        weight: member.weight,
        quarantined: member.quarantined,
        attributes: member.attributes,
        distance,
        outlier,
    }
}

/// Pictures to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct PutForm {
    /// One or several pictures.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1)]
    image: Vec<Vec<u8>>,
    /// The camera that took them.
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4294967295u32, nullable = false)]
    camera: Option<u32>,
    /// `key=value`, for filters; may be given several times.
    #[schema(nullable = false)]
    attribute: Option<Vec<String>>,
}

/// What became of pictures.
#[derive(Serialize, ToSchema)]
pub(super) struct Put {
    /// Number of the class; null where there is none because all pictures are of other classes.
    pid: Option<i64>,
    /// Name of the class, if it has one.
    name: Option<String>,
    /// New members.
    added: Vec<NewlyAdded>,
    /// Pictures that are members already, maybe of another class.
    already_there: Vec<AlreadyThere>,
    /// Pictures that cannot be read.
    unreadable: Vec<UnreadablePicture>,
}

/// A new member.
#[derive(Serialize, ToSchema)]
struct NewlyAdded {
    id: i64,
    /// Where its picture is kept.
    key: String,
}

/// A member that was there.
#[derive(Serialize, ToSchema)]
struct AlreadyThere {
    id: i64,
    /// The file's name as it was sent.
    key: String,
    /// The identity under which it is there.
    pid: i64,
}

/// A picture that is none.
#[derive(Serialize, ToSchema)]
struct UnreadablePicture {
    /// The file's name as it was sent.
    name: String,
    reason: String,
}

/// What all pictures of a request have in common.
struct Common {
    class: String,
    camera: Option<CamId>,
    attributes: Map<String, Value>,
}

impl Common {
    fn read(class: String, fields: Vec<(String, String)>) -> Result<Common, Problem> {
        let mut common = Common { class, camera: None, attributes: Map::new() };
        for (key, text) in fields {
            let refuse = |reason: &str| Problem::invalid(format!("{key} = {text}: {reason}"));
            match key.as_str() {
                "camera" => {
                    let camera = text.parse().map_err(|_| refuse("not the number of a camera"))?;
                    common.camera = Some(CamId(camera));
                }
                "attribute" => {
                    common.attributes.extend([attribute(&text).map_err(|why| refuse(&why))?]);
                }
                _ => return Err(Problem::invalid(format!("unknown field `{key}`"))),
            }
        }
        Ok(common)
    }
}

/// Add pictures to a class, which is made if there is none
///
/// A picture is embedded, kept and synced before it is acknowledged. The same picture twice is one
/// member.
#[utoipa::path(put, path = "/v1/classes/{class}", tag = "gallery",
    params(("class" = String, Path, description = "Name, or pid", min_length = 1, max_length = 200)),
    request_body(content = PutForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Added to a class", body = Put),
        (status = 201, description = "The class is new", body = Put),
        (status = 409, description = "The key of a picture is taken by another embedding")))]
pub(super) async fn put(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    Path(class): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Put>), Problem> {
    let loaded = app.loaded();
    let upload = Upload::read(request).await?;
    let common = Common::read(class, upload.fields)?;
    let fresh = {
        let (gallery, class) = (loaded.gallery.clone(), common.class.clone());
        blocking(place.clone(), move || {
            class_ref(&*gallery, &class)?;
            Fresh::sort(&*gallery, upload.pictures)
        })
    };
    let Fresh { pictures, hashes, already_there } = fresh.await??;
    let embedded = upload::embed(&app, &loaded, pictures.clone(), place.clone()).await?;
    let unreadable: Vec<_> = embedded
        .unreadable
        .into_iter()
        .map(|(row, reason)| UnreadablePicture { name: pictures[row].name.clone(), reason })
        .collect();
    if embedded.readable.is_empty() && already_there.is_empty() {
        let reasons: Vec<&str> = unreadable.iter().map(|one| one.reason.as_str()).collect();
        return Err(Problem::invalid(reasons.join("; ")));
    }
    let new: Vec<(Picture, ContentHash, Vec<f32>)> = embedded
        .readable
        .into_iter()
        .zip(embedded.vectors)
        .map(|(row, vector)| (pictures[row].clone(), hashes[row], vector))
        .collect();
    let (mut put, is_new) = blocking(place, move || add(&app, &loaded, &common, new)).await??;
    put.already_there.splice(0..0, already_there);
    put.unreadable = unreadable;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(put)))
}

/// Pictures that need to be embedded, and those that are members.
struct Fresh {
    pictures: Vec<Picture>,
    hashes: Vec<ContentHash>,
    already_there: Vec<AlreadyThere>,
}

impl Fresh {
    fn sort(gallery: &dyn Gallery, sent: Vec<Picture>) -> Result<Fresh, Problem> {
        let hashes: Vec<_> = sent.iter().map(|picture| ContentHash::of(&picture.bytes)).collect();
        let known = gallery.known(&hashes)?;
        let mut fresh = Fresh { pictures: vec![], hashes: vec![], already_there: vec![] };
        for ((picture, hash), known) in sent.into_iter().zip(hashes).zip(known) {
            match known {
                Some(known) => fresh.already_there.push(AlreadyThere {
                    id: known.id.0,
                    key: picture.name,
                    pid: known.pid.0,
                }),
                None => {
                    fresh.pictures.push(picture);
                    fresh.hashes.push(hash);
                }
            }
        }
        Ok(fresh)
    }
}

/// Keeps pictures, then adds their members, all at once. Says whether the class was made.
fn add(
    app: &App,
    loaded: &Arc<Loaded>,
    common: &Common,
    new: Vec<(Picture, ContentHash, Vec<f32>)>,
) -> Result<(Put, bool), Problem> {
    let gallery = &*loaded.gallery;
    let class = class_ref(gallery, &common.class)?;
    let is_new = gallery.find_class(&class)?.is_none();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0.0, |now| now.as_secs_f64().floor());
    let _order = app.pictures.adding();
    let member = |(picture, hash, vector): &(Picture, ContentHash, Vec<f32>)| {
        let path = app.pictures.keep(*hash, &picture.bytes);
        let path =
            path.map_err(|error| Problem::internal(format!("cannot keep a picture: {error}")))?;
        Ok(NewMember {
            hash: Some(*hash),
            // Only where age counts: nobody knows when it was taken.
            time: gallery.settings().half_life.map(|_| now),
            attributes: common.attributes.clone(),
            ..NewMember::new(path.to_string_lossy(), class.clone(), common.camera, vector.clone())
        })
    };
    let members = new.iter().map(member).collect::<Result<Vec<_>, Problem>>()?;
    let outcomes = changing(|| gallery.add(&members, AddOptions::default()))?;
    let mut put =
        Put { pid: None, name: None, added: vec![], already_there: vec![], unreadable: vec![] };
    for ((member, outcome), (picture, ..)) in members.into_iter().zip(outcomes).zip(new) {
        match outcome {
            Added::Added { id } | Added::Replaced { id } => {
                put.added.push(NewlyAdded { id: id.0, key: member.key });
            }
            Added::AlreadyThere { id, pid } => {
                put.already_there.push(AlreadyThere { id: id.0, key: picture.name, pid: pid.0 })
            }
            Added::Junk => {}
        }
    }
    if let Some(pid) = gallery.find_class(&class)? {
        put.pid = Some(pid.0);
        put.name = info(gallery, pid)?.and_then(|class| class.name);
    }
    let made = is_new && !put.added.is_empty();
    Ok((put, made))
}

/// Remove a class with all its members
#[utoipa::path(delete, path = "/v1/classes/{class}", tag = "gallery",
    params(("class" = String, Path, description = "Name, or pid", min_length = 1, max_length = 200)),
    responses((status = 200, description = "How many members it had", body = Changed),
        (status = 404, description = "No such class"),
        (status = 422, description = "This can be no name")))]
pub(super) async fn delete(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    Path(class): Path<String>,
) -> Result<Json<Changed>, Problem> {
    let members = blocking(place, move || {
        let gallery = app.loaded().gallery.clone();
        let pid = existing(&*gallery, &class)?;
        let keys = view_class(&*gallery, pid)?.members.into_iter().map(|of| of.member.key);
        remove(&app, &*gallery, &Selection::Classes(vec![pid]), &keys.collect::<Vec<_>>())
    });
    Ok(Json(Changed { members: members.await?? }))
}

/// Classes that become one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Merge {
    /// Names or pids.
    #[schema(min_items = 1)]
    classes: Vec<String>,
    /// Name or pid of the class that they become, made if there is none.
    #[schema(min_length = 1, max_length = 200)]
    into: String,
}

/// Make one class of several
#[utoipa::path(post, path = "/v1/classes/merge", tag = "gallery", request_body = Merge,
    responses((status = 200, description = "How many members moved", body = Changed),
        (status = 404, description = "No such class")))]
pub(super) async fn merge(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Json<Changed>, Problem> {
    let Merge { classes, into } = json(request).await?;
    if classes.is_empty() {
        return Err(Problem::invalid("there are no classes to merge"));
    }
    let members = blocking(place, move || {
        let gallery = app.loaded().gallery.clone();
        let pids = classes.iter().map(|class| existing(&*gallery, class));
        let pids = pids.collect::<Result<Vec<Pid>, Problem>>()?;
        let into = class_ref(&*gallery, &into)?;
        Ok::<_, Problem>(changing(|| gallery.merge(&pids, &into))?)
    });
    Ok(Json(Changed { members: members.await?? }))
}
