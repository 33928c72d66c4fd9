//! Classes of the gallery and their images.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use centroids::core::{CamId, Metric, Pid};
use centroids::store::{
    AddOptions, Added as Outcome, ClassInfo, ClassRef, ContentHash, Gallery, Member, NewMember,
    Selection,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{Asked, Count, Example, Named, image_of, json};
use crate::serve::problem::Problem;
use crate::serve::state::{App, Shared, blocking, class_ref, find_class};
use crate::serve::upload::{Picture, Upload};
use crate::values::attribute;

/// Classes looked through together where a text is searched.
const PAGE: usize = 1000;
/// Members of a class that are told.
const MOST_MEMBERS: usize = 10_000;

/// Which classes are listed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct Listing {
    /// The `next` of the page before.
    after: Option<i64>,
    /// Classes of a page, 50 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// What name or number contain.
    search: Option<String>,
}

/// A page of classes, ascending by number.
#[derive(Serialize, ToSchema)]
pub(in crate::serve) struct Classes {
    classes: Vec<Class>,
    /// Give it as `after` for the next page; null on the last one.
    next: Option<i64>,
}

/// A class.
#[derive(Serialize, ToSchema)]
struct Class {
    /// Its number.
    pid: i64,
    /// Its name, if it has one.
    name: Option<String>,
    /// Images that count.
    members: usize,
    /// Images that are kept but do not count.
    quarantined: usize,
    /// Known cameras of the images that count.
    cameras: usize,
    /// One of its images.
    example: Option<Example>,
}

/// Lists classes.
#[utoipa::path(get, path = "/v1/classes", tag = "gallery", security((), ("token" = [])),
    params(Listing),
    responses(
        (status = 200, body = Classes),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn list(
    State(app): State<App>,
    Asked(Listing { after, limit, search }): Asked<Listing>,
) -> Result<Json<Classes>, Problem> {
    let limit = limit.unwrap_or(50);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::unprocessable(format!("limit: {limit} is not between 1 and 1000")));
    }
    let classes = app.gallery(move |gallery| {
        let mut found = matching(gallery, after.map(Pid), limit + 1, search.as_deref())?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|class| class.pid.0);
        let classes = found.into_iter().map(|class| with_example(gallery, class));
        Ok(Classes { classes: classes.collect::<Result<_, Problem>>()?, next })
    });
    Ok(Json(classes.await?))
}

