//! How refined rankings are announced.

use centroids::core::{CameraRule, Expansion, Report};
use centroids::pipeline::Refinement;
use serde_json::{Value, json};

use crate::output::Output;

/// The reports for programs: each says how its rankings were refined, if they were.
pub(crate) fn results(reports: &[Report], refinement: &Refinement) -> Value {
    let mut results = json!(reports);
    let Value::Object(applied) = json!(refinement) else { return results };
    for report in results.as_array_mut().into_iter().flatten() {
        if let Value::Object(report) = report {
            report.extend(applied.clone());
        }
    }
    results
}

/// Says above the table how its rankings were refined.
pub(crate) fn announce(reports: &[Report], refinement: &Refinement, output: &Output) {
    let Refinement { dba, query_expansion, reranked } = refinement;
    let average = |what: &str, Expansion { neighbours, alpha }: &Expansion| {
        format!("{what} averaged with {neighbours} neighbours (alpha {alpha})")
    };
    let steps = [
        dba.as_ref().map(|settings| average("gallery images", settings)),
        query_expansion.as_ref().map(|settings| average("queries", settings)),
        reranked.map(|settings| {
            let (k1, k2, lambda) = (settings.k1, settings.k2, settings.lambda);
            format!("re-ranked (k1 {k1}, k2 {k2}, lambda {lambda})")
        }),
    ];
    let steps: Vec<String> = steps.into_iter().flatten().collect();
    if steps.is_empty() {
        return;
    }
    output.line(format!("Refined: {}. Not comparable with plain rankings.", steps.join(", ")));
    let cameras = reports.iter().any(|report| report.cameras != CameraRule::Any);
    if reranked.is_some() && cameras {
        output.line(
            "Re-ranking looks for neighbours whatever their camera, as published; what does not \
             count is left out of the final lists.",
        );
    }
}
