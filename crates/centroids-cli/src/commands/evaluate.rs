//! `centroids evaluate`, and the table of reports.

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use centroids::Experiment;
use centroids::core::{CameraRule, Embeddings, Preset, Report, Unit};
use centroids::data::{DatasetSource, Layout, Split, load_all};
use centroids::model::parse_device;
use centroids::pipeline::{
    Question, RankPictureOptions, UnitCost, evaluate_all, open_model, picture_rankings, unit_costs,
    write_rank_pictures,
};
use comfy_table::Table;
use serde_json::{Value, json};

use super::embed::embed_split;
use super::statistics::{Evaluated, Statistics};
use crate::cli::{EvaluateArgs, LayoutArgs};
use crate::output::{Output, table, text};
use crate::values::OneOrAll;

const RANKS: [usize; 5] = [1, 5, 10, 20, 50];

pub(crate) fn run(arguments: EvaluateArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let statistics = Statistics::new(&arguments.statistics)?;
    let (query, gallery, experiment) = inputs(&arguments, output)?;
    let (rule, metric) = (experiment.cameras()?, arguments.metric.over(experiment.metric()?));
    let questions = questions(&arguments, rule);
    let reports = evaluate_all(&query, &gallery, &questions, &metric)?;
    warn_of_two_models(&query, &gallery, output);
    show_reports(&reports, output);
    let costs = unit_costs(&query, &gallery, &units(&reports), &metric)?;
    output.table(&["unit", "vectors", "bytes", "s/query"], costs.iter().map(cost_row).collect());
    let pictures = match &arguments.visualize {
        Some(dir) => draw(&arguments, dir, (&query, &gallery), &questions, &experiment, output)?,
        None => Vec::new(),
    };
    let mut value = json!({ "results": reports, "costs": costs });
    if arguments.visualize.is_some() {
        value["pictures"] = pictures.into();
    }
    let (questions, reports, metric) = (&questions[..], &reports[..], &metric);
    let evaluated = Evaluated { query: &query, gallery: &gallery, questions, reports, metric };
    statistics.add_to(&mut value, &evaluated, output)?;
    output.value(&value);
    Ok(ExitCode::SUCCESS)
}

/// Measures the checkpoint at `model.pretrain_path` on the experiment's datasets.
pub(crate) fn test(experiment: &Experiment, output: &Output) -> anyhow::Result<ExitCode> {
    let path = &experiment.model.pretrain_path;
    if path.as_os_str().is_empty() {
        bail!("test.only_test needs a checkpoint: name it with MODEL.PRETRAIN_PATH");
    }
    let model = open_model(path, &experiment.parse_device()?)?;
    let datasets = load_all(&experiment.sources()?)?;
    let mut results = Vec::new();
    for dataset in &datasets {
        let query = embed_split(&model, dataset, Split::Query, output)?;
        let gallery = embed_split(&model, dataset, Split::Gallery, output)?;
        let reports =
            evaluate_all(&query, &gallery, &experiment.questions()?, &experiment.metric()?)?;
        output.line(format!("{} on {}", path.display(), dataset.name));
        show_reports(&reports, output);
        if experiment.test.visualize {
            let folder = experiment.output_dir.join("visrank").join(&dataset.name);
            picture_rankings(experiment, &query, &gallery, &folder)?;
            output.line(format!("pictures: {}", folder.display()));
        }
        results.push(json!({ "dataset": dataset.name, "results": reports }));
    }
    let first = results[0]["results"].clone();
    output.value(&json!({ "model": text(path), "results": first, "datasets": results }));
    Ok(ExitCode::SUCCESS)
}

/// The units that were evaluated, each once.
fn units(reports: &[Report]) -> Vec<Unit> {
    let evaluated = |unit: &&Unit| reports.iter().any(|report| report.unit == **unit);
    Unit::ALL.iter().filter(evaluated).copied().collect()
}

fn cost_row(cost: &UnitCost) -> Vec<String> {
    let seconds = format!("{:.6}", cost.seconds_per_query);
    vec![cost.unit.to_string(), cost.rows.to_string(), cost.bytes.to_string(), seconds]
}

/// Draws the rankings of every question; what was written, for JSON.
fn draw(
    arguments: &EvaluateArgs,
    dir: &Path,
    (query, gallery): (&Embeddings, &Embeddings),
    questions: &[Question],
    experiment: &Experiment,
    output: &Output,
) -> anyhow::Result<Vec<Value>> {
    let metric = arguments.metric.over(experiment.metric()?);
    let size = match arguments.visualize_size.as_deref() {
        Some(&[height, width]) => [height as usize, width as usize],
        _ => experiment.input.size_test,
    };
    let max_queries = arguments.visualize_max_number.map_or(usize::MAX, |max| max as usize);
    let mut written = Vec::new();
    for question in questions {
        let Question::Protocol(unit, rule) = *question else { continue };
        let folder = match questions {
            [_] => dir.to_owned(),
            _ => dir.join(format!("{unit}-{rule}")),
        };
        let topk = arguments.visualize_topk as usize;
        let options = RankPictureOptions { dir: &folder, topk, max_queries, size };
        let pictures = write_rank_pictures(query, gallery, unit, rule, &metric, &options)?;
        if let [first, ..] = pictures.missing.as_slice() {
            let count = pictures.missing.len();
            output
                .note(format!("warning: {count} pictures are missing, so grey; {}", first.reason));
            pictures.missing[1..].iter().for_each(|image| output.detail(&image.reason));
        }
        let (queries, index) = (pictures.queries, pictures.index.display());
        output.line(format!("rankings of {queries} queries by {unit}: {index}"));
        let missing: Vec<String> = pictures.missing.iter().map(|m| text(&m.path)).collect();
        written.push(json!({
            "unit": unit, "cameras": rule, "index": text(&pictures.index),
            "queries": queries, "missing": missing,
        }));
    }
    Ok(written)
}

