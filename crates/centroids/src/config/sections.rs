//! The sections of an experiment and their defaults, which are the reference's.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSection {
    /// `resnet18`, `34`, `50`, `101`, `152`, `resnet50_ibn_a`, `resnet101_ibn_a`, `mobilenet_v2`
    pub name: String,
    /// ResNets: stride of the last stage, 1 or 2.
    pub last_stride: usize,
    /// ResNets: ReLU after the stem; the reference has none.
    pub stem_relu: bool,
    /// Whether batch norms use their running statistics in training too, and leave them as they are.
    pub frozen_norm: bool,
    /// Whether training starts from the weights at `pretrain_path`, if that is not empty.
    pub pretrained: bool,
    /// File with the backbone's weights (`.pth`, `.safetensors`); empty = random ones. With
    /// `resume_training` or `test.only_test` the checkpoint to continue or to test.
    pub pretrain_path: PathBuf,
    /// Whether the run that the checkpoint at `pretrain_path` belongs to is continued.
    pub resume_training: bool,
    /// Whether the centroid figures (instead of the instance ones) choose the best checkpoint.
    pub use_centroids: bool,
    /// Whether `test.cameras` holds for identities too; otherwise their cameras are ignored.
    pub keep_camid_centroids: bool,
}

impl Default for ModelSection {
    fn default() -> ModelSection {
        ModelSection {
            name: "resnet50".to_owned(),
            last_stride: 1,
            stem_relu: false,
            frozen_norm: false,
            pretrained: true,
            pretrain_path: PathBuf::new(),
            resume_training: false,
            use_centroids: false,
            keep_camid_centroids: true,
        }
    }
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

impl Default for InputSection {
    fn default() -> InputSection {
        InputSection {
            size_train: [256, 128],
            size_test: [256, 128],
            prob: 0.5,
            re_prob: 0.5,
            pixel_mean: [0.485, 0.456, 0.406],
            pixel_std: [0.229, 0.224, 0.225],
            padding: 10,
            max_pixels: centroids_data::DEFAULT_MAX_PIXELS,
        }
    }
}

/// `[datasets]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSection {
    /// Layout, e.g. `market1501`; empty = recognised. Several with commas between them train
    /// together.
    pub names: String,
    /// The dataset's folder (or manifest file), or the folder it lies in.
    pub root_dir: PathBuf,
    /// Layout `coco`: the training annotations; empty = found.
    pub json_train_path: PathBuf,
    /// Layout `folder`: regular expression on the file name whose one group is the camera.
    pub camera_pattern: String,
    /// Layout `folder` without splits: share of the identities kept for testing.
    pub holdout: f64,
}

impl Default for DatasetSection {
    fn default() -> DatasetSection {
        DatasetSection {
            names: String::new(),
            root_dir: PathBuf::new(),
            json_train_path: PathBuf::new(),
            camera_pattern: String::new(),
            holdout: centroids_data::DEFAULT_HOLDOUT,
        }
    }
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

impl Default for DataloaderSection {
    fn default() -> DataloaderSection {
        DataloaderSection { num_workers: 0, num_instance: 4, use_resampling: true }
    }
}

/// `[solver]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SolverSection {
    /// `ctl` (with the centroid triplet loss) or `base` (without).
    pub method: String,
    /// Epochs.
    pub max_epochs: usize,
    /// Identities per batch of one process (P); its images per batch are P × K.
    pub ims_per_batch: usize,
    /// With several processes: whether mining and leave-one-out centroids see the batches of all
    /// processes; the reference's see those of their own.
    pub gather_embeddings: bool,
    /// Adam's rate after the warm-up. It is not changed by the number of processes.
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
    /// What chooses the best checkpoint: `mAP`, `mINP`, or `Top-k` with k from 1 to 50.
    pub monitor_metric_name: String,
    /// Whether the best value is the largest (`max`) or the smallest (`min`).
    pub monitor_metric_mode: String,
}

impl Default for SolverSection {
    fn default() -> SolverSection {
        SolverSection {
            method: "ctl".to_owned(),
            max_epochs: 120,
            ims_per_batch: 64,
            gather_embeddings: false,
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
            monitor_metric_name: "mAP".to_owned(),
            monitor_metric_mode: "max".to_owned(),
        }
    }
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
    /// Test the checkpoint at `model.pretrain_path` instead of training.
    pub only_test: bool,
    /// Write a picture of every query's ranking after the last evaluation.
    pub visualize: bool,
    /// Hits per picture.
    pub visualize_topk: usize,
    /// Pictures at most.
    pub visualize_max_number: usize,
}

impl Default for TestSection {
    fn default() -> TestSection {
        TestSection {
            ims_per_batch: 128,
            feat_norm: true,
            cameras: "market".to_owned(),
            only_test: false,
            visualize: false,
            visualize_topk: 10,
            visualize_max_number: 1_000_000,
        }
    }
}
