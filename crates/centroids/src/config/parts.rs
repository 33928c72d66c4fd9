//! From settings to the typed parts they stand for; values are checked here.

use std::path::Path;

use centroids_core::{CameraRule, CentroidOf, Distance, Metric, Unit};
use centroids_data::{DatasetSource, InputSpec, Layout, TrainTransform};
use centroids_model::layers::Mode;
use centroids_model::loss::{self, LossConfig, Margin, Method};
use centroids_model::{
    Backbone, BackboneOptions, Decay, Device, EmbedOptions, IMAGE_SIDES, OptimizerConfig,
    Precision, Schedule, TrainConfig,
};

use super::Experiment;
use crate::Error;
use crate::pipeline::Question;

impl Experiment {
    /// Checks every value that can be checked without looking at the images.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn check(&self) -> Result<(), Error> {
        self.train_config()?;
        self.metric()?;
        self.cameras()?;
        self.monitor()?;
        self.devices()?;
        positive("test.ims_per_batch", self.test.ims_per_batch)?;
        positive("repeats", self.repeats)?;
        for (key, path) in [
            ("datasets.root_dir", &self.datasets.root_dir),
            ("output_dir", &self.output_dir),
            ("mlflow_dir", &self.mlflow_dir),
            ("model.pretrain_path", &self.model.pretrain_path),
            ("datasets.json_train_path", &self.datasets.json_train_path),
        ] {
            if path.to_str().is_none() {
                return Err(setting(
                    key,
                    path.display(),
                    "must be UTF-8 to be kept in config.toml",
                ));
            }
        }
        if i64::try_from(self.seed.saturating_add(self.repeats as u64)).is_err() {
            let reason = format!("must be at most {}, the largest number TOML holds", i64::MAX);
            return Err(setting("seed", self.seed, &reason));
        }
        Ok(())
    }

    /// Where the images are.
    ///
    /// # Errors
    /// No `datasets.root_dir`, an unknown layout, or one that is not recognised.
    pub fn source(&self) -> Result<DatasetSource, Error> {
        Ok(self.sources()?.remove(0))
    }

    /// Where the images of all datasets are, of which the first is tested during training.
    ///
    /// # Errors
    /// As [`Experiment::source`].
    pub fn sources(&self) -> Result<Vec<DatasetSource>, Error> {
        if self.datasets.root_dir.as_os_str().is_empty() {
            return Err(setting("datasets.root_dir", "", "say where the images are"));
        }
        let of_name = |name| self.source_named(str::trim(name));
        let sources: Vec<_> =
            self.datasets.names.split(',').map(of_name).collect::<Result<_, _>>()?;
        let annotated = sources.iter().any(|source| source.layout == Layout::Coco);
        let json = &self.datasets.json_train_path;
        if !annotated && !json.as_os_str().is_empty() {
            let reason =
                "only layout `coco` has annotations; name it in datasets.names, or leave this out";
            return Err(setting("datasets.json_train_path", json.display(), reason));
        }
        Ok(sources)
    }

    fn source_named(&self, name: &str) -> Result<DatasetSource, Error> {
        let section = &self.datasets;
        let layout = match name {
            "" => Layout::detect(&section.root_dir)?,
            name => name.parse()?,
        };
        let (pattern, json) = (&section.camera_pattern, &section.json_train_path);
        let annotated = layout == Layout::Coco && !json.as_os_str().is_empty();
        Ok(DatasetSource {
            camera_pattern: (!pattern.is_empty()).then(|| pattern.clone()),
            holdout: fraction("datasets.holdout", section.holdout)?,
            json_train_path: annotated.then(|| json.clone()),
            ..DatasetSource::new(layout, &section.root_dir)
        })
    }

    /// The device; of several, that of the first process.
    ///
    /// # Errors
    /// One that is unknown or not compiled in.
    pub fn parse_device(&self) -> Result<Device, Error> {
        Ok(self.devices()?.remove(0))
    }

    /// The device of every process, or one for all.
    ///
    /// # Errors
    /// As [`Experiment::parse_device`].
    pub fn devices(&self) -> Result<Vec<Device>, Error> {
        let device = |name: &str| Ok(centroids_model::parse_device(name.trim())?);
        self.device.split(',').map(device).collect()
    }

    /// How embeddings are compared.
    ///
    /// # Errors
    /// An unknown distance.
    pub fn metric(&self) -> Result<Metric, Error> {
        let distance: Distance = self.solver.distance_func.parse()?;
        let (normalize, centroid_of) = (self.test.feat_norm, CentroidOf::Raw);
        Ok(Metric { distance, normalize, centroid_of })
    }

    /// Camera rule of the evaluations during training.
    ///
    /// # Errors
    /// An unknown rule.
    pub fn cameras(&self) -> Result<CameraRule, Error> {
        Ok(self.test.cameras.parse()?)
    }

    /// What the evaluations during training ask: images, then identities by their nearest image and by
    /// their centroid.
    ///
    /// # Errors
    /// An unknown camera rule.
    pub fn questions(&self) -> Result<Vec<Question>, Error> {
        let images = self.cameras()?;
        let identities = if self.model.keep_camid_centroids { images } else { CameraRule::Any };
        Ok(vec![
            Question::Protocol(Unit::Instance, images),
            Question::Protocol(Unit::Nearest, identities),
            Question::Protocol(Unit::Centroid, identities),
        ])
    }

    /// File of the weights that training starts from, unless they are random.
    pub fn pretrained_weights(&self) -> Option<&Path> {
        let path = self.model.pretrain_path.as_path();
        (self.model.pretrained && !path.as_os_str().is_empty()).then_some(path)
    }

    /// How query and gallery images become vectors.
    pub fn embed_options(&self) -> EmbedOptions {
        EmbedOptions {
            batch_size: self.test.ims_per_batch.max(1),
            workers: self.workers().min(MAX_WORKERS),
            max_pixels: self.input.max_pixels,
        }
    }

    /// Everything the trainer wants.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn train_config(&self) -> Result<TrainConfig, Error> {
        let solver = &self.solver;
        Ok(TrainConfig {
            backbone: BackboneOptions {
                backbone: self.model.name.parse::<Backbone>()?,
                last_stride: self.model.last_stride,
                stem_relu: self.model.stem_relu,
            },
            transform: self.transform()?,
            eval_size: size("input.size_test", self.input.size_test)?,
            norm: match self.model.frozen_norm {
                true => Mode::Eval,
                false => Mode::Train(self.precision()?),
            },
            loss: self.loss()?,
            gather: solver.gather_embeddings,
            optimizer: OptimizerConfig {
                weight_decay: not_negative("solver.weight_decay", solver.weight_decay)?,
                center_lr: not_negative("solver.center_lr", solver.center_lr)?,
                center_weight: solver.center_loss_weight,
            },
            schedule: self.schedule()?,
            epochs: positive("solver.max_epochs", solver.max_epochs)?,
            p: solver.ims_per_batch,
            k: self.dataloader.num_instance,
            resample: self.dataloader.use_resampling,
            seed: self.seed,
            workers: at_most("dataloader.num_workers", self.workers(), MAX_WORKERS)?,
            max_pixels: self.input.max_pixels,
            precision: self.precision()?,
        })
    }

    /// Of convolutions and classifier in training.
    ///
    /// # Errors
    /// An unknown half type.
    pub fn precision(&self) -> Result<Precision, Error> {
        match (self.half_type.as_str(), self.use_mixed_precision) {
            ("f16" | "bf16", false) => Ok(Precision::F32),
            ("f16", true) => Ok(Precision::F16),
            ("bf16", true) => Ok(Precision::Bf16),
            (other, _) => Err(setting("half_type", other, "must be `f16` or `bf16`")),
        }
    }

    fn workers(&self) -> usize {
        match self.dataloader.num_workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    fn transform(&self) -> Result<TrainTransform, Error> {
        let input = &self.input;
        let usable = |std: &f32| *std > 0.0 && (1.0 / std).is_finite() && std.is_finite();
        if !input.pixel_std.iter().all(usable) {
            let value = format!("{:?}", input.pixel_std);
            return Err(setting(
                "input.pixel_std",
                value,
                "every value must be above 0 and finite",
            ));
        }
        if !input.pixel_mean.iter().all(|mean| mean.is_finite()) {
            let value = format!("{:?}", input.pixel_mean);
            return Err(setting("input.pixel_mean", value, "every value must be finite"));
        }
        Ok(TrainTransform {
            input: InputSpec {
                size: size("input.size_train", input.size_train)?,
                mean: input.pixel_mean,
                std: input.pixel_std,
            },
            flip: fraction("input.prob", input.prob)?,
            padding: at_most("input.padding", input.padding, *IMAGE_SIDES.end())?,
            erasing: fraction("input.re_prob", input.re_prob)?,
        })
    }

    fn loss(&self) -> Result<LossConfig, Error> {
        let solver = &self.solver;
        let method = match solver.method.as_str() {
            "ctl" => Method::Ctl,
            "base" => Method::Base,
            other => return Err(setting("solver.method", other, "must be `ctl` or `base`")),
        };
        let metric = match self.metric()?.distance {
            Distance::SquaredEuclidean => loss::Metric::Euclidean,
            Distance::Cosine => loss::Metric::Cosine,
        };
        let weight = |key, value| not_negative(key, value);
        Ok(LossConfig {
            method,
            margin: if solver.soft_margin {
                Margin::Soft
            } else {
                Margin::Hard(not_negative("solver.margin", solver.margin)?)
            },
            metric,
            label_smoothing: fraction("solver.label_smoothing", solver.label_smoothing)?,
            center_weight: weight("solver.center_loss_weight", solver.center_loss_weight)?,
            xent_weight: weight("solver.query_xent_weight", solver.query_xent_weight)?,
            triplet_weight: weight(
                "solver.query_contrastive_weight",
                solver.query_contrastive_weight,
            )?,
            centroid_weight: weight(
                "solver.centroid_contrastive_weight",
                solver.centroid_contrastive_weight,
            )?,
        })
    }

    fn schedule(&self) -> Result<Schedule, Error> {
        let solver = &self.solver;
        let decay = match solver.lr_scheduler_name.as_str() {
            "multistep_lr" => {
                let gamma = not_negative("solver.gamma", solver.gamma)?;
                Decay::MultiStep { milestones: solver.lr_steps.clone(), gamma }
            }
            "cosine_annealing" => {
                let min_lr = not_negative("solver.min_lr", solver.min_lr)?;
                Decay::Cosine { min_lr, max_epochs: solver.max_epochs }
            }
            other => {
                let reason = "must be `multistep_lr` or `cosine_annealing`";
                return Err(setting("solver.lr_scheduler_name", other, reason));
            }
        };
        Ok(Schedule {
            base_lr: not_negative("solver.base_lr", solver.base_lr)?,
            warmup_epochs: if solver.use_warmup_lr { solver.warmup_epochs } else { 0 },
            decay,
        })
    }
}

