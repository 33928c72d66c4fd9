//! `centroids report`

use std::process::ExitCode;

use centroids::RunDir;
use centroids::core::Unit;
use centroids::core::doctor::Options;
use centroids::model::parse_device;
use centroids::pipeline::{
    EvaluationPage, Question, RunPage, evaluate_all, open_model, unit_costs, verify_all,
    write_run_page,
};
use serde_json::json;

use super::embed::embed_query_and_gallery;
use super::evaluate::{page_picture, show_reports, source, warn_of_missing};
use super::gallery::examine;
use crate::cli::ReportArgs;
use crate::out_path::check_out;
use crate::output::{Output, text};

pub(crate) fn run(arguments: ReportArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let run = RunDir::open(&arguments.run)?;
    let out = arguments.out.unwrap_or_else(|| run.path().join("report.html"));
    check_out(&out, &["html"])?;
    let model = open_model(run.path(), &parse_device(&arguments.device)?)?;
    let experiment = &model.experiment;
    let dataset = source(arguments.dataset.as_deref(), &arguments.layout, experiment)?.load()?;
    let (query, gallery) = embed_query_and_gallery(&model, &dataset, output)?;
    let metric = experiment.metric()?;
    let questions = Question::grid(Unit::ALL, &[experiment.cameras()?]);
    let reports = evaluate_all(&query, &gallery, &questions, &metric)?;
    show_reports(&reports, output);
    let findings = examine(&gallery, None, &Options { metric, ..Options::default() }, output)?;
    let evaluation = EvaluationPage {
        query: &query,
        gallery: &gallery,
        metric: &metric,
        reports: &reports,
        costs: &unit_costs(&query, &gallery, Unit::ALL, &metric)?,
        // Where there are no pairs to tell apart, there is no curve.
        verification: &verify_all(&query, &gallery, &questions, &metric).unwrap_or_default(),
        size: page_picture(experiment),
    };
    let page = RunPage { run: &run, evaluation, findings: &findings, worst: arguments.worst };
    let missing = write_run_page(&out, &page)?;
    warn_of_missing(&missing, output);
    output.line(format!("report: {}", out.display()));
    let missing: Vec<String> = missing.iter().map(|image| text(&image.path)).collect();
    output.value(&json!({ "report": text(&out), "results": reports, "missing": missing }));
    Ok(ExitCode::SUCCESS)
}
