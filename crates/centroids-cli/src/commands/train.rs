//! `centroids train`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use centroids::model::Workers;
use centroids::pipeline::{
    Outcome, Repeats, SUMMARY_RANKS, Spread, Summary, TrainEvent, summarize,
};
use centroids::{Error, Experiment, RunDir};
use serde_json::{Value, json};

use super::evaluate::{show_reports, test};
use crate::cli::TrainArgs;
use crate::interrupt::{INTERRUPTED, stop_flag_saying};
use crate::output::{Output, text};
use crate::processes::together;
use crate::progress::Training;

pub(crate) fn run(arguments: TrainArgs, output: &Output) -> anyhow::Result<ExitCode> {
    together("train …", output, |workers, output| run_among(workers, arguments, output))
}

fn run_among(
    workers: &Rc<dyn Workers>,
    arguments: TrainArgs,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let (several, speaker) = (workers.size() > 1, *output);
    let stop = stop_flag_saying(move || {
        if several {
            speaker.note(
                "told to stop, by a signal or because another process ended: this step is finished and \
                 saved, unless mpirun ends the process before",
            );
        }
    })?;
    if several {
        output.note(format!("{} processes train together", workers.size()));
    }
    if let Some(folder) = &arguments.resume {
        return go_on(folder, workers, &stop, output);
    }
    let experiment = experiment(&arguments)?;
    for note in experiment.notes.iter().map(String::as_str).chain(experiment.precision_note()) {
        output.note(format!("warning: {note}"));
    }
    experiment.check()?;
    if experiment.test.only_test {
        return match workers.leads() {
            true => test(&experiment, output),
            false => Ok(ExitCode::SUCCESS),
        };
    }
    if experiment.model.resume_training {
        let run = RunDir::of_checkpoint(&experiment.model.pretrain_path)?;
        output.note(format!("continuing {} with its own settings", run.path().display()));
        return go_on(run.path(), workers, &stop, output);
    }
    let folder = output_dir(&experiment);
    if experiment.repeats > 1 {
        let repeats = match workers.leads() {
            true => Repeats::create(&experiment, &folder)?,
            false => Repeats::at(&experiment, &folder),
        };
        return repeat(&repeats, workers, &stop, output);
    }
    let (run, outcome) = watched(experiment.solver.max_epochs, output, |observer| {
        centroids::train(&experiment, &folder, workers, &stop, &mut |event| {
            if let TrainEvent::Ready { .. } = event {
                output.note(format!("run folder: {}", folder.display()));
            }
            observer(event);
        })
    })?;
    Ok(conclude(&run, outcome, output))
}

/// Continues a run, or several.
fn go_on(
    folder: &Path,
    workers: &Rc<dyn Workers>,
    stop: &AtomicBool,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    if Repeats::exists(folder) {
        return repeat(&Repeats::open(folder)?, workers, stop, output);
    }
    let run = RunDir::open(folder)?;
    let epochs = Experiment::read(&run.config())?.solver.max_epochs;
    let (run, outcome) =
        watched(epochs, output, |observer| centroids::resume(run, workers, stop, observer))?;
    Ok(conclude(&run, outcome, output))
}

/// Does the work with its progress on stderr.
fn watched<T>(
    epochs: usize,
    output: &Output,
    work: impl FnOnce(&mut dyn FnMut(TrainEvent<'_>)) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut progress = Training::new(output, epochs);
    let result = work(&mut |event| progress.show(&event));
    progress.finish();
    result
}

/// Trains with several seeds and shows what they have in common.
fn repeat(
    repeats: &Repeats,
    workers: &Rc<dyn Workers>,
    stop: &AtomicBool,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let epochs = repeats.experiment().solver.max_epochs;
    let runs = watched(epochs, output, |observer| repeats.go(workers, stop, observer))?;
    let interrupted = matches!(runs.last(), Some((_, Outcome::Interrupted)));
    let summary = summarize(&runs);
    let values: Vec<Value> = runs.iter().map(|(run, outcome)| json_of(run, outcome)).collect();
    output.value(&json!({
        "folder": text(repeats.path()), "interrupted": interrupted, "runs": values,
        "summary": summary,
    }));
    if interrupted {
        say_how_to_go_on(repeats.path(), output);
        return Ok(ExitCode::from(INTERRUPTED));
    }
    show_summary(&summary, output);
    for (run, _) in &runs {
        output.line(format!("model: {}", run.model().display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says how a training ended.
pub(crate) fn conclude(run: &RunDir, outcome: Outcome, output: &Output) -> ExitCode {
    output.value(&json_of(run, &outcome));
    match outcome {
        Outcome::Interrupted => {
            say_how_to_go_on(run.path(), output);
            ExitCode::from(INTERRUPTED)
        }
        Outcome::Finished { reports, others } => {
            show_reports(&reports, output);
            for (name, reports) in &others {
                output.line(format!("on {name}:"));
                show_reports(reports, output);
            }
            output.line(format!("model: {}", run.model().display()));
            ExitCode::SUCCESS
        }
    }
}

fn say_how_to_go_on(folder: &Path, output: &Output) {
    let folder = folder.display();
    output.note(format!("interrupted; go on with: centroids train --resume {folder}"));
}

fn json_of(run: &RunDir, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Interrupted => json!({ "run": text(run.path()), "interrupted": true }),
        Outcome::Finished { reports, others } => json!({
            "run": text(run.path()), "model": text(&run.model()), "interrupted": false,
            "results": reports, "others": others.iter().cloned().collect::<BTreeMap<_, _>>(),
        }),
    }
}

/// Prints mean ± standard deviation in percent, a row per kind of evaluation.
fn show_summary(summary: &[Summary], output: &Output) {
    let percent =
        |spread: &Spread| format!("{:.2} ± {:.2}", 100.0 * spread.mean, 100.0 * spread.std);
    let row = |summary: &Summary| {
        let mut row = vec![summary.unit.to_string(), summary.cameras.to_string()];
        row.push(summary.runs.to_string());
        row.push(percent(&summary.map));
        row.extend(summary.rank.iter().map(percent));
        row.push(percent(&summary.minp));
        row
    };
    let ranks = SUMMARY_RANKS.map(|k| format!("rank-{k}"));
    let mut header = vec!["unit", "cameras", "runs", "mAP %"];
    header.extend(ranks.iter().map(String::as_str));
    header.push("mINP %");
    output.table(&header, summary.iter().map(row).collect());
    output.line("mean ± standard deviation over the seeds");
}

fn experiment(arguments: &TrainArgs) -> anyhow::Result<Experiment> {
    let mut experiment = match &arguments.config {
        Some(path) => Experiment::read(path)?,
        None => Experiment::default(),
    };
    if let Some(device) = &arguments.device {
        experiment.device.clone_from(device);
    }
    if let Some(seed) = arguments.seed {
        experiment.seed = seed;
    }
    if let Some(folder) = &arguments.output_dir {
        experiment.output_dir.clone_from(folder);
    }
    Ok(experiment.with_pairs(&arguments.pairs)?)
}

fn output_dir(experiment: &Experiment) -> PathBuf {
    if !experiment.output_dir.as_os_str().is_empty() {
        return experiment.output_dir.clone();
    }
    let root = &experiment.datasets.root_dir;
    let root = root.canonicalize().unwrap_or_else(|_| root.clone());
    Path::new("runs").join(root.file_stem().unwrap_or("run".as_ref()))
}
