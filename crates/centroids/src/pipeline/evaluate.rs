//! Every report that was asked for.

use centroids_core::{
    CameraRule, Embeddings, Metric, Preset, Report, Unit, evaluate, evaluate_preset,
};

use crate::Error;

/// One evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A unit of the gallery under a camera rule.
    Protocol(Unit, CameraRule),
    /// One of the reference's centroid protocols.
    Preset(Preset),
}

impl Question {
    /// All combinations of the units and rules given, unit by unit.
    pub fn grid(units: &[Unit], rules: &[CameraRule]) -> Vec<Question> {
        let of_rule = |&rule| units.iter().map(move |&unit| Question::Protocol(unit, rule));
        rules.iter().flat_map(of_rule).collect()
    }
}

/// Answers the questions one by one. Where both sets name their identities, equal names are equal
/// identities.
///
/// # Errors
/// Other dimensions, or a question for which no query is valid.
pub fn evaluate_all(
    query: &Embeddings,
    gallery: &Embeddings,
    questions: &[Question],
    metric: &Metric,
) -> Result<Vec<Report>, Error> {
    let mut query = query.clone();
    query.adopt_pid_numbers(gallery);
    questions
        .iter()
        .map(|question| match *question {
            Question::Protocol(unit, rule) => evaluate(&query, gallery, unit, rule, metric),
            Question::Preset(preset) => evaluate_preset(&query, gallery, preset, metric),
        })
        .map(|report| report.map_err(Error::from))
        .collect()
}
