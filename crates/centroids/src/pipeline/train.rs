//! Training: epochs, evaluations, checkpoints, the log; interrupted and resumed at any step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use centroids_core::{CamId, CameraRule, Pid, Report};
use centroids_data::{Dataset, ImageRecord, Split, load_all};
use centroids_model::weights::{BackboneImport, StateDict};
use centroids_model::{
    Checkpoint, Device, EpochEnd, EpochMetrics, StepReport, Trainer, Workers, alone,
};
use serde_json::json;

use super::{embed_records, evaluate_all, picture_rankings};
use crate::files::write_json;
use crate::processes::how_to_start;
use crate::{Error, Experiment, RunDir};

/// How a training came to its end.
#[derive(Debug)]
pub enum Outcome {
    /// All epochs are done.
    Finished {
        /// The final model's figures on the first dataset (none without query and gallery).
        reports: Vec<Report>,
        /// Those on the other datasets that it was trained on, by name.
        others: Vec<(String, Vec<Report>)>,
    },
    /// Stopped on request; everything is saved.
    Interrupted,
}

/// What happens during a training.
#[derive(Debug)]
pub enum TrainEvent<'a> {
    /// One of several runs begins.
    Run {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// Its seed.
        seed: u64,
    },
    /// The backbone starts from pretrained weights.
    Pretrained(&'a BackboneImport),
    /// The dataset is read and the model made.
    Ready {
        /// The images.
        dataset: &'a Dataset,
        /// Classes.
        num_classes: usize,
        /// Identities with one image, never drawn.
        skipped: usize,
        /// Complete epochs.
        epoch: usize,
    },
    /// A step is done.
    Step(&'a StepReport),
    /// An epoch is done.
    Epoch {
        /// Its means.
        metrics: &'a EpochMetrics,
        /// Images per second over it.
        images_per_second: f64,
    },
    /// Query and gallery are being embedded: done, of how many.
    Embedding(usize, usize),
    /// An image that an evaluation had to leave out.
    Unreadable(&'a str),
    /// An evaluation is done.
    Evaluated {
        /// Epoch it follows, from 0.
        epoch: usize,
        /// Instance, nearest, centroid.
        reports: &'a [Report],
        /// Whether it is the best so far, by the experiment's monitor.
        best: bool,
    },
}

/// Receives the events of a training.
pub type Observer<'a> = dyn FnMut(TrainEvent<'_>) + 'a;

/// Starts a run in `output_dir`, together with the other `workers`: all call this, the first writes
/// the run folder, evaluates and is told the events; the others only learn how it ended.
///
/// # Errors
/// Settings or images that cannot work, a loss that is not finite, a full disk.
pub fn train(
    experiment: &Experiment,
    output_dir: &Path,
    workers: &Rc<dyn Workers>,
    stop: &AtomicBool,
    observer: &mut Observer<'_>,
) -> Result<(RunDir, Outcome), Error> {
    experiment.check()?;
    let datasets = load_all(&experiment.sources()?)?;
    for dataset in &datasets {
        check_queries(dataset, experiment.cameras()?)?;
    }
    let dataset = Dataset::join(&datasets);
    let trainer = beginning(experiment, &dataset, workers, observer)?;
    if !workers.leads() {
        return Ok((RunDir::at(output_dir), follow(trainer, workers, stop)?));
    }
    let run = RunDir::create(output_dir)?;
    let _lock = run.lock()?;
    let (others, workers) = (others(datasets), workers.clone());
    let mut training = Training { experiment, run, dataset, others, trainer, workers, observer };
    training.save(&training.run.last())?;
    training.run.begin(experiment)?;
    let outcome = training.go(stop)?;
    Ok((training.run, outcome))
}

/// Continues the run in `run` from its last checkpoint, to the numbers it would have reached
/// uninterrupted, where as many processes continue it. All of them must see the folder.
///
/// # Errors
/// As [`train`]; a run without checkpoint, or a dataset that has changed.
pub fn resume(
    run: RunDir,
    workers: &Rc<dyn Workers>,
    stop: &AtomicBool,
    observer: &mut Observer<'_>,
) -> Result<(RunDir, Outcome), Error> {
    let _lock = workers.leads().then(|| run.lock()).transpose()?;
    let experiment = Experiment::read(&run.config())?;
    experiment.check()?;
    let datasets = load_all(&experiment.sources()?)?;
    let dataset = Dataset::join(&datasets);
    let mut devices = experiment.devices()?;
    let device = devices.swap_remove(workers.rank() % devices.len());
    let (config, records) = (experiment.train_config()?, train_records(&dataset)?);
    if !workers.leads() {
        let trainer = Trainer::new(config, records, &device)?.join(workers.clone())?;
        let outcome = follow(trainer, workers, stop)?;
        return Ok((run, outcome));
    }
    let checkpoint = Checkpoint::load(&run.last())?;
    let trainer = Trainer::resume(config, records, &device, &checkpoint)?.join(workers.clone())?;
    run.forget_from(checkpoint.position.epoch)?;
    let (experiment, others, workers) = (&experiment, others(datasets), workers.clone());
    let mut training = Training { experiment, run, dataset, others, trainer, workers, observer };
    let outcome = training.go(stop)?;
    Ok((training.run, outcome))
}

/// The reports of the model that training would start from, for comparison.
///
/// # Errors
/// As [`train`].
pub fn untrained(
    experiment: &Experiment,
    stop: &AtomicBool,
    observer: &mut Observer<'_>,
) -> Result<Vec<Report>, Error> {
    let dataset = joined(experiment)?;
    let trainer = beginning(experiment, &dataset, &alone(), observer)?;
    reports(experiment, &dataset, &trainer, stop, observer, None)
}

/// All datasets of the experiment as one; see [`Dataset::join`].
pub(super) fn joined(experiment: &Experiment) -> Result<Dataset, Error> {
    Ok(Dataset::join(&load_all(&experiment.sources()?)?))
}

/// A trainer before its first step, with random or pretrained weights.
pub(super) fn beginning(
    experiment: &Experiment,
    dataset: &Dataset,
    workers: &Rc<dyn Workers>,
    observer: &mut Observer<'_>,
) -> Result<Trainer, Error> {
    let device = own_device(experiment, &**workers)?;
    let mut trainer = Trainer::new(experiment.train_config()?, train_records(dataset)?, &device)?;
    if let Some(path) = experiment.pretrained_weights()
        && workers.leads()
    {
        let import = trainer.load_backbone(&StateDict::read(path)?)?;
        observer(TrainEvent::Pretrained(&import));
    }
    Ok(trainer.join(workers.clone())?)
}

/// The device of this process: one of as many as there are processes, or the one for all.
fn own_device(experiment: &Experiment, workers: &dyn Workers) -> Result<Device, Error> {
    let mut devices = experiment.devices()?;
    let (named, processes) = (devices.len(), workers.size());
    if named > 1 && named != processes {
        let start = how_to_start(named, "train …");
        let reason =
            format!("{named} devices want {named} processes, this is {processes}: {start}");
        return Err(Error::Setting { key: "device", value: experiment.device.clone(), reason });
    }
    Ok(devices.swap_remove(workers.rank() % named))
}

/// What process 0 has the others do next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Epoch,
    Finish,
    Stop,
}

