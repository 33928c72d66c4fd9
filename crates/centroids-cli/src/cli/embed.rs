//! `centroids embed`

use std::path::PathBuf;

use centroids::data::Split;
use clap::{Args, ValueEnum};

use super::LayoutArgs;
use crate::values;

/// Turn images into embeddings
///
/// The output file holds one row per readable image, in the order of the inputs: vector, identity,
/// camera, path. `.safetensors` keeps everything; a folder or `.npy` gets the reference's pair of
/// files, `embeddings.npy` and `paths.npy`. With `--centroids` a row is the mean of an identity's
/// images, not normalised, ascending by identity.
///
/// Examples:
///   centroids embed --model runs/omniglot products/ --out gallery.safetensors
///   centroids embed --model runs/market --split query data/market1501 --out query.safetensors
///   centroids embed --model best.safetensors a.jpg b.jpg --out two.safetensors
///   centroids embed --model runs/shop products/ --pid-pattern '^([^_]+)_' --centroids --out shop/
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EmbedArgs {
    /// Images, folders (<identity>/<image>, or images directly), lists (.txt, a path per line),
    /// manifests (.csv, .jsonl) or dataset folders.
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Run folder (its best checkpoint), checkpoint or model file, or the reference's .ckpt.
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: PathBuf,
    /// File to write, .safetensors or .npy, or a folder for embeddings.npy and paths.npy.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) out: PathBuf,
    /// Write one row per identity, the mean of its images (the reference's USE_CENTROIDS).
    #[arg(long)]
    pub(crate) centroids: bool,
    /// What names an image's identity: its folder, or nothing, so that every image is its own
    /// [default: the folder in a folder of folders, else the dataset, else every image its own]
    #[arg(long, value_name = "WHAT", conflicts_with = "pid_pattern")]
    pub(crate) pid_from: Option<PidFrom>,
    /// Regular expression on the file name whose one group is the identity, e.g. '^([^_]+)_' for
    /// the part before the first underscore.
    #[arg(long, value_name = "REGEX")]
    pub(crate) pid_pattern: Option<String>,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    /// The split of a dataset.
    #[arg(long, value_parser = values::split())]
    pub(crate) split: Option<Split>,
    /// Images per forward pass; does not change the vectors [default: as in training]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) batch_size: Option<u32>,
    /// Fail, writing nothing, when an image cannot be read (otherwise: report and leave it out).
    #[arg(long)]
    pub(crate) strict: bool,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}

/// What names an image's identity.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PidFrom {
    /// The folder it lies in.
    Folder,
    /// Its path: every image is an identity of its own.
    Image,
}
