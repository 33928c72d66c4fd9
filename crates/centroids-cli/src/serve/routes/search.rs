//! Who or what is on a picture?

use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use centroids::core::{Calibration, Unit};
use centroids::store::{Answer, Hit as StoredHit, SearchOptions};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Example, json};
use crate::serve::problem::Problem;
use crate::serve::question::{VectorSearch, calibration_for, search_options};
use crate::serve::state::App;
use crate::serve::upload::{Upload, kind};

/// A search by pictures, as form fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form that is read part by part")]
pub(in crate::serve) struct PictureSearch {
    /// One or more pictures.
    #[schema(content_media_type = "application/octet-stream")]
    image: Vec<String>,
    /// Hits per picture (10).
    #[schema(minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Camera whose images do not count.
    camera: Option<u32>,
    /// What is ranked: `instance`, `nearest` or `centroid` (the default).
    unit: Option<String>,
    /// An attribute that images must have, `KEY=VALUE`; may be repeated.
    r#where: Option<String>,
    /// Beyond this distance the nearest is nobody known.
    threshold: Option<f64>,
}

/// Answers.
#[derive(Serialize, ToSchema)]
pub(in crate::serve) struct Results {
    /// What is ranked.
    unit: String,
    /// In the order of the pictures or vectors.
    results: Vec<Found>,
}

/// The answer for one picture or vector.
#[derive(Serialize, ToSchema)]
struct Found {
    /// The name of the picture; null for a vector.
    query: Option<String>,
    /// Whether the nearest is beyond the threshold, or there is none.
    unknown: bool,
    /// How much farther than the first the next of another class is.
    margin: Option<f64>,
    /// Nearest first.
    hits: Vec<Hit>,
}

/// Something found.
#[derive(Serialize, ToSchema)]
struct Hit {
    /// From 1.
    rank: usize,
    /// Number of the class.
    pid: i64,
    /// Its name, if it has one.
    name: Option<String>,
    /// Smaller is nearer.
    distance: f64,
    /// How likely a nearest candidate at this distance is right; null without a calibration.
    confidence: Option<f64>,
    /// The image found, or the one of the class that is nearest to the query.
    example: Option<Example>,
}

/// Finds classes or images by pictures or vectors.
#[utoipa::path(post, path = "/v1/search", tag = "search", security((), ("token" = [])),
    request_body(content(
        (PictureSearch = "multipart/form-data"),
        (VectorSearch = "application/json"),
        (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses(
        (status = 200, body = Results),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
))]
pub(in crate::serve) async fn post(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Results>, Problem> {
    let (names, vectors, fields) = if kind(&request) == "application/json" {
        let asked: VectorSearch = json(request).await?;
        asked.check()?;
        let fields = asked.fields();
        (vec![None; asked.vectors.len()], asked.vectors, fields)
    } else {
        let upload = Upload::read(request).await?;
        // Before the work: a misspelt field costs nobody anything.
        search_options(&upload.fields, &app)?;
        let vectors = app.embed(&upload.pictures).await?;
        let names = upload.pictures.into_iter().map(|picture| Some(picture.name)).collect();
        (names, vectors, upload.fields)
    };
    let options = search_options(&fields, &app)?;
    Ok(Json(found(&app, names, vectors, options).await?))
}

async fn found(
    app: &App,
    names: Vec<Option<String>>,
    vectors: Vec<Vec<f32>>,
    options: SearchOptions,
) -> Result<Results, Problem> {
    let (app_of_search, unit) = (app.clone(), options.unit);
    app.search(move |gallery| {
        let start = Instant::now();
        let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let answers = gallery.search(&vectors, &options)?;
        metrics::histogram!("stage_duration_seconds", "stage" => "search").record(start.elapsed());
        let calibration = calibration_for(&app_of_search, unit, &gallery.settings().metric());
        let results = names.into_iter().zip(answers);
        let results = results.map(|(name, answer)| one(name, answer, calibration)).collect();
        Ok(Results { unit: Unit::to_string(&unit), results })
    })
    .await
}

fn one(query: Option<String>, answer: Answer, calibration: Option<&Calibration>) -> Found {
    let hit = |StoredHit { rank, pid, name, distance, example, .. }: StoredHit| Hit {
        rank,
        pid: pid.0,
        name,
        distance,
        confidence: calibration.map(|calibration| calibration.confidence.at(distance)),
        example: example.map(Example::new),
    };
    let hits = answer.hits.into_iter().map(hit).collect();
    Found { query, unknown: answer.unknown, margin: answer.margin, hits }
}