impl Next {
    /// Process 0 says it, the others hear it.
    fn agree(self, workers: &dyn Workers) -> Next {
        let mut said = vec![self as u8];
        workers.broadcast(&mut said);
        let all = [Next::Epoch, Next::Finish, Next::Stop];
        all.into_iter().find(|next| said == [*next as u8]).unwrap_or(self)
    }
}

/// The training as all processes but the first see it: the steps of the epochs, nothing between.
fn follow(
    mut trainer: Trainer,
    workers: &Rc<dyn Workers>,
    stop: &AtomicBool,
) -> Result<Outcome, Error> {
    loop {
        match Next::Stop.agree(&**workers) {
            Next::Epoch => {
                trainer.run_epoch(stop, &mut |_| {})?;
            }
            Next::Finish => {
                return Ok(Outcome::Finished { reports: Vec::new(), others: Vec::new() });
            }
            Next::Stop => return Ok(Outcome::Interrupted),
        }
    }
}

/// The datasets but the first that can be tested.
fn others(mut datasets: Vec<Dataset>) -> Vec<Dataset> {
    datasets.remove(0);
    datasets.retain(testable);
    datasets
}

fn testable(dataset: &Dataset) -> bool {
    !dataset.query.is_empty() && !dataset.gallery.is_empty()
}

