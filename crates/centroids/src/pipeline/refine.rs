//! Reports whose rankings are refined by neighbourhoods.

use centroids_core::rerank::{self, augment_gallery, expand_queries};
use centroids_core::{
    CameraRule, Embeddings, Expansion, KReciprocal, Metric, Report, Unit, evaluate,
};
use serde::Serialize;

use super::evaluate::numbered_alike;
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
    let query = numbered_alike(query, gallery);
    let protocols: Vec<_> = questions.iter().map(protocol).collect::<Result<_, _>>()?;
    let mut reports = Vec::with_capacity(questions.len());
    for of_rule in protocols.chunk_by(|a, b| a.1 == b.1) {
        let cameras = of_rule[0].1;
        let augment = |settings| augment_gallery(gallery, cameras, metric, settings);
        let augmented = refinement.dba.as_ref().map(augment).transpose()?;
        let gallery = augmented.as_ref().unwrap_or(gallery);
        let expand = |settings| expand_queries(&query, gallery, cameras, metric, settings);
        let expanded = refinement.query_expansion.as_ref().map(expand).transpose()?;
        let query = expanded.as_ref().unwrap_or(&query);
        for &(unit, cameras) in of_rule {
            reports.push(match &refinement.reranked {
                Some(settings) => {
                    rerank::evaluate(query, gallery, unit, cameras, metric, settings)?
                }
                None => evaluate(query, gallery, unit, cameras, metric)?,
            });
        }
    }
    Ok(reports)
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
