//! `centroids train`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use centroids::pipeline::{Outcome, TrainEvent};
use centroids::{Experiment, RunDir};
use serde_json::json;

use super::evaluate::show_reports;
use crate::cli::TrainArgs;
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{Output, text};
use crate::progress::Training;

pub(crate) fn run(arguments: TrainArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let stop = stop_flag()?;
    let (run, outcome) = match &arguments.resume {
        Some(folder) => {
            let run = RunDir::open(folder)?;
            let epochs = Experiment::read(&run.config())?.solver.max_epochs;
            let mut progress = Training::new(output, epochs);
            let result = centroids::resume(run, &stop, &mut |event| progress.show(&event));
            progress.finish();
            result?
        }
        None => {
            let experiment = experiment(&arguments)?;
            experiment.check()?;
            let folder = output_dir(&experiment);
            let mut progress = Training::new(output, experiment.solver.max_epochs);
            let result = centroids::train(&experiment, &folder, &stop, &mut |event| {
                if let TrainEvent::Ready { .. } = event {
                    output.note(format!("run folder: {}", folder.display()));
                }
                progress.show(&event);
            });
            progress.finish();
            result?
        }
    };
    Ok(conclude(&run, outcome, output))
}

/// Says how a training ended.
pub(crate) fn conclude(run: &RunDir, outcome: Outcome, output: &Output) -> ExitCode {
    let folder = run.path().display();
    match outcome {
        Outcome::Interrupted => {
            output.note(format!("interrupted; go on with: centroids train --resume {folder}"));
            output.value(&json!({ "run": text(run.path()), "interrupted": true }));
            ExitCode::from(INTERRUPTED)
        }
        Outcome::Finished(reports) => {
            show_reports(&reports, output);
            let model = if run.best().is_file() { run.best() } else { run.last() };
            output.line(format!("model: {}", model.display()));
            let value = json!({
                "run": text(run.path()), "model": text(&model), "interrupted": false,
                "results": reports,
            });
            output.value(&value);
            ExitCode::SUCCESS
        }
    }
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