fn train_records(dataset: &Dataset) -> Result<Vec<ImageRecord>, Error> {
    if dataset.train.is_empty() {
        let reason = "has no training images".to_owned();
        return Err(Error::Run { path: dataset.root.clone(), reason });
    }
    Ok(dataset.train.clone())
}

/// A training whose evaluations could only fail is refused before it starts.
fn check_queries(dataset: &Dataset, rule: CameraRule) -> Result<(), Error> {
    let mut cameras: BTreeMap<Pid, BTreeSet<Option<CamId>>> = BTreeMap::new();
    for image in &dataset.gallery {
        cameras.entry(image.pid).or_default().insert(image.camid);
    }
    let counts = |query: &ImageRecord, camid: &Option<CamId>| {
        rule == CameraRule::Any || !CamId::same(query.camid, *camid)
    };
    let has_match = |query: &ImageRecord| {
        let images = cameras.get(&query.pid).into_iter().flatten();
        images.into_iter().any(|camid| counts(query, camid))
    };
    let (queries, gallery) = (&dataset.query, &dataset.gallery);
    if queries.is_empty() || gallery.is_empty() || queries.iter().any(has_match) {
        return Ok(());
    }
    let reason = format!(
        "no query has a match in the gallery under the camera rule `{rule}`, so nothing could be \
         evaluated; correct the dataset or test.cameras"
    );
    Err(Error::Run { path: dataset.root.clone(), reason })
}

/// A run in progress.
struct Training<'a, 'o> {
    experiment: &'a Experiment,
    run: RunDir,
    dataset: Dataset,
    others: Vec<Dataset>,
    trainer: Trainer,
    workers: Rc<dyn Workers>,
    observer: &'a mut Observer<'o>,
}

impl Training<'_, '_> {
    fn go(&mut self, stop: &AtomicBool) -> Result<Outcome, Error> {
        let outcome = self.lead(stop)?;
        let end = match outcome {
            Outcome::Finished { .. } => Next::Finish,
            Outcome::Interrupted => Next::Stop,
        };
        end.agree(&*self.workers);
        Ok(outcome)
    }

    fn lead(&mut self, stop: &AtomicBool) -> Result<Outcome, Error> {
        (self.observer)(TrainEvent::Ready {
            dataset: &self.dataset,
            num_classes: self.trainer.num_classes(),
            skipped: self.trainer.skipped_identities(),
            epoch: self.trainer.epoch(),
        });
        let mut last_reports = Vec::new();
        loop {
            if self.evaluation_is_due()? {
                match self.evaluate(stop) {
                    Ok(reports) => last_reports = reports,
                    Err(Error::Interrupted) => return Ok(Outcome::Interrupted),
                    Err(error) => return Err(error),
                }
            }
            if self.trainer.finished() {
                return self.finish(last_reports, stop);
            }
            if stop.load(Ordering::Relaxed) || !self.epoch(stop)? {
                self.save(&self.run.last())?;
                return Ok(Outcome::Interrupted);
            }
        }
    }

    /// Runs (the rest of) an epoch; false when it was interrupted.
    fn epoch(&mut self, stop: &AtomicBool) -> Result<bool, Error> {
        let (start, mut images) = (Instant::now(), 0);
        Next::Epoch.agree(&*self.workers);
        let observer = &mut self.observer;
        let end = self.trainer.run_epoch(stop, &mut |step| {
            images += step.images;
            observer(TrainEvent::Step(step));
        })?;
        let EpochEnd::Finished(metrics) = end else {
            return Ok(false);
        };
        let seconds = start.elapsed().as_secs_f64();
        self.run.log_epoch(&metrics, seconds, images as f64)?;
        self.save(&self.run.last())?;
        let images_per_second = images as f64 / seconds.max(1e-9);
        (self.observer)(TrainEvent::Epoch { metrics: &metrics, images_per_second });
        Ok(true)
    }

