//! `centroids embed`

use std::path::PathBuf;

use centroids::data::Split;
use clap::Args;

use super::LayoutArgs;
use crate::values;

/// Turn images into embeddings
///
/// The output file holds one row per readable image, in the order of the inputs: vector, identity,
/// camera, path. `.safetensors` keeps everything; `.npy` writes the reference's pair of files.
///
/// Examples:
///   centroids embed --model runs/omniglot products/ --out gallery.safetensors
///   centroids embed --model runs/market --split query data/market1501 --out query.safetensors
///   centroids embed --model best.safetensors a.jpg b.jpg --out two.safetensors
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
    /// File to write: .safetensors or .npy.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
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
