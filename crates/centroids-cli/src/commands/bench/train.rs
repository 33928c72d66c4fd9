//! `centroids bench train`: the port's performance run, with its lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context as _, ensure};
use centroids::core::write_atomically;
use centroids::model::{StepReport, Workers};
use centroids::pipeline::{TrainEvent, TrainingSpeed, WARM_UP_STEPS, measure_training};
use centroids::processes::how_to_start;
use centroids::{Error, Experiment};
use serde_json::json;

use crate::cli::BenchTrainArgs;
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::Output;
use crate::processes::together;

/// The port's name of the network, in its case log.
const NETWORK: &str = "centroids-reid";
/// A performance run evaluates nothing.
const ACCURACY: &str = "n/a";

pub(crate) fn run(arguments: &BenchTrainArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let command = format!("bench train --devices {} …", arguments.devices);
    together(&command, output, |workers, output| run_among(workers, arguments, output))
}

fn run_among(
    workers: &Rc<dyn Workers>,
    arguments: &BenchTrainArgs,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let (devices, processes) = (arguments.devices as usize, workers.size());
    ensure!(
        devices == processes,
        "--devices {devices} wants as many processes, one for each, and this is {processes}: {}",
        how_to_start(devices, &format!("bench train --devices {devices} …"))
    );
    let experiment = experiment(arguments)?;
    if let Some(note) = experiment.precision_note() {
        output.note(format!("warning: {note}"));
    }
    let (steps, stop) = (arguments.steps.map(|steps| steps as usize), stop_flag()?);
    let result = measure_training(&experiment, steps, workers, &stop, &mut |event| match event {
        TrainEvent::Pretrained(import) => output.note(format!("pretrained weights: {import}")),
        TrainEvent::Ready { dataset, num_classes, .. } => output.note(format!(
            "training on {} images of {num_classes} identities",
            dataset.train.len()
        )),
        TrainEvent::Step(step) => output.line(step_line(step, &experiment)),
        _ => {}
    });
    let speed = match result {
        Err(Error::Interrupted) => {
            output.note("interrupted; nothing is kept of a performance run");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        result => result?,
    };
    show(&speed, output);
    output.value(&value(&speed, &experiment)?);
    if let (Some(folder), true) = (&arguments.out, workers.leads()) {
        let path = write_case_log(folder, &speed)?;
        output.line(format!("case log: {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The port's performance settings, under what was typed.
fn experiment(arguments: &BenchTrainArgs) -> anyhow::Result<Experiment> {
    let mut experiment = Experiment { device: arguments.device.clone(), ..Experiment::default() };
    experiment.datasets.root_dir.clone_from(&arguments.data);
    experiment.dataloader.use_resampling = false;
    experiment.solver.max_epochs = arguments.epochs;
    experiment.solver.ims_per_batch = 16;
    experiment.solver.base_lr = 3.5e-4;
    Ok(experiment.with_pairs(&arguments.pairs)?)
}

/// The port's line of a step, losses times their weights.
fn step_line(step: &StepReport, experiment: &Experiment) -> String {
    let (terms, solver) = (&step.terms, &experiment.solver);
    format!(
        "step time: {:.3}, total_loss: {:.3}, contrastive loss: {:.3}, center loss: {:.3}, \
         xent_query: {:.3}, contrastive loss query: {:.3}",
        step.seconds,
        terms.total,
        terms.centroid_triplet.unwrap_or(0.0) * solver.centroid_contrastive_weight,
        terms.query_center,
        terms.query_xent * solver.query_xent_weight,
        terms.query_triplet * solver.query_contrastive_weight,
    )
}

/// The port's summary, then what its figures are in plain words.
fn show(speed: &TrainingSpeed, output: &Output) {
    let mut lines = vec![
        "------------------ Final result ------------------".to_owned(),
        format!("Final Performance images/sec : {:.2}", speed.identities_per_second()),
        format!("Final Train Accuracy : {ACCURACY}"),
        format!("E2E Training Duration sec : {:.0}", speed.seconds),
        String::new(),
        "The port's first figure counts identities; a performance run evaluates nothing, so it has \
         no accuracy."
            .to_owned(),
        format!("identities/s : {:.2}", speed.identities_per_second()),
        format!("images/s : {:.2}", speed.images_per_second()),
        format!("images/s with data loading : {:.2}", speed.images_per_second_with_loading()),
        format!("mean step time sec : {:.4}", speed.step_seconds),
        format!("steps : {} (the first {WARM_UP_STEPS} not counted)", speed.steps),
        format!("images per step : {} ({} identities)", speed.images, speed.identities),
        format!("threads : {}", speed.threads),
    ];
    if speed.processes > 1 {
        let share = 100.0 * speed.exchange_seconds / speed.step_seconds;
        lines.push(format!("processes : {}, whose figures these are together", speed.processes));
        lines.push(format!(
            "mean exchange time sec : {:.4} ({share:.1} % of a step, with the wait for the slowest)",
            speed.exchange_seconds
        ));
    }
    output.line(lines.join("\n"));
}

fn value(speed: &TrainingSpeed, experiment: &Experiment) -> anyhow::Result<serde_json::Value> {
    Ok(json!({
        "identities_per_second": speed.identities_per_second(),
        "images_per_second": speed.images_per_second(),
        "images_per_second_with_loading": speed.images_per_second_with_loading(),
        "step_seconds": speed.step_seconds,
        "exchange_seconds": speed.exchange_seconds,
        "processes": speed.processes,
        "steps": speed.steps,
        "skipped_steps": speed.skipped,
        "warm_up_steps": WARM_UP_STEPS,
        "identities_per_step": speed.identities,
        "images_per_step": speed.images,
        "accuracy": null,
        "last_step": speed.last,
        "seconds": speed.seconds,
        "threads": speed.threads,
        "device": experiment.device,
        "precision": experiment.precision()?.name(),
        "network": experiment.model.name,
        "size": experiment.input.size_train,
    }))
}

/// Writes the port's file of a run, one `Name = value` a line; returns its path.
fn write_case_log(folder: &Path, speed: &TrainingSpeed) -> anyhow::Result<PathBuf> {
    let case = format!("{NETWORK}_bs{}_{}p_acc", speed.identities, speed.processes);
    let path = folder.join(format!("{case}.log"));
    let fields = [
        ("Network", NETWORK.to_owned()),
        ("RankSize", speed.processes.to_string()),
        ("BatchSize", speed.identities.to_string()),
        ("DeviceType", std::env::consts::ARCH.to_owned()),
        ("CaseName", case),
        ("ActualFPS", format!("{:.2}", speed.identities_per_second())),
        ("TrainingTime", format!("{:.2}", 1000.0 * speed.step_seconds)),
        ("TrainAccuracy", ACCURACY.to_owned()),
        ("ActualLoss", format!("{:.3}", speed.last.total)),
        ("E2ETrainingTime", format!("{:.0}", speed.seconds)),
    ];
    let text: String = fields.map(|(name, value)| format!("{name} = {value}\n")).concat();
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write_atomically(&path, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