/// Query, gallery, and the settings whose protocol is the default.
fn inputs(
    arguments: &EvaluateArgs,
    output: &Output,
) -> anyhow::Result<(Embeddings, Embeddings, Experiment)> {
    match (&arguments.query, &arguments.gallery, &arguments.run) {
        (Some(query), Some(gallery), _) => {
            let LayoutArgs { layout, camera_pattern } = &arguments.layout;
            if layout.is_some() || camera_pattern.is_some() {
                bail!("--layout and --camera-pattern go with --run; embedding files have neither");
            }
            let query = Embeddings::load(query)?;
            Ok((query, Embeddings::load(gallery)?, Experiment::default()))
        }
        (_, _, Some(run)) => {
            let model = open_model(run, &parse_device(&arguments.device)?)?;
            let dataset = source(arguments, &model.experiment)?.load()?;
            let query = embed_split(&model, &dataset, Split::Query, output)?;
            let gallery = embed_split(&model, &dataset, Split::Gallery, output)?;
            Ok((query, gallery, model.experiment))
        }
        _ => bail!("give --query and --gallery, or --run"),
    }
}

fn questions(arguments: &EvaluateArgs, rule: CameraRule) -> Vec<Question> {
    if let Some(preset) = arguments.preset {
        return vec![Question::Preset(preset)];
    }
    let units = arguments.unit.among(Unit::ALL);
    let rules = arguments.cameras.unwrap_or(OneOrAll::One(rule)).among(CameraRule::ALL);
    Question::grid(&units, &rules)
}

fn source(arguments: &EvaluateArgs, experiment: &Experiment) -> anyhow::Result<DatasetSource> {
    let LayoutArgs { layout, camera_pattern } = &arguments.layout;
    let mut source = match &arguments.dataset {
        None => experiment.source()?,
        Some(root) => {
            let layout = layout.map_or_else(|| Layout::detect(root), Ok)?;
            let holdout = experiment.datasets.holdout;
            DatasetSource { holdout, ..DatasetSource::new(layout, root) }
        }
    };
    if let Some(layout) = layout {
        source.layout = *layout;
    }
    if let Some(pattern) = camera_pattern {
        source.camera_pattern = Some(pattern.clone());
    }
    Ok(source)
}

fn warn_of_two_models(query: &Embeddings, gallery: &Embeddings, output: &Output) {
    let (q, g) = (query.model(), gallery.model());
    if !q.is_empty() && !g.is_empty() && q != g {
        output.note(format!("warning: query was embedded with {q}, gallery with {g}"));
    }
}

/// Prints reports with the note that says what may be compared.
pub(crate) fn show_reports(reports: &[Report], output: &Output) {
    if reports.is_empty() {
        return;
    }
    output.line(report_table(reports));
    let has = |unit| reports.iter().any(|report| report.unit == unit && report.preset.is_none());
    if has(Unit::Instance) && (has(Unit::Nearest) || has(Unit::Centroid)) {
        output.line(
            "An instance mAP counts every image of the identity, a nearest or centroid mAP one \
             item: they are not comparable.",
        );
    }
    if has(Unit::Nearest) && has(Unit::Centroid) {
        output.line("centroid against nearest, same cameras, is the honest gain of centroids.");
    }
    for report in reports {
        match report.preset {
            Some(Preset::Paper) => output.line(
                "paper: the reference's centroid protocol as intended; distractor identities are \
                 dropped. Compare with nothing but itself.",
            ),
            Some(Preset::PaperAsPublished) => output.line(
                "paper-as-published: with the reference's fault, which lets images of the query's \
                 own camera into the centroids. Only for comparison with published figures.",
            ),
            None => {}
        }
    }
}

/// A row per report, in percent.
pub(crate) fn report_table(reports: &[Report]) -> Table {
    let percent = |fraction: f64| format!("{:.2}%", 100.0 * fraction);
    let row = |report: &Report| {
        let name = match report.preset {
            Some(preset) => format!("{} ({preset})", report.unit),
            None => report.unit.to_string(),
        };
        let mut row = vec![name, report.cameras.to_string(), percent(report.map)];
        row.extend(RANKS.map(|k| percent(report.rank(k))));
        row.push(percent(report.minp));
        row.push(report.valid_queries.to_string());
        row.push(report.skipped_queries.to_string());
        row
    };
    let header = [
        "unit", "cameras", "mAP", "rank-1", "rank-5", "rank-10", "rank-20", "rank-50", "mINP",
        "queries", "skipped",
    ];
    table(&header, reports.iter().map(row).collect())
}
