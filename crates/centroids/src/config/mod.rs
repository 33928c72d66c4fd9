//! The experiment: every setting of a run, read from TOML, checked, and written back into the run.
//!
//! Keys are those of the reference in lower case (`solver.base_lr`), and its spelling
//! (`SOLVER.BASE_LR`) is read too. Defaults are the reference's.

mod overlay;
mod parts;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Seed of weights, sampler and augmentation.
    pub seed: u64,
    /// Device: `cpu`, `cuda:0`, …
    pub device: String,
    /// Run folder; empty = `runs/<name of the dataset>`.
    pub output_dir: PathBuf,
    /// MLflow folder (`mlruns`) that gets the run too; empty = none.
    pub mlflow_dir: PathBuf,
    /// The network.
    pub model: ModelSection,
    /// Images and augmentation.
    pub input: InputSection,
    /// Where the images are.
    pub datasets: DatasetSection,
    /// How batches are made.
    pub dataloader: DataloaderSection,
    /// Losses, optimisers, schedule.
    pub solver: SolverSection,
    /// Evaluation.
    pub test: TestSection,
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSection {
    /// `resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152`, `mobilenet_v2`
    pub name: String,
    /// ResNets: stride of the last stage, 1 or 2.
    pub last_stride: usize,
    /// ResNets: ReLU after the stem; the reference has none.
    pub stem_relu: bool,
    /// Whether training starts from the weights at `pretrain_path`, if that is not empty.
    pub pretrained: bool,
    /// File with the backbone's weights (`.pth`, `.safetensors`); empty = random ones.
    pub pretrain_path: PathBuf,
}

/// `[input]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSection {
    /// Height and width of training images.
    pub size_train: [usize; 2],
    /// Height and width of query and gallery images.
    pub size_test: [usize; 2],
    /// Probability of a horizontal flip.
    pub prob: f64,
    /// Probability of random erasing.
    pub re_prob: f64,
    /// Mean per channel, of values in 0..1.
    pub pixel_mean: [f32; 3],
    /// Standard deviation per channel.
    pub pixel_std: [f32; 3],
    /// Zero pixels around the image before the random crop.
    pub padding: usize,
    /// Largest image that is decoded, in pixels.
    pub max_pixels: u64,
}

/// `[datasets]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSection {
    /// Layout: `market1501`, `dukemtmcreid`, `folder`, `manifest`; empty = recognised.
    pub names: String,
    /// The dataset's folder (or manifest file).
    pub root_dir: PathBuf,
    /// Layout `folder`: regular expression on the file name whose one group is the camera.
    pub camera_pattern: String,
    /// Layout `folder` without splits: share of the identities kept for testing.
    pub holdout: f64,
}

/// `[dataloader]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataloaderSection {
    /// Decoding threads; 0 = one per core.
    pub num_workers: usize,
    /// Images per identity in a batch (K).
    pub num_instance: usize,
    /// Identities with fewer than K images: repeat images (true) or fill with mock ones (false).
    pub use_resampling: bool,
}

/// `[solver]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SolverSection {
    /// `ctl` (with the centroid triplet loss) or `base` (without).
    pub method: String,
    /// Epochs.
    pub max_epochs: usize,
    /// Identities per batch (P); images per batch are P × K.
    pub ims_per_batch: usize,
    /// Adam's rate after the warm-up.
    pub base_lr: f64,
    /// Coupled L2 on every trainable tensor but the centres.
    pub weight_decay: f64,
    /// Margin of both triplet losses.
    pub margin: f64,
    /// Soft margin `log(1 + exp(ap − an))` instead.
    pub soft_margin: bool,
    /// `euclidean` or `cosine`: in the triplet losses and in evaluation.
    pub distance_func: String,
    /// ε of the cross entropy.
    pub label_smoothing: f64,
    /// SGD rate of the class centres.
    pub center_lr: f64,
    /// Weight of the centre loss.
    pub center_loss_weight: f64,
    /// Weight of the cross entropy.
    pub query_xent_weight: f64,
    /// Weight of the triplet loss.
    pub query_contrastive_weight: f64,
    /// Weight of the centroid triplet loss.
    pub centroid_contrastive_weight: f64,
    /// `multistep_lr` or `cosine_annealing`.
    pub lr_scheduler_name: String,
    /// Epochs at which `multistep_lr` multiplies the rate by `gamma`.
    pub lr_steps: Vec<usize>,
    /// Factor of `multistep_lr`.
    pub gamma: f64,
    /// Last rate of `cosine_annealing`.
    pub min_lr: f64,
    /// Linear warm-up.
    pub use_warmup_lr: bool,
    /// Its epochs.
    pub warmup_epochs: usize,
    /// Evaluate every n epochs (and at the end); 0 = only at the end.
    pub eval_period: usize,
}

/// `[test]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSection {
    /// Images per forward pass when embedding.
    pub ims_per_batch: usize,
    /// L2-normalise before distances.
    pub feat_norm: bool,
    /// Camera rule of the evaluations during training: `market`, `cross`, `any`.
    pub cameras: String,
}

