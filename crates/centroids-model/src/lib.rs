//! Everything with tensors: backbones, losses, training, checkpoints, embedding. The only crate
//! that names Burn.
//!
//! A [`Trainer`] turns image records into a [`Checkpoint`]; an [`Embedder`] turns a checkpoint and
//! images into vectors. Between them stands [`ReidModel`]:
//!
//! ```text
//! images ─▶ Network ─▶ mean over the map ─▶ feature ─┬─▶ triplet, centroid triplet, centre loss
//!                                                    └─▶ BNNeck ─▶ embedding ─▶ classifier ─▶ CE
//! ```
//!
//! The CPU back end (Burn Flex) is always there; `cuda`, `rocm`, `vulkan`, `metal` are features.

mod backbone;
mod checkpoint;
mod device;
mod embedder;
mod error;
mod explain;
mod head;

pub mod kernels;
pub mod layers;
pub mod loss;
mod memory;
mod normal;
pub mod onnx;
mod optimizer;
mod precision;
mod reid_model;
mod schedule;
mod threads;
mod trained_model;
mod trainer;
pub mod weights;
mod workers;

pub use backbone::{Backbone, BackboneOptions, MobileNetV2, Network, ResNet};
pub use burn::tensor::Device;
pub use checkpoint::{Checkpoint, IMAGE_SIDES, Position};
pub use device::{COMPILED_GPUS, parse_device};
pub use embedder::{EmbedOptions, Embedded, Embedder};
pub use error::Error;
pub use explain::LocatedEmbedding;
pub use head::Head;
pub use memory::keep_freed_memory;
pub use optimizer::{Optimizer, OptimizerConfig};
pub use precision::Precision;
pub use reid_model::{ModelSpec, ReidModel};
pub use schedule::{Decay, Schedule};
pub use threads::{threads, use_threads};
pub use trained_model::TrainedModel;
pub use trainer::{
    EpochEnd, EpochMetrics, EpochSums, LossScale, StepReport, StepTerms, TrainConfig, Trainer,
};
pub use workers::{Workers, alone};
