//! `/v1/search`

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::{Extension, Json};
use centroids::core::{CamId, Unit};
use centroids::store::{Answer, Filter, Hit, MemberId, SearchOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::embed::PictureFile;
use super::members::picture_of;
use crate::serve::limits::{Place, blocking};
use crate::serve::problem::Problem;
use crate::serve::state::{Loaded, Shared};
use crate::serve::upload::{Kind, Upload, body, embed_all, kind};
use crate::values::attribute;

/// Hits of a query; a page of more is of no use, and would take long.
const MOST_HITS: usize = 1000;

/// What is ranked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RankedUnit {
    /// Images.
    Instance,
    /// Identities by their nearest image.
    Nearest,
    /// Identities by their mean.
    #[default]
    Centroid,
}

impl From<RankedUnit> for Unit {
    fn from(unit: RankedUnit) -> Unit {
        match unit {
            RankedUnit::Instance => Unit::Instance,
            RankedUnit::Nearest => Unit::Nearest,
            RankedUnit::Centroid => Unit::Centroid,
        }
    }
}

/// What to look for, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorSearch {
    /// Vectors of the model that is served (`/v1/embed`).
    #[serde(default)]
    #[schema(required, min_items = 1)]
    vectors: Vec<Vec<f32>>,
    /// Hits of a query.
    #[serde(default = "usual_hits")]
    #[schema(default = 10, minimum = 1, maximum = 1000)]
    k: usize,
    /// Leave images of this camera out (the one that took the picture).
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4294967295u32)]
    camera: Option<u32>,
    /// What is ranked.
    #[serde(default)]
    unit: RankedUnit,
    /// Only images with these attributes count, `key=value` each.
    #[serde(default, rename = "where")]
    filter: Vec<String>,
    /// Beyond this distance the nearest is nobody known.
    #[serde(default)]
    threshold: Option<f64>,
}

fn usual_hits() -> usize {
    10
}

/// Pictures to look for, and how.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct SearchForm {
    /// One or several pictures.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1)]
    image: Vec<Vec<u8>>,
    /// Hits of a query.
    #[schema(default = 10, minimum = 1, maximum = 1000, nullable = false)]
    k: Option<usize>,
    /// Leave images of this camera out (the one that took the picture).
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4294967295u32, nullable = false)]
    camera: Option<u32>,
    unit: Option<RankedUnit>,
    /// Only images with these attributes count, `key=value` each; may be given several times.
    #[schema(rename = "where", nullable = false)]
    filter: Option<Vec<String>>,
    /// Beyond this distance the nearest is nobody known.
    #[schema(nullable = false)]
    threshold: Option<f64>,
}

/// For a picture that is the whole body.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
pub(super) struct SearchParameters {
    /// Hits of a query.
    #[param(default = 10, minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Leave images of this camera out.
    camera: Option<u32>,
    #[param(inline)]
    unit: Option<RankedUnit>,
    /// Only images with these attributes count, `key=value` each; may be given several times.
    #[param(rename = "where")]
    filter: Option<Vec<String>>,
    /// Beyond this distance the nearest is nobody known.
    threshold: Option<f64>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub(super) struct Found {
    unit: RankedUnit,
    /// In the order of the queries.
    results: Vec<QueryResult>,
}

/// The answer for a picture or vector.
#[derive(Serialize, ToSchema)]
struct QueryResult {
    /// The file's name as it was sent, or which vector it is.
    query: String,
    /// Whether the nearest is too far away to be an answer: beyond the threshold asked for, or else
    /// beyond that of the calibration, or there is none.
    unknown: bool,
    /// How much farther than the first hit the first of another identity is.
    margin: Option<f64>,
    /// Nearest first.
    hits: Vec<FoundHit>,
}

/// An identity or image found.
#[derive(Serialize, ToSchema)]
struct FoundHit {
    /// From 1.
    rank: usize,
    /// Number of the identity.
    pid: i64,
    /// Its name, if it has one.
    name: Option<String>,
    /// Smaller is nearer.
    distance: f64,
    /// Probability that it is right, were it the nearest (the first hit is); null without a
    /// calibration for this unit.
    confidence: Option<f64>,
    /// The image found, or the identity's nearest to the query.
    example: Option<FoundExample>,
}

/// A member to show.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundExample {
    id: i64,
    /// Its path or another name for it.
    key: String,
    /// Where its picture is on this server; null where the file is gone.
    image: Option<String>,
}

impl FoundExample {
    pub(super) fn new(id: MemberId, key: String) -> FoundExample {
        FoundExample { id: id.0, image: picture_of(id, &key), key }
    }
}

