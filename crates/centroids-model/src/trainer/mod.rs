//! The training loop: sampler → loader → step, epoch by epoch, resumable at any step.

mod exchange;
mod loss_scale;
mod metrics;
mod step;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod workers_tests;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use centroids_data::{
    Draw, ImageRecord, InputSpec, LabelMap, LoaderOptions, PkOptions, PkSampler, TrainLoader,
    TrainTransform, train_batches,
};

use exchange::FlatGradients;
pub use loss_scale::LossScale;
pub use metrics::{EpochMetrics, EpochSums, StepTerms};

use crate::checkpoint::{Checkpoint, Position};
use crate::embedder::Embedder;
use crate::layers::Mode;
use crate::loss::{LossConfig, Method};
use crate::optimizer::{Optimizer, OptimizerConfig};
use crate::reid_model::{ModelSpec, ReidModel};
use crate::schedule::Schedule;
use crate::weights::{BackboneImport, StateDict, Tensors};
use crate::workers::{Workers, alone};
use crate::{BackboneOptions, Error, Precision, weights};

/// Everything a training run depends on besides the images and the device.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// The network.
    pub backbone: BackboneOptions,
    /// Size, normalisation and augmentation of training images.
    pub transform: TrainTransform,
    /// Height and width of the images that are embedded, in evaluation and afterwards.
    pub eval_size: [usize; 2],
    /// Statistics of the batch norms: those of the batch, or the running ones, which then stay.
    pub norm: Mode,
    /// Losses and their weights.
    pub loss: LossConfig,
    /// Whether several processes mine in the batch of all of them, not each in its own.
    pub gather: bool,
    /// Settings of Adam and of the centres' SGD.
    pub optimizer: OptimizerConfig,
    /// Learning rate by epoch.
    pub schedule: Schedule,
    /// Epochs to train.
    pub epochs: usize,
    /// Identities per batch of one process (P).
    pub p: usize,
    /// Images per identity (K).
    pub k: usize,
    /// Identities with fewer than K images: repeat images (true) or add mock ones (false).
    pub resample: bool,
    /// Seed of weights, sampler and augmentation.
    pub seed: u64,
    /// Loader threads.
    pub workers: usize,
    /// Largest image that is decoded, in pixels.
    pub max_pixels: u64,
    /// Of the convolutions and the classifier.
    pub precision: Precision,
}

/// How [`Trainer::run_epoch`] ended.
#[derive(Debug)]
pub enum EpochEnd {
    /// The epoch is complete.
    Finished(EpochMetrics),
    /// The stop flag was seen; the trainer stands between two steps.
    Interrupted,
}

/// What an observer is told after every step.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Steps of this epoch that are done.
    pub step: usize,
    /// Steps of this epoch.
    pub steps: usize,
    /// Images of the step, of all processes.
    pub images: usize,
    /// Learning rate of the step.
    pub lr: f64,
    /// Its loss terms.
    pub terms: StepTerms,
    /// Factor on its loss; only in f16.
    pub loss_scale: Option<f64>,
    /// Whether the optimisers stepped: not when gradients were not finite, which happens in f16.
    pub stepped: bool,
    /// Seconds it took: images to the device, forward, backward, both optimisers; not the wait for
    /// the loader.
    pub seconds: f64,
    /// Those of them in which gradients went from process to process, with the wait for the slowest.
    pub exchange_seconds: f64,
}

/// A model in training, always between two steps.
pub struct Trainer {
    config: TrainConfig,
    records: Arc<[ImageRecord]>,
    labels: LabelMap,
    sampler: PkSampler,
    model: ReidModel,
    optimizer: Optimizer,
    /// Only in f16.
    loss_scale: Option<LossScale>,
    device: Device,
    epoch: usize,
    step: usize,
    sums: EpochSums,
    probe: Option<Probe>,
    workers: Rc<dyn Workers>,
    flat: FlatGradients,
    /// From step to step, with loading.
    longest_cycle: Option<Duration>,
}

/// A picture of the last step, to try the weights on before they are saved.
struct Probe {
    /// `[1, 3, h, w]`
    image: Vec<f32>,
    epoch: usize,
    step: usize,
}

impl Trainer {
    /// A run from random weights.
    ///
    /// # Errors
    /// Settings that cannot work with these records (fewer than P identities, K too large, …).
    pub fn new(
        config: TrainConfig,
        records: Vec<ImageRecord>,
        device: &Device,
    ) -> Result<Trainer, Error> {
        check(&config)?;
        config.precision.check(device)?;
        let labels = LabelMap::of(&records);
        let options = PkOptions { resample: config.resample, ..PkOptions::new(config.p, config.k) };
        let sampler = PkSampler::new(&records, &labels, options)?;
        let device = device.clone().autodiff();
        let spec = ModelSpec { backbone: config.backbone, num_classes: labels.len() };
        let model = weights::initialise(ReidModel::new(spec, &device), config.seed);
        Ok(Trainer {
            optimizer: Optimizer::new(config.optimizer),
            loss_scale: (config.precision == Precision::F16).then(LossScale::default),
            config,
            records: records.into(),
            labels,
            sampler,
            model,
            device,
            epoch: 0,
            step: 0,
            sums: EpochSums::default(),
            probe: None,
            workers: alone(),
            flat: FlatGradients::new(),
            longest_cycle: None,
        })
    }