/// The first `limit` classes above `after` whose name or number contains a text.
fn matching(
    gallery: &dyn Gallery,
    mut after: Option<Pid>,
    limit: usize,
    text: Option<&str>,
) -> Result<Vec<ClassInfo>, Problem> {
    let Some(text) = text.map(str::to_lowercase).filter(|text| !text.is_empty()) else {
        return Ok(gallery.classes(after, limit)?);
    };
    let contains = |class: &ClassInfo| {
        let name = class.name.as_ref().map(|name| name.to_lowercase());
        name.unwrap_or_else(|| class.pid.to_string()).contains(&text)
    };
    let mut found = Vec::new();
    loop {
        let page = gallery.classes(after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.pid);
        found.extend(page.into_iter().filter(contains));
        if found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

fn with_example(gallery: &dyn Gallery, class: ClassInfo) -> Result<Class, Problem> {
    let ClassInfo { pid, name, members, quarantined, cameras } = class;
    let example = gallery.members(Some(pid), None, 1)?.pop().map(Example::of);
    Ok(Class { pid: pid.0, name, members, quarantined, cameras, example })
}

/// A class with its images.
#[derive(Serialize, ToSchema)]
pub(in crate::serve) struct ClassDetail {
    /// Its number.
    pid: i64,
    /// Its name, if it has one.
    name: Option<String>,
    /// Its images, at most 10,000, in the order they came.
    members: Vec<ClassMember>,
    /// How far its images are from their mean; null without an image that counts.
    spread: Option<Spread>,
}

/// An image of a class.
#[derive(Serialize, ToSchema)]
struct ClassMember {
    /// Its number.
    id: i64,
    /// Its path or external key.
    key: String,
    /// Its camera.
    camid: Option<u32>,
    /// When it was taken or added, seconds since 1970.
    time: Option<f64>,
    /// Its share in the centroid.
    weight: f64,
    /// Whether it is kept but does not count.
    quarantined: bool,
    /// What filters look at.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// To the class's centroid.
    distance: Option<f64>,
    /// Where this service shows it; null where the picture is gone.
    image: Option<String>,
    /// Whether it is much farther from the centroid than the class's other images.
    outlier: bool,
}

/// Distances of images from their centroid.
#[derive(Serialize, ToSchema)]
struct Spread {
    mean: f64,
    max: f64,
}

/// A class with its images, and how far they are from its centroid.
#[utoipa::path(get, path = "/v1/classes/{class}", tag = "gallery", security((), ("token" = [])),
    params(("class" = String, Path, description = "Name or number")),
    responses(
        (status = 200, body = ClassDetail),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn get(
    State(app): State<App>,
    Named(class): Named<String>,
) -> Result<Json<ClassDetail>, Problem> {
    let detail = app.gallery(move |gallery| {
        let pid = find_class(gallery, &class)?;
        let members = gallery.members(Some(pid), None, MOST_MEMBERS)?;
        let centroid = gallery.centroid(pid)?;
        Ok(detail(pid, members, centroid, &gallery.settings().metric()))
    });
    Ok(Json(detail.await?))
}

fn detail(
    pid: Pid,
    members: Vec<Member>,
    centroid: Option<Vec<f64>>,
    metric: &Metric,
) -> ClassDetail {
    let centroid = centroid.map(|mut centroid| {
        metric.prepare(&mut centroid);
        centroid
    });
    let distance = |member: &Member| {
        let embedding = metric.prepared(&member.embedding);
        centroid.as_ref().map(|c| metric.distance.between_prepared(&embedding, c))
    };
    let distances: Vec<Option<f64>> = members.iter().map(distance).collect();
    let counting: Vec<f64> = members
        .iter()
        .zip(&distances)
        .filter(|(member, _)| !member.quarantined)
        .filter_map(|(_, distance)| *distance)
        .collect();
    let limit = outlier_limit(&counting);
    let name = members.first().and_then(|member| member.name.clone());
    let spread = (!counting.is_empty()).then(|| Spread {
        mean: counting.iter().sum::<f64>() / counting.len() as f64,
        max: counting.iter().copied().fold(0.0, f64::max),
    });
    let member = |(member, distance): (Member, Option<f64>)| ClassMember {
        id: member.id.0,
        image: image_of(member.id.0, &member.key),
        key: member.key,
        camid: member.camid.map(|camid| camid.0),
        time: member.time,
        weight: member.weight,
        quarantined: member.quarantined,
        attributes: member.attributes,
        distance,
        outlier: distance.is_some_and(|distance| distance > limit),
    };
    let members = members.into_iter().zip(distances).map(member).collect();
    ClassDetail { pid: pid.0, name, members, spread }
}

/// The distance beyond which an image of a class is an outlier: three robust standard deviations above
/// the median. Of fewer than five images none is.
fn outlier_limit(distances: &[f64]) -> f64 {
    const FEWEST: usize = 5;
    /// Of a normal distribution the standard deviation is this times the median deviation.
    const NORMAL: f64 = 1.4826;
    let median = |values: &mut Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    if distances.len() < FEWEST {
        return f64::INFINITY;
    }
    let middle = median(&mut distances.to_vec());
    let mut deviations = distances.iter().map(|distance| (distance - middle).abs()).collect();
    middle + 3.0 * NORMAL * median(&mut deviations).max(1e-9)
}

/// Pictures to add, as form fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form that is read part by part")]
pub(in crate::serve) struct NewPictures {
    /// One or more pictures.
    #[schema(content_media_type = "application/octet-stream")]
    image: Vec<String>,
    /// Camera of the pictures.
    camera: Option<u32>,
    /// What filters look at, `KEY=VALUE`; may be repeated.
    attribute: Option<String>,
}

/// What became of pictures.
#[derive(Serialize, ToSchema)]
pub(in crate::serve) struct AddedPictures {
    /// Number of the class.
    pid: i64,
    /// Its name, if it has one.
    name: Option<String>,
    added: Vec<NewPicture>,
    /// Pictures that the gallery had already, perhaps in another class.
    already_there: Vec<KnownPicture>,
    unreadable: Vec<BrokenPicture>,
}

/// A picture that is in now.
#[derive(Serialize, ToSchema)]
struct NewPicture {
    /// Number of the member.
    id: i64,
    /// Where it is kept.
    key: String,
}

/// A picture that was there.
#[derive(Serialize, ToSchema)]
struct KnownPicture {
    /// Number of the member.
    id: i64,
    /// The name it was sent under.
    key: String,
    /// Number of its class.
    pid: i64,
}

/// A picture that is none.
#[derive(Serialize, ToSchema)]
struct BrokenPicture {
    /// The name it was sent under.
    name: String,
    /// What is wrong with it.
    reason: String,
}

/// Adds pictures to a class, which is made if it is not there. What is answered is durable.
#[utoipa::path(put, path = "/v1/classes/{class}", tag = "gallery", security((), ("token" = [])),
    params(("class" = String, Path, description = "Name or number")),
    request_body(content(
        (NewPictures = "multipart/form-data"),
        (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses(
        (status = 200, body = AddedPictures, description = "The class was there"),
        (status = 201, body = AddedPictures, description = "The class is new"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn put(
    State(app): State<App>,
    Named(class): Named<String>,
    request: Request,
) -> Result<(StatusCode, Json<AddedPictures>), Problem> {
    let Upload { pictures, fields } = Upload::read(request).await?;
    let (camid, attributes) = described(&fields)?;
    let hashes: Vec<ContentHash> = pictures.iter().map(|p| ContentHash::of(&p.bytes)).collect();
    let (asked, class_name) = (hashes.clone(), class.clone());
    let (known, to) = app
        .gallery(move |gallery| Ok((gallery.known(&asked)?, class_ref(gallery, &class_name)?)))
        .await?;
    if to == ClassRef::Pid(Pid::JUNK) {
        return Err(Problem::unprocessable("class −1 is nobody: name another one"));
    }
    let fresh = pictures.iter().zip(&hashes).zip(&known).filter(|(_, known)| known.is_none());
    let fresh: Vec<_> = fresh.map(|(picture, _)| picture).collect();
    let (vectors, unreadable) = embed_readable(&app, &fresh).await?;
    if unreadable.len() == pictures.len() {
        let reasons: Vec<String> = unreadable.into_iter().map(|broken| broken.reason).collect();
        return Err(Problem::unprocessable(reasons.join("; ")));
    }
    let mut members = Vec::new();
    for ((picture, hash), vector) in fresh.into_iter().zip(vectors) {
        let Some(vector) = vector else { continue };
        members.push(NewMember {
            hash: Some(*hash),
            time: Some(now()),
            attributes: attributes.clone(),
            ..NewMember::new(keep(&app, picture, hash).await?, to.clone(), camid, vector)
        });
    }
    let there = pictures.iter().zip(known).filter_map(|(picture, known)| {
        let known = known?;
        Some(KnownPicture { id: known.id.0, key: picture.name.clone(), pid: known.pid.0 })
    });
    let (already_there, start) = (there.collect(), std::time::Instant::now());
    let added = app.gallery(move |gallery| add(gallery, &class, &members, already_there));
    let (new, mut added) = added.await?;
    added.unreadable = unreadable;
    metrics::histogram!("stage_duration_seconds", "stage" => "store").record(start.elapsed());
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(added)))
}

/// Camera and attributes of new pictures.
fn described(fields: &[(String, String)]) -> Result<(Option<CamId>, Map<String, Value>), Problem> {
    let (mut camid, mut attributes) = (None, Map::new());
    for (key, value) in fields {
        let wrong = |wanted| Problem::unprocessable(format!("{key}: `{value}` is not {wanted}"));
        match key.as_str() {
            "camera" => camid = Some(CamId(value.parse().map_err(|_| wrong("a camera's number"))?)),
            "attribute" => attributes.extend([attribute(value).map_err(|_| wrong("KEY=VALUE"))?]),
            _ => {
                let detail = format!("`{key}` is no field: image, camera, attribute");
                return Err(Problem::unprocessable(detail));
            }
        }
    }
    Ok((camid, attributes))
}

/// Vectors of the pictures that can be read, in their places, and what is wrong with the others.
async fn embed_readable(
    app: &Shared,
    pictures: &[(&Picture, &ContentHash)],
) -> Result<(Vec<Option<Vec<f32>>>, Vec<BrokenPicture>), Problem> {
    let input = app.inference.model().input;
    let (mut prepared, mut places, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (picture, _)) in pictures.iter().enumerate() {
        match app.prepare((*picture).clone(), input).await {
            Ok(values) => {
                prepared.push(values);
                places.push(place);
            }
            Err(problem) => {
                broken.push(BrokenPicture { name: picture.name.clone(), reason: problem.detail() });
            }
        }
    }
    let mut vectors = vec![None; pictures.len()];
    for (place, vector) in places.into_iter().zip(app.inference.embed(prepared, input).await?) {
        vectors[place] = Some(vector);
    }
    Ok((vectors, broken))
}

/// Puts a picture where it stays, under its content's name; on the disk when this returns. What is its
/// member's key.
async fn keep(app: &App, picture: &Picture, hash: &ContentHash) -> Result<String, Problem> {
    let path = app.uploads.join(format!("{hash}.{}", extension(&picture.bytes)));
    let (bytes, key) = (picture.bytes.clone(), path.to_string_lossy().into_owned());
    blocking(move || {
        let written = match path.exists() {
            true => Ok(()),
            false => centroids::core::write_atomically(&path, |file| file.write_all(&bytes)),
        };
        match written {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                let detail = "the service's disk is full: nothing of this request was stored";
                Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, detail))
            }
            Err(error) => Err(Problem::internal(format!("{}: {error}", path.display()))),
        }
    })
    .await
}

/// By the first bytes; the name that was sent says nothing.
fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xd8, ..] => "jpg",
        [0x89, b'P', b'N', b'G', ..] => "png",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        [b'B', b'M', ..] => "bmp",
        [b'I', b'I', ..] | [b'M', b'M', ..] => "tiff",
        _ => "pnm",
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Adds members; says whether the class is new.
fn add(
    gallery: &dyn Gallery,
    class: &str,
    members: &[NewMember],
    mut already_there: Vec<KnownPicture>,
) -> Result<(bool, AddedPictures), Problem> {
    let to = class_ref(gallery, class)?;
    let new = gallery.find_class(&to)?.is_none();
    let outcomes = gallery.add(members, AddOptions::default())?;
    let mut added = Vec::new();
    for (NewMember { key, .. }, outcome) in members.iter().zip(outcomes) {
        let key = key.clone();
        match outcome {
            Outcome::Added { id } | Outcome::Replaced { id } => {
                added.push(NewPicture { id: id.0, key });
            }
            Outcome::AlreadyThere { id, pid } => {
                already_there.push(KnownPicture { id: id.0, key, pid: pid.0 });
            }
            Outcome::Junk => {}
        }
    }
    // Nothing new may also mean that the pictures are all in another class and this one is not.
    let pid = gallery.find_class(&to)?;
    let pid = pid.or_else(|| already_there.first().map(|there| Pid(there.pid)));
    let pid = pid.ok_or_else(|| Problem::internal("a class without members"))?;
    let named = gallery.members(Some(pid), None, 1)?.pop();
    let name = named.and_then(|member| member.name);
    let new = new && !added.is_empty();
    Ok((new, AddedPictures { pid: pid.0, name, added, already_there, unreadable: Vec::new() }))
}

/// Takes a class out with all its images.
#[utoipa::path(delete, path = "/v1/classes/{class}", tag = "gallery", security((), ("token" = [])),
    params(("class" = String, Path, description = "Name or number")),
    responses(
        (status = 200, body = Count),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn delete(
    State(app): State<App>,
    Named(class): Named<String>,
) -> Result<Json<Count>, Problem> {
    let members = app.gallery(move |gallery| {
        Ok(gallery.remove(&Selection::Classes(vec![find_class(gallery, &class)?]))?)
    });
    Ok(Json(Count { members: members.await? }))
}

/// Which classes become one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Merge {
    /// Names or numbers.
    classes: Vec<String>,
    /// Name or number of the class that all images get; a new name is a new class.
    into: String,
}

/// Makes one class of several.
#[utoipa::path(post, path = "/v1/classes/merge", tag = "gallery", security((), ("token" = [])),
    request_body = Merge,
    responses(
        (status = 200, body = Count),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn merge(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Count>, Problem> {
    let Merge { classes, into } = json(request).await?;
    let members = app.gallery(move |gallery| {
        let pids = classes.iter().map(|class| find_class(gallery, class));
        let pids = pids.collect::<Result<Vec<_>, _>>()?;
        Ok(gallery.merge(&pids, &class_ref(gallery, &into)?)?)
    });
    Ok(Json(Count { members: members.await? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_is_far_beyond_the_others() {
        assert_eq!(outlier_limit(&[0.1, 9.0]), f64::INFINITY);
        let limit = outlier_limit(&[0.10, 0.12, 0.11, 0.13, 0.9, 0.12]);
        assert!(limit > 0.13 && limit < 0.9, "{limit}");
    }

    #[test]
    fn fields_describe_pictures() {
        let field = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let (camid, attributes) =
            described(&[field("camera", "3"), field("attribute", "shop=north")]).unwrap();
        assert_eq!((camid, &attributes["shop"]), (Some(CamId(3)), &Value::from("north")));
        for wrong in [field("camera", "x"), field("attribute", "x"), field("pid", "1")] {
            assert!(described(&[wrong]).is_err());
        }
    }
}