impl VectorSearch {
    /// From fields of text; a field that is no `where` is given once.
    fn from_fields(fields: Vec<(String, String)>) -> Result<VectorSearch, Problem> {
        let mut keys = Map::new();
        let mut filter = Vec::new();
        for (key, text) in fields {
            let value = match key.as_str() {
                "where" => {
                    filter.push(Value::String(text));
                    continue;
                }
                "unit" => Value::String(text),
                "k" | "camera" | "threshold" => serde_json::from_str(&text)
                    .map_err(|_| Problem::invalid(format!("{key} = {text}: not a number")))?,
                _ => return Err(Problem::invalid(format!("unknown field `{key}`"))),
            };
            if keys.insert(key.clone(), value).is_some() {
                return Err(Problem::invalid(format!("`{key}` is given twice")));
            }
        }
        keys.insert("where".to_owned(), filter.into());
        serde_json::from_value(keys.into()).map_err(|error| Problem::invalid(error.to_string()))
    }

    fn options(&self, loaded: &Loaded) -> Result<SearchOptions, Problem> {
        if !(1..=MOST_HITS).contains(&self.k) {
            return Err(Problem::invalid(format!("k = {}: must be 1 to {MOST_HITS}", self.k)));
        }
        let mut filter = Filter::default();
        for text in &self.filter {
            let (key, value) = attribute(text)
                .map_err(|reason| Problem::invalid(format!("where = {text}: {reason}")))?;
            filter = filter.and(&key, value)?;
        }
        Ok(SearchOptions {
            k: self.k,
            unit: self.unit.into(),
            without_camera: self.camera.map(CamId),
            filter,
            threshold: self.threshold,
            calibration: loaded.calibration(self.unit.into()).cloned(),
            examples: true,
        })
    }
}

/// Find the identities or images nearest to pictures or vectors
///
/// A form, a picture with query parameters, or vectors as JSON.
#[utoipa::path(post, path = "/v1/search", tag = "search", params(SearchParameters),
    request_body(content((SearchForm = "multipart/form-data"), (PictureFile = "image/jpeg"),
        (PictureFile = "image/png"), (PictureFile = "image/webp"), (VectorSearch = "application/json"))),
    responses((status = 200, description = "What was found", body = Found)))]
pub(super) async fn search(
    State(app): State<Shared>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Json<Found>, Problem> {
    let loaded = app.loaded();
    let (question, pictures) = match kind(&request)? {
        Kind::Json => {
            let question: VectorSearch = from_json(&body(request).await?)?;
            if question.vectors.is_empty() {
                return Err(Problem::invalid("there are no vectors"));
            }
            (question, Vec::new())
        }
        Kind::Multipart | Kind::Picture => {
            let upload = Upload::read(request).await?;
            (VectorSearch::from_fields(upload.fields)?, upload.pictures)
        }
    };
    let options = question.options(&loaded)?;
    // A search of many vectors takes as long as one of many pictures.
    let others = app.places.take_others(question.vectors.len())?;
    let (names, vectors) = if pictures.is_empty() {
        let numbers = (1..=question.vectors.len()).map(|number| number.to_string());
        (numbers.collect(), question.vectors)
    } else {
        let names = pictures.iter().map(|picture| picture.name.clone()).collect();
        (names, embed_all(&app, &loaded, pictures, place.clone()).await?)
    };
    let results = blocking(place, move || {
        let _others = others;
        find(&loaded, names, &vectors, &options)
    });
    let results = results.await??;
    Ok(Json(Found { unit: question.unit, results }))
}

fn find(
    loaded: &Arc<Loaded>,
    names: Vec<String>,
    vectors: &[Vec<f32>],
    options: &SearchOptions,
) -> Result<Vec<QueryResult>, Problem> {
    let start = Instant::now();
    let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let answers = loaded.gallery.search(&vectors, options)?;
    metrics::histogram!("search_seconds").record(start.elapsed());
    let result = |(query, Answer { hits, unknown, margin }): (String, Answer)| QueryResult {
        query,
        unknown,
        margin,
        hits: hits.into_iter().map(found_hit).collect(),
    };
    Ok(names.into_iter().zip(answers).map(result).collect())
}

fn found_hit(Hit { rank, pid, name, distance, confidence, example }: Hit) -> FoundHit {
    let example = example.map(|example| FoundExample::new(example.id, example.key));
    FoundHit { rank, pid: pid.0, name, distance, confidence, example }
}

/// JSON with our words for what is wrong with it: 400 what is no JSON, 422 what does not fit.
pub(super) fn from_json<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::invalid(error.to_string()),
        _ => Problem::malformed(error.to_string()),
    })
}
