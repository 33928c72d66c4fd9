//! Reports whose rankings are refined by neighbourhoods.

use centroids_core::rerank::{self, augment_gallery, expand_queries};
use centroids_core::{
    CameraRule, Embeddings, Expansion, KReciprocal, Metric, Report, Unit, evaluate,
};
use serde::Serialize;

use super::{Question, evaluate_all};
use crate::Error;

/// What is done beyond comparing vectors, in this order; the default is nothing. Serialises without
/// what is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Refinement {
    /// Database-side augmentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dba: Option<Expansion>,
    /// Query expansion, with the augmented gallery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_expansion: Option<Expansion>,
    /// Re-ranking of what was made so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranked: Option<KReciprocal>,
}

impl Refinement {
    /// Whether nothing is done.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Answers the questions like [`evaluate_all`], with rankings refined; under each camera rule as
/// [`expand_queries`], [`augment_gallery`] and [`rerank`] keep it.
///
/// # Errors
/// As [`evaluate_all`]; a setting out of its range; a preset, which is defined for plain rankings.
pub fn evaluate_refined(
    query: &Embeddings,
    gallery: &Embeddings,
    questions: &[Question],
    metric: &Metric,
    refinement: &Refinement,
) -> Result<Vec<Report>, Error> {
    if refinement.is_none() {
        return evaluate_all(query, gallery, questions, metric);
    }
    let mut query = query.clone();
    query.adopt_pid_numbers(gallery);
    let mut reports = Vec::with_capacity(questions.len());
    let mut refined: Option<(CameraRule, Option<Embeddings>, Option<Embeddings>)> = None;
    for question in questions {
        let (unit, cameras) = protocol(question)?;
        let sets = match refined.take() {
            Some(sets) if sets.0 == cameras => sets,
            _ => expanded(&query, gallery, cameras, metric, refinement)?,
        };
        let (query, gallery) =
            (sets.1.as_ref().unwrap_or(&query), sets.2.as_ref().unwrap_or(gallery));
        reports.push(match &refinement.reranked {
            Some(settings) => rerank::evaluate(query, gallery, unit, cameras, metric, settings)?,
            None => evaluate(query, gallery, unit, cameras, metric)?,
        });
        refined = Some(sets);
    }
    Ok(reports)
}

/// The queries and the gallery that take the place of the given ones under a camera rule.
fn expanded(
    query: &Embeddings,
    gallery: &Embeddings,
    cameras: CameraRule,
    metric: &Metric,
    refinement: &Refinement,
) -> Result<(CameraRule, Option<Embeddings>, Option<Embeddings>), Error> {
    let augment = |settings: &Expansion| augment_gallery(gallery, cameras, metric, settings);
    let augmented = refinement.dba.as_ref().map(augment).transpose()?;
    let among = augmented.as_ref().unwrap_or(gallery);
    let expand = |settings: &Expansion| expand_queries(query, among, cameras, metric, settings);
    let queries = refinement.query_expansion.as_ref().map(expand).transpose()?;
    Ok((cameras, queries, augmented))
}

fn protocol(question: &Question) -> Result<(Unit, CameraRule), Error> {
    match *question {
        Question::Protocol(unit, cameras) => Ok((unit, cameras)),
        Question::Preset(preset) => {
            let (name, found) = ("preset", preset.to_string());
            let wanted = "left out where rankings are refined";
            Err(centroids_core::Error::BadSetting { name, found, wanted }.into())
        }
    }
}
