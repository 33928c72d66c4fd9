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
/// Many workers embed one list in parts: all are started with the same inputs, `--shards` and
/// `--out-dir`, each does its share and skips what is complete, then `--merge` joins the parts into
/// the file that one process would have written, byte for byte. See docs/scale.md.
///
/// Examples:
///   centroids embed --model runs/omniglot products/ --out gallery.safetensors
///   centroids embed --model runs/market --split query data/market1501 --out query.safetensors
///   centroids embed --model best.safetensors a.jpg b.jpg --out two.safetensors
///   centroids embed --model runs/shop products/ --pid-pattern '^([^_]+)_' --centroids --out shop/
///   centroids embed --model runs/shop shards/*.tar --shards 64 --out-dir parts --shard 3/8
///   centroids embed --status parts
///   centroids embed --merge parts --out gallery.safetensors
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EmbedArgs {
    /// Images, folders (<identity>/<image>, or images directly), lists (.txt, a path per line),
    /// manifests (.csv, .jsonl), tar archives (.tar, as WebDataset packs them) or dataset folders.
    #[arg(required_unless_present_any = ["urls", "status", "merge"], value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Run folder (its best checkpoint), checkpoint or model file, or the reference's .ckpt.
    #[arg(long, value_name = "RUN|FILE", required_unless_present_any = ["status", "merge"])]
    pub(crate) model: Option<PathBuf>,
    /// File to write, .safetensors or .npy, or a folder for embeddings.npy and paths.npy.
    #[arg(long, value_name = "FILE|DIR", required_unless_present_any = ["out_dir", "status"])]
    pub(crate) out: Option<PathBuf>,
    /// List of images in an object store: a URL per line (s3://, gs://, az://, file:///), then
    /// optionally a tab and the identity, a tab and the camera.
    #[arg(long, value_name = "LIST")]
    pub(crate) urls: Option<PathBuf>,
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
    #[command(flatten)]
    pub(crate) bulk: BulkArgs,
}

/// Many workers, one list.
#[derive(Args, Debug)]
#[command(next_help_heading = "Embedding in parts")]
pub(crate) struct BulkArgs {
    /// Cut the list into N parts, whatever the number of workers; a part's vectors must fit in memory.
    #[arg(long, value_name = "N", requires = "out_dir", value_parser = clap::value_parser!(u32).range(1..=99_999))]
    pub(crate) shards: Option<u32>,
    /// Folder of the parts: part-00012.safetensors and part-00012.json.
    #[arg(long, value_name = "DIR", requires = "shards", conflicts_with_all = ["out", "centroids"])]
    pub(crate) out_dir: Option<PathBuf>,
    /// Do the parts of worker i of n, i from 0 [default: as Slurm, mpirun, Kubernetes or
    /// RANK/WORLD_SIZE say; else all parts]
    #[arg(long, value_name = "I/N", requires = "out_dir")]
    pub(crate) shard: Option<String>,
    /// Say which parts of a folder are complete, missing or damaged; fails unless all are complete.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["inputs", "urls", "model", "out", "out_dir", "centroids", "merge"])]
    pub(crate) status: Option<PathBuf>,
    /// Join the complete parts of a folder into --out (.safetensors; with --centroids any kind).
    #[arg(long, value_name = "DIR", requires = "out", conflicts_with_all = ["inputs", "urls", "model", "out_dir"])]
    pub(crate) merge: Option<PathBuf>,
}

/// What names an image's identity.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PidFrom {
    /// The folder it lies in.
    Folder,
    /// Its path: every image is an identity of its own.
    Image,
}