    /// At an epoch's end, every `eval_period` epochs and after the last one, unless it is logged.
    fn evaluation_is_due(&self) -> Result<bool, Error> {
        let done = self.trainer.epoch();
        let period = self.experiment.solver.eval_period;
        let due = self.trainer.finished() || (period > 0 && done.is_multiple_of(period));
        Ok(testable(&self.dataset)
            && self.trainer.between_epochs()
            && done > 0
            && due
            && !self.run.evaluated(done - 1)?)
    }

    fn evaluate(&mut self, stop: &AtomicBool) -> Result<Vec<Report>, Error> {
        let epoch = self.trainer.epoch() - 1;
        let reports = self.reports(stop)?;
        let monitor = self.experiment.monitor()?;
        let value = monitor.value(&reports);
        let others = self.run.monitored()?;
        let best = value.is_some_and(|value| monitor.is_best(value, &others));
        if best {
            self.save(&self.run.best())?;
        }
        self.run.log_evaluation(epoch, value, &reports)?;
        (self.observer)(TrainEvent::Evaluated { epoch, reports: &reports, best });
        Ok(reports)
    }

    fn reports(&mut self, stop: &AtomicBool) -> Result<Vec<Report>, Error> {
        let (experiment, dataset) = (self.experiment, &self.dataset);
        let last = experiment.test.visualize && self.trainer.finished();
        let pictures = last.then(|| self.run.pictures());
        reports(experiment, dataset, &self.trainer, stop, self.observer, pictures.as_deref())
    }

    /// A run that was finished before is evaluated once more, for there are no reports at hand.
    fn finish(&mut self, mut reports: Vec<Report>, stop: &AtomicBool) -> Result<Outcome, Error> {
        if reports.is_empty() && testable(&self.dataset) {
            reports = self.reports(stop)?;
        }
        let mut others = Vec::new();
        for dataset in &self.others {
            let reports =
                self::reports(self.experiment, dataset, &self.trainer, stop, self.observer, None)?;
            others.push((dataset.name.clone(), reports));
        }
        if !reports.is_empty() {
            let of_others: serde_json::Map<_, _> =
                others.iter().map(|(name, reports)| (name.clone(), json!(reports))).collect();
            let mut value = json!({ "results": reports });
            if !of_others.is_empty() {
                value["others"] = of_others.into();
            }
            write_json(&self.run.evaluation(), &value)?;
        }
        Ok(Outcome::Finished { reports, others })
    }

    fn save(&self, path: &Path) -> Result<(), Error> {
        Ok(self.trainer.checkpoint(self.experiment.to_toml()?)?.save(path)?)
    }
}

/// Instance, nearest and centroid reports of the current weights, and pictures of the rankings if
/// there is a folder for them.
fn reports(
    experiment: &Experiment,
    dataset: &Dataset,
    trainer: &Trainer,
    stop: &AtomicBool,
    observer: &mut Observer<'_>,
    pictures: Option<&Path>,
) -> Result<Vec<Report>, Error> {
    let embedder = trainer.embedder();
    let total = dataset.query.len() + dataset.gallery.len();
    let mut embed = |split: Split, before: usize| {
        let records = dataset.split(split);
        let mut progress = |done: usize| {
            observer(TrainEvent::Embedding(before + done, total));
            match stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let options = experiment.embed_options();
        let embedding =
            embed_records(&embedder, records, &dataset.pid_names, options, &mut progress)?;
        for unreadable in &embedding.unreadable {
            observer(TrainEvent::Unreadable(&unreadable.reason));
        }
        Ok::<_, Error>(embedding.embeddings)
    };
    let query = embed(Split::Query, 0)?;
    let gallery = embed(Split::Gallery, dataset.query.len())?;
    if let Some(folder) = pictures {
        picture_rankings(experiment, &query, &gallery, folder)?;
    }
    evaluate_all(&query, &gallery, &experiment.questions()?, &experiment.metric()?)
}
