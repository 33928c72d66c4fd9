//! What a search asks for, from fields or from JSON.

use centroids::core::{CamId, Metric, Unit};
use centroids::store::SearchOptions;
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::Shared;
use crate::values::attribute;

/// Most hits of a search.
const MOST_HITS: usize = 1000;
/// Most vectors of a search.
const MOST_VECTORS: usize = 1024;

/// A search by vectors.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VectorSearch {
    /// As the model embeds, `[dim]` each.
    #[schema(min_items = 1, max_items = 1024)]
    pub(super) vectors: Vec<Vec<f32>>,
    /// Hits per vector.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Camera whose images do not count.
    #[serde(default)]
    camera: Option<u32>,
    /// What is ranked: `instance`, `nearest` or `centroid`.
    #[serde(default)]
    unit: Option<String>,
    /// Attributes that images must have, `KEY=VALUE` each.
    #[serde(default, rename = "where")]
    filter: Vec<String>,
    /// Beyond this distance the nearest is nobody known.
    #[serde(default)]
    threshold: Option<f64>,
}

impl VectorSearch {
    /// Fields of the same meaning.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let field = |key: &str, value: String| (key.to_owned(), value);
        let mut fields = Vec::new();
        fields.extend(self.k.map(|k| field("k", k.to_string())));
        fields.extend(self.camera.map(|camera| field("camera", camera.to_string())));
        fields.extend(self.unit.clone().map(|unit| field("unit", unit)));
        fields.extend(self.threshold.map(|most| field("threshold", most.to_string())));
        fields.extend(self.filter.iter().map(|filter| field("where", filter.clone())));
        fields
    }

    /// # Errors
    /// 422: no vector, or too many.
    pub(super) fn check(&self) -> Result<(), Problem> {
        match self.vectors.len() {
            1..=MOST_VECTORS => Ok(()),
            n => Err(Problem::unprocessable(format!("{n} vectors: send 1 to {MOST_VECTORS}"))),
        }
    }
}

/// The options that fields stand for. Where there is a calibration for this unit, its threshold is the
/// default.
///
/// # Errors
/// 422 naming the field.
pub(super) fn search_options(
    fields: &[(String, String)],
    app: &Shared,
) -> Result<SearchOptions, Problem> {
    let mut options = SearchOptions { examples: true, ..SearchOptions::default() };
    for (key, value) in fields {
        let wrong =
            |wanted: &str| Problem::unprocessable(format!("{key}: `{value}` is not {wanted}"));
        match key.as_str() {
            "k" => {
                let k = value.parse().ok().filter(|k| (1..=MOST_HITS).contains(k));
                options.k = k.ok_or_else(|| wrong(&format!("a number from 1 to {MOST_HITS}")))?;
            }
            "camera" => {
                let camera = value.parse().map_err(|_| wrong("the number of a camera"))?;
                options.without_camera = Some(CamId(camera));
            }
            "unit" => {
                options.unit = value.parse().map_err(|_| wrong("instance, nearest or centroid"))?;
            }
            "threshold" => {
                let most = value.parse().ok().filter(|most: &f64| most.is_finite() && *most >= 0.0);
                options.threshold = Some(most.ok_or_else(|| wrong("a distance"))?);
            }
            "where" => {
                let (key, value) = attribute(value).map_err(|_| wrong("KEY=VALUE"))?;
                options.filter = std::mem::take(&mut options.filter).and(&key, value)?;
            }
            other => {
                let known = "k, camera, unit, threshold, where";
                return Err(Problem::unprocessable(format!("`{other}` is no field: {known}")));
            }
        }
    }
    if options.threshold.is_none() {
        options.threshold = calibration_for(app, options.unit, &app.searched().settings().metric())
            .map(|calibration| calibration.identification.threshold);
    }
    Ok(options)
}

/// The calibration, if it says something of such searches.
pub(super) fn calibration_for<'a>(
    app: &'a Shared,
    unit: Unit,
    metric: &Metric,
) -> Option<&'a centroids::core::Calibration> {
    let fingerprint = &app.inference.model().fingerprint;
    app.calibration.as_ref().filter(|c| c.check(fingerprint, unit, metric).is_ok())
}