impl Default for Experiment {
    fn default() -> Experiment {
        Experiment {
            seed: 0,
            device: "cpu".to_owned(),
            output_dir: PathBuf::new(),
            mlflow_dir: PathBuf::new(),
            model: ModelSection {
                name: "resnet50".to_owned(),
                last_stride: 1,
                stem_relu: false,
                pretrained: true,
                pretrain_path: PathBuf::new(),
            },
            input: InputSection {
                size_train: [256, 128],
                size_test: [256, 128],
                prob: 0.5,
                re_prob: 0.5,
                pixel_mean: [0.485, 0.456, 0.406],
                pixel_std: [0.229, 0.224, 0.225],
                padding: 10,
                max_pixels: centroids_data::DEFAULT_MAX_PIXELS,
            },
            datasets: DatasetSection {
                names: String::new(),
                root_dir: PathBuf::new(),
                camera_pattern: String::new(),
                holdout: centroids_data::DEFAULT_HOLDOUT,
            },
            dataloader: DataloaderSection { num_workers: 0, num_instance: 4, use_resampling: true },
            solver: SolverSection {
                method: "ctl".to_owned(),
                max_epochs: 120,
                ims_per_batch: 64,
                base_lr: 1e-4,
                weight_decay: 5e-4,
                margin: 0.5,
                soft_margin: false,
                distance_func: "euclidean".to_owned(),
                label_smoothing: 0.1,
                center_lr: 0.5,
                center_loss_weight: 5e-4,
                query_xent_weight: 1.0,
                query_contrastive_weight: 1.0,
                centroid_contrastive_weight: 1.0,
                lr_scheduler_name: "multistep_lr".to_owned(),
                lr_steps: vec![40, 70],
                gamma: 0.1,
                min_lr: 0.0,
                use_warmup_lr: true,
                warmup_epochs: 10,
                eval_period: 5,
            },
            test: TestSection { ims_per_batch: 128, feat_norm: true, cameras: "market".to_owned() },
        }
    }
}

impl Experiment {
    /// Reads a TOML file over the defaults. Relative paths are meant from the working folder, as on
    /// a command line.
    ///
    /// # Errors
    /// A missing or malformed file, an unknown key (with the nearest known one), a wrong type.
    pub fn read(path: &Path) -> Result<Experiment, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Experiment::parse(&text)
            .map_err(|source| Error::Config { path: path.to_owned(), source: source.into() })
    }

    /// [`Experiment::read`] from text.
    ///
    /// # Errors
    /// See there.
    pub fn parse(text: &str) -> Result<Experiment, Error> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| Error::Toml {
            reason: error.to_string().trim_end().to_owned(),
        })?;
        Experiment::default().overlaid(&table)
    }

    /// Applies `KEY VALUE` pairs as the reference takes them: `SOLVER.BASE_LR 3.5e-4`.
    ///
    /// Values are TOML or Python literals (`True`, `(40, 70)`), anything else is a string.
    ///
    /// # Errors
    /// A key without value, an unknown key, a wrong type.
    pub fn with_pairs<S: AsRef<str>>(self, pairs: &[S]) -> Result<Experiment, Error> {
        pairs.chunks(2).try_fold(self, |experiment, pair| match pair {
            [key, value] => experiment.overlaid(&overlay::pair(key.as_ref(), value.as_ref())),
            rest => Err(Error::PairWithoutValue { key: rest[0].as_ref().to_owned() }),
        })
    }

    /// The experiment as TOML, complete.
    ///
    /// # Errors
    /// What TOML cannot hold: paths that are not UTF-8, numbers above `i64::MAX`.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| Error::Toml { reason: error.to_string() })
    }

    fn overlaid(&self, table: &toml::Table) -> Result<Experiment, Error> {
        let mut all = toml::Table::try_from(self)
            .map_err(|error| Error::Toml { reason: error.to_string() })?;
        overlay::apply(&mut all, table)?;
        all.try_into()
            .map_err(|error: toml::de::Error| Error::Toml { reason: error.message().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_survive_toml() {
        let experiment = Experiment::default();
        assert_eq!(Experiment::parse(&experiment.to_toml().unwrap()).unwrap(), experiment);
    }

    #[test]
    fn both_spellings_are_read_and_integers_become_floats() {
        let text = "[solver]\nbase_lr = 1\nGAMMA = 0.5\n";
        let experiment = Experiment::parse(text).unwrap();
        assert_eq!((experiment.solver.base_lr, experiment.solver.gamma), (1.0, 0.5));
    }

    #[test]
    fn pairs_follow_the_reference() {
        let pairs = ["SOLVER.LR_STEPS", "(8,14)", "INPUT.SIZE_TEST", "[64, 32]"];
        let more = ["DATASETS.ROOT_DIR", "/data/x", "SOLVER.USE_WARMUP_LR", "False"];
        let experiment =
            Experiment::default().with_pairs(&pairs).unwrap().with_pairs(&more).unwrap();
        assert_eq!(experiment.solver.lr_steps, [8, 14]);
        assert_eq!(experiment.input.size_test, [64, 32]);
        assert_eq!(experiment.datasets.root_dir, Path::new("/data/x"));
        assert!(!experiment.solver.use_warmup_lr);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| Experiment::parse(text).unwrap_err().to_string();
        assert!(message("[solver]\nbase_lrr = 1.0").contains("`solver.base_lr`"));
        assert!(message("[sovler]\nbase_lr = 1.0").contains("`solver`"));
        assert!(message("[solver]\nbase_lr = \"fast\"").contains("solver.base_lr"));
        assert!(message("[solver]\nmax_epochs = 1.5").contains("whole number"));
        assert!(message("[solver]\nmax_epochs = -1").contains("max_epochs"));
        assert!(message("[input]\nsize_train = [64]").contains("size_train"));
        assert!(message("[solver]\nbase_lr = 1\nBASE_LR = 2").contains("twice"));
        assert!(message("[solver]\n[SOLVER]\n").contains("twice"));
        assert!(message("solver = 3").contains("`solver`"));
        assert!(Experiment::default().with_pairs(&["SEED"]).is_err());
    }
}
