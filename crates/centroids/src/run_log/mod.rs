//! The log for other programs: an event file for TensorBoard in the run folder, and a run in an
//! MLflow folder where `mlflow_dir` names one.
//!
//! Both are functions of `config.toml` and `metrics.jsonl`, made again after every line and whenever
//! lines are cut off. So whatever a crash left behind, after the next line or the next resume they
//! hold what the metrics file holds, and no point twice.

mod crc32c;
mod event_file;
mod follow;
mod mlflow;

use serde_json::Value;

use crate::{Error, Experiment, RunDir};

/// Brings both up to date.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`]
pub(crate) fn update(run: &RunDir) -> Result<(), Error> {
    let lines: Vec<Line> = run.lines()?.iter().map(Line::of).collect();
    follow::follow(&run.events(), &event_file::encode(&lines))?;
    let experiment = Experiment::read(&run.config())?;
    if experiment.mlflow_dir.as_os_str().is_empty() {
        return Ok(());
    }
    mlflow::update(run, &experiment, &lines)
}

/// A line of the metrics file as points of curves.
pub(crate) struct Line {
    /// Epoch, from 0.
    pub(crate) epoch: u64,
    /// Unix seconds at which it was written; 0 in logs of old versions.
    time: f64,
    /// Seconds that the epoch took; 0 for an evaluation.
    seconds: f64,
    /// Name and value of every number, under the reference's names; `nearest/…` and `centroid/…`
    /// for evaluations of identities.
    pub(crate) scalars: Vec<(String, f64)>,
}

impl Line {
    pub(crate) fn of(line: &Value) -> Line {
        let number = |key: &str| line[key].as_f64().unwrap_or_default();
        let numbers = line.as_object().into_iter().flatten();
        let own = numbers.filter(|(name, _)| !["epoch", "time"].contains(&name.as_str()));
        let mut scalars: Vec<(String, f64)> =
            own.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
        // The first report is the one of images, whose figures the line itself has.
        for report in line["evaluation"].as_array().into_iter().flatten().skip(1) {
            scalars.extend(report_scalars(report));
        }
        Line {
            epoch: line["epoch"].as_u64().unwrap_or_default(),
            time: number("time"),
            seconds: number("seconds"),
            scalars,
        }
    }
}

fn report_scalars(report: &Value) -> Vec<(String, f64)> {
    let unit = report["unit"].as_str().unwrap_or_default();
    let map = report["mAP"].as_f64().map(|map| (format!("{unit}/mAP"), map));
    let ranks = report["rank"].as_object().into_iter().flatten();
    let ranks = ranks.filter_map(|(k, share)| Some((format!("{unit}/Top-{k}"), share.as_f64()?)));
    map.into_iter().chain(ranks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_its_numbers_under_the_references_names() {
        let instance = json!({ "unit": "instance", "mAP": 0.5, "rank": { "1": 0.75 } });
        let centroid = json!({ "unit": "centroid", "mAP": 0.625, "rank": { "1": 1.0 } });
        let line = Line::of(&json!({
            "epoch": 3, "time": 7.5, "mAP": 0.5, "Top-1": 0.75, "none": null,
            "evaluation": [instance, centroid],
        }));
        assert_eq!((line.epoch, line.time, line.seconds), (3, 7.5, 0.0));
        let names =
            [("Top-1", 0.75), ("mAP", 0.5), ("centroid/mAP", 0.625), ("centroid/Top-1", 1.0)];
        assert_eq!(line.scalars, names.map(|(name, value)| (name.to_owned(), value)));
    }
}