    /// Starts from pretrained weights; see [`ReidModel::with_backbone`].
    ///
    /// # Errors
    /// See there, and weights of another backbone; the trainer is then as it was.
    pub fn load_backbone(&mut self, file: &StateDict) -> Result<BackboneImport, Error> {
        file.check_backbone(self.config.backbone.backbone)?;
        let (model, import) = self.model.clone().with_backbone(file)?;
        self.model = model;
        Ok(import)
    }

    /// A run that goes on where `checkpoint` was taken.
    ///
    /// # Errors
    /// As [`Trainer::new`], or a checkpoint of another model or another set of identities.
    pub fn resume(
        config: TrainConfig,
        records: Vec<ImageRecord>,
        device: &Device,
        checkpoint: &Checkpoint,
    ) -> Result<Trainer, Error> {
        let mut trainer = Trainer::new(config, records, device)?;
        checkpoint.check_dataset(trainer.labels.pids(), fingerprint(&trainer.records))?;
        trainer.restore(checkpoint)?;
        Ok(trainer)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.model = weights::load(self.model.clone(), &checkpoint.tensors, &checkpoint.path)?;
        let Position { epoch, step, processes, optimizer_steps, loss_scale, sums } =
            checkpoint.position.clone();
        let device = self.device.clone().inner();
        self.optimizer.restore(&checkpoint.tensors, optimizer_steps, &device);
        (self.epoch, self.step, self.sums) = (epoch, step * processes, sums);
        self.loss_scale = self.loss_scale.map(|fresh| loss_scale.unwrap_or(fresh));
        Ok(())
    }

    /// Trains on together with the other processes, all from the state of process 0. To be called
    /// once, before the first step.
    ///
    /// Within an epoch that other processes began it goes on behind as many images.
    ///
    /// # Errors
    /// Fewer identities than all batches together hold; another dataset than process 0 has.
    pub fn join(mut self, workers: Rc<dyn Workers>) -> Result<Trainer, Error> {
        if workers.size() == 1 {
            return Ok(self);
        }
        let TrainConfig { p, k, resample, .. } = self.config;
        let options = PkOptions { p, k, resample, world: workers.size(), rank: workers.rank() };
        self.sampler = PkSampler::new(&self.records, &self.labels, options)?;
        let mut state = Vec::new();
        if workers.leads() {
            state = self.checkpoint(String::new())?.to_bytes()?;
        }
        workers.broadcast(&mut state);
        if !workers.leads() {
            let path = Path::new("the state of process 0");
            let state = Checkpoint::of(&StateDict::of_bytes(path, &state)?)?;
            state.check_dataset(self.labels.pids(), fingerprint(&self.records))?;
            self.restore(&state)?;
        }
        self.step /= workers.size();
        self.workers = workers;
        Ok(self)
    }

    /// Epochs that are complete.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// True when no epoch is half done.
    pub fn between_epochs(&self) -> bool {
        self.step == 0
    }

    /// True once every epoch is complete.
    pub fn finished(&self) -> bool {
        self.epoch >= self.config.epochs
    }

    /// Identities that never enter a batch, having a single image.
    pub fn skipped_identities(&self) -> usize {
        self.sampler.skipped().len()
    }

    /// Training identities.
    pub fn num_classes(&self) -> usize {
        self.labels.len()
    }

    /// Runs the rest of the current epoch; `stop` is looked at between steps, and where one process
    /// is to stop, all do.
    ///
    /// # Errors
    /// An image that cannot be read, or a loss that is not finite.
    pub fn run_epoch(
        &mut self,
        stop: &AtomicBool,
        observer: &mut dyn FnMut(&StepReport),
    ) -> Result<EpochEnd, Error> {
        let batches = self.sampler.epoch(self.config.seed, self.epoch);
        let steps = batches.len();
        let lr = self.config.schedule.lr(self.epoch);
        let mut cycle = Instant::now();
        for batch in self.load(batches) {
            let batch = batch?;
            let own = batch.labels.len();
            let (images, image) =
                (own * self.workers.size(), batch.images[..batch.images.len() / own].to_vec());
            self.workers.wait_at_most(patience(self.longest_cycle));
            let start = Instant::now();
            let loss_scale = self.loss_factor();
            let done = step::step(self, batch, lr);
            let (seconds, exchange_seconds) =
                (start.elapsed().as_secs_f64(), done.exchange.as_secs_f64());
            self.step += 1;
            self.probe = Some(Probe { image, epoch: self.epoch, step: self.step });
            done.terms.check_finite(self.epoch, self.step)?;
            self.check_scale()?;
            self.sums.add(&done.terms, done.stepped);
            let (epoch, step) = (self.epoch, self.step);
            observer(&StepReport {
                epoch,
                step,
                steps,
                images,
                lr,
                terms: done.terms,
                loss_scale,
                stepped: done.stepped,
                seconds,
                exchange_seconds,
            });
            if self.workers.any(stop.load(Ordering::Relaxed)) && step < steps {
                return Ok(EpochEnd::Interrupted);
            }
            self.longest_cycle = self.longest_cycle.max(Some(cycle.elapsed()));
            cycle = Instant::now();
        }
        let loss_scale = self.loss_factor();
        let metrics = std::mem::take(&mut self.sums).finish(self.epoch, lr, loss_scale);
        (self.epoch, self.step) = (self.epoch + 1, 0);
        Ok(EpochEnd::Finished(metrics))
    }