pub(super) fn setting(key: &'static str, value: impl ToString, reason: &str) -> Error {
    Error::Setting { key, value: value.to_string(), reason: reason.to_owned() }
}

fn positive(key: &'static str, value: usize) -> Result<usize, Error> {
    if value == 0 { Err(setting(key, value, "must be at least 1")) } else { Ok(value) }
}

fn at_most(key: &'static str, value: usize, most: usize) -> Result<usize, Error> {
    if value > most {
        Err(setting(key, value, &format!("must be at most {most}")))
    } else {
        Ok(value)
    }
}

fn not_negative(key: &'static str, value: f64) -> Result<f64, Error> {
    if value < 0.0 { Err(setting(key, value, "must not be negative")) } else { Ok(value) }
}

fn fraction(key: &'static str, value: f64) -> Result<f64, Error> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(setting(key, value, "must lie between 0 and 1"))
    }
}

/// More threads than this only wait for each other.
const MAX_WORKERS: usize = 256;

fn size(key: &'static str, size: [usize; 2]) -> Result<[usize; 2], Error> {
    if size.iter().all(|side| IMAGE_SIDES.contains(side)) {
        Ok(size)
    } else {
        let reason = format!(
            "both sides must lie between {} and {}",
            IMAGE_SIDES.start(),
            IMAGE_SIDES.end()
        );
        Err(setting(key, format!("{size:?}"), &reason))
    }
}
