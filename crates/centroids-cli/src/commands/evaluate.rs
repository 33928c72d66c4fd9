//! `centroids evaluate`, and the table of reports.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use centroids::Experiment;
use centroids::core::{CameraRule, Embeddings, Preset, Report, Unit};
use centroids::data::{DatasetSource, Layout, load_all};
use centroids::model::{Workers, parse_device};
use centroids::pipeline::{
    EvaluationPage, Question, RankPictureOptions, UnitCost, Unreadable, evaluate_all,
    evaluate_refined, evaluate_together, open_model, picture_rankings, unit_costs, verify_all,
    write_evaluation_page, write_rank_pictures,
};
use comfy_table::Table;
use serde_json::{Value, json};

use super::embed::embed_query_and_gallery;
use super::refine;
use super::statistics::{Evaluated, Statistics};
use crate::cli::{EvaluateArgs, LayoutArgs};
use crate::out_path::check_out;
use crate::output::{Output, table, text};
use crate::processes::together;
use crate::values::OneOrAll;

/// Height of the pictures of a report page.
const PAGE_PICTURE: usize = 128;

pub(crate) fn run(arguments: EvaluateArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let command = "evaluate --query … --gallery …";
    together(command, output, |workers, output| evaluate(arguments, &**workers, output))
}

/// Evaluates, the queries shared among the processes; the first does all the rest.
fn evaluate(
    arguments: EvaluateArgs,
    workers: &dyn Workers,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    if let Some(report) = &arguments.report {
        check_out(report, &["html"])?;
    }
    if workers.size() > 1 {
        ensure!(
            arguments.run.is_none(),
            "several processes evaluate files: embed --run's sets first"
        );
        let plain = arguments.refine.refinement().is_none();
        ensure!(plain, "re-ranking and expansion look at the whole set: evaluate in one process");
    }
    let statistics = Statistics::new(&arguments.statistics)?;
    let (query, gallery, experiment) = inputs(&arguments, output)?;
    let (rule, metric) = (experiment.cameras()?, arguments.metric.over(experiment.metric()?));
    let questions = questions(&arguments, rule);
    let mut ranks: Vec<usize> = arguments.ranks.iter().map(|&k| k as usize).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let refinement = arguments.refine.refinement();
    let reports = match workers.size() {
        1 => evaluate_refined(&query, &gallery, &questions, &metric, &refinement)?,
        _ => evaluate_together(&query, &gallery, &questions, &metric, workers)?,
    };
    if !workers.leads() {
        return Ok(ExitCode::SUCCESS);
    }
    let with_ranks = |report: Report| report.with_shown_ranks(ranks.clone());
    let reports: Vec<Report> = reports.into_iter().map(with_ranks).collect();
    warn_of_two_models(&query, &gallery, output);
    refine::announce(&reports, &refinement, output);
    show_reports(&reports, output);
    if arguments.precision {
        output.line(precision_table(&reports));
    }
    let costs = unit_costs(&query, &gallery, &units(&reports), &metric)?;
    output.table(&["unit", "vectors", "bytes", "s/query"], costs.iter().map(cost_row).collect());
    if let Some(path) = &arguments.report {
        let page = EvaluationPage {
            query: &query,
            gallery: &gallery,
            metric: &metric,
            reports: &reports,
            costs: &costs,
            // Where there are no pairs to tell apart, there is no curve.
            verification: &verify_all(&query, &gallery, &questions, &metric).unwrap_or_default(),
            size: page_picture(&experiment),
        };
        warn_of_missing(&write_evaluation_page(path, &page)?, output);
        output.line(format!("report: {}", path.display()));
    }
    let pictures = match &arguments.visualize {
        Some(dir) => draw(&arguments, dir, (&query, &gallery), &questions, &experiment, output)?,
        None => Vec::new(),
    };
    let mut value = json!({ "results": refine::results(&reports, &refinement), "costs": costs });
    if arguments.visualize.is_some() {
        value["pictures"] = pictures.into();
    }
    let (questions, reports, metric) = (&questions[..], &reports[..], &metric);
    let evaluated = Evaluated { query: &query, gallery: &gallery, questions, reports, metric };
    statistics.add_to(&mut value, &evaluated, output)?;
    output.value(&value);
    Ok(ExitCode::SUCCESS)
}

/// Height and width of the pictures of a page.
pub(super) fn page_picture(experiment: &Experiment) -> [usize; 2] {
    let [height, width] = experiment.input.size_test;
    [PAGE_PICTURE, PAGE_PICTURE * width / height]
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
        let (query, gallery) = embed_query_and_gallery(&model, dataset, output)?;
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
        warn_of_missing(&pictures.missing, output);
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

pub(super) fn warn_of_missing(missing: &[Unreadable], output: &Output) {
    if let [first, others @ ..] = missing {
        let count = missing.len();
        output.note(format!("warning: {count} pictures are missing, so grey; {}", first.reason));
        others.iter().for_each(|image| output.detail(&image.reason));
    }
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
            let dataset = arguments.dataset.as_deref();
            let dataset = source(dataset, &arguments.layout, &model.experiment)?.load()?;
            let (query, gallery) = embed_query_and_gallery(&model, &dataset, output)?;
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

/// The dataset named, or else the experiment's.
pub(super) fn source(
    dataset: Option<&Path>,
    LayoutArgs { layout, camera_pattern }: &LayoutArgs,
    experiment: &Experiment,
) -> anyhow::Result<DatasetSource> {
    let mut source = match dataset {
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
    let ranks = reports.first().map_or(&[][..], |report| &report.shown_ranks);
    let row = |report: &Report| {
        let mut row = named(report);
        row.push(percent(report.map));
        row.extend(ranks.iter().map(|&k| percent(report.rank(k))));
        row.push(percent(report.minp));
        row.push(report.valid_queries.to_string());
        row.push(report.skipped_queries.to_string());
        row
    };
    let of_ranks = ranks.iter().map(|k| format!("rank-{k}"));
    let header = ["unit", "cameras", "mAP"].map(str::to_owned).into_iter().chain(of_ranks);
    let header = header.chain(["mINP", "queries", "skipped"].map(str::to_owned));
    table(&header.collect::<Vec<_>>(), reports.iter().map(row).collect())
}

/// A row per report, in percent: what is among the first k, and among the first R.
fn precision_table(reports: &[Report]) -> Table {
    let shown = reports.first().map_or(&[][..], |report| &report.shown_ranks);
    let known: Vec<usize> = shown.iter().copied().filter(|&k| k <= Report::DEEPEST).collect();
    let row = |report: &Report| {
        let mut row = named(report);
        row.extend(known.iter().map(|&k| percent(report.precision(k))));
        row.extend(known.iter().map(|&k| percent(report.recall(k))));
        row.extend([percent(report.r_precision), percent(report.map_at_r)]);
        row
    };
    let of = |letter: &'static str| known.iter().map(move |k| format!("{letter}@{k}"));
    let mut header = vec!["unit".to_owned(), "cameras".to_owned()];
    header.extend(of("P").chain(of("R")));
    header.extend(["R-prec".to_owned(), "MAP@R".to_owned()]);
    table(&header, reports.iter().map(row).collect())
}

/// What was evaluated: unit and camera rule.
fn named(report: &Report) -> Vec<String> {
    let name = match report.preset {
        Some(preset) => format!("{} ({preset})", report.unit),
        None => report.unit.to_string(),
    };
    vec![name, report.cameras.to_string()]
}

pub(super) fn percent(fraction: f64) -> String {
    format!("{:.2}%", 100.0 * fraction)
}