    fn loss_factor(&self) -> Option<f64> {
        self.loss_scale.map(|scale| scale.factor())
    }

    fn check_scale(&self) -> Result<(), Error> {
        match &self.loss_scale {
            Some(scale) if scale.is_exhausted() => Err(Error::NotFinite {
                term: "a gradient at any loss scale",
                value: f64::NAN,
                epoch: self.epoch + 1,
                step: self.step,
            }),
            _ => Ok(()),
        }
    }

    fn load(&self, batches: Vec<Vec<Draw>>) -> TrainLoader {
        let options = LoaderOptions {
            workers: self.config.workers,
            seed: self.config.seed,
            epoch: self.epoch,
            skip_batches: self.step,
            world: self.workers.size(),
            rank: self.workers.rank(),
            max_pixels: self.config.max_pixels,
            ..LoaderOptions::default()
        };
        train_batches(self.records.clone(), batches, self.config.transform, options)
    }

    /// An embedder of the current weights.
    pub fn embedder(&self) -> Embedder {
        Embedder::new(self.model.valid(), self.config.backbone, self.eval_input())
    }

    fn eval_input(&self) -> InputSpec {
        InputSpec { size: self.config.eval_size, ..self.config.transform.input }
    }

    /// The complete state; `config` is kept verbatim for whoever opens the file.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when the last step left weights that are not finite or that make no
    /// finite embedding; the loss of that step was still taken before them.
    pub fn checkpoint(&self, config: String) -> Result<Checkpoint, Error> {
        let mut tensors = weights::collect(&self.model);
        tensors.extend(self.optimizer.state());
        self.check_sound(&tensors)?;
        Ok(Checkpoint {
            path: Default::default(),
            tensors,
            backbone: self.config.backbone,
            input: self.eval_input(),
            pids: self.labels.pids().to_vec(),
            records: fingerprint(&self.records),
            position: Position {
                epoch: self.epoch,
                step: self.step,
                processes: self.workers.size(),
                optimizer_steps: self.optimizer.steps(),
                loss_scale: self.loss_scale,
                sums: self.sums.clone(),
            },
            config,
        })
    }

    fn check_sound(&self, tensors: &Tensors) -> Result<(), Error> {
        let Some(Probe { image, epoch, step }) = &self.probe else { return Ok(()) };
        let check = |term, values: &[f32]| match values.iter().find(|value| !value.is_finite()) {
            Some(&value) => {
                let (value, epoch) = (value.into(), epoch + 1);
                Err(Error::NotFinite { term, value, epoch, step: *step })
            }
            None => Ok(()),
        };
        tensors.values().try_for_each(|array| check("a weight", &array.values))?;
        let [height, width] = self.config.transform.input.size;
        let embedding = self.embedder().embed_batch(image.clone(), [1, 3, height, width]);
        check("the embedding of a training image", &embedding)
    }
}

/// How long a process waits for the others in a step. They may load more slowly, or compile their
/// kernels in the first step.
fn patience(longest_cycle: Option<Duration>) -> Duration {
    match longest_cycle {
        Some(cycle) => Duration::from_secs(25).max(20 * cycle),
        None => Duration::from_secs(600),
    }
}

/// 64-bit FNV-1a of the file names and pids in order: another set of images gives another number,
/// the same set in another folder the same.
fn fingerprint(records: &[ImageRecord]) -> u64 {
    let name = |record: &ImageRecord| {
        let name = record.path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        [name, record.pid.0.to_le_bytes().to_vec()].concat()
    };
    records.iter().flat_map(name).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn check(config: &TrainConfig) -> Result<(), Error> {
    config.backbone.check()?;
    let setting = |key, value: usize, reason: &str| {
        Err(Error::Setting { key, value: value.to_string(), reason: reason.to_owned() })
    };
    match config {
        TrainConfig { p, .. } if *p < 2 => setting(
            "solver.ims_per_batch",
            *p,
            "the triplet losses need at least 2 identities in a batch",
        ),
        TrainConfig { k, .. } if *k < 2 => {
            setting("dataloader.num_instance", *k, "an identity needs at least 2 images in a batch")
        }
        TrainConfig { loss, .. } if loss.method == Method::Ctl && loss.centroid_weight < 0.0 => {
            let value = loss.centroid_weight.to_string();
            let key = "solver.centroid_contrastive_weight";
            Err(Error::Setting { key, value, reason: "must not be negative".to_owned() })
        }
        _ => Ok(()),
    }
}
