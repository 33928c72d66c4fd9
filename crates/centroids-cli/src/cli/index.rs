//! `centroids index`

use std::path::PathBuf;

use centroids::data::Split;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{LayoutArgs, MetricArgs, PidFrom};
use crate::values;

/// Keep a gallery that lives: images come, go and change their identity, and nothing is lost
///
/// A gallery is one file (SQLite inside). Every identity has a centroid that is right at once after
/// each change; what a command reports as done survives a crash. Several processes may read and
/// write one gallery. `centroids search --store` searches it.
///
/// Where one machine is too small, give milvus://host:port/name instead of a file.
///
/// Examples:
///   centroids index create shop.gallery --model runs/shop
///   centroids index add shop.gallery products/
///   centroids index list shop.gallery
///   centroids search --store shop.gallery --image photo.jpg
///   centroids index info milvus://localhost:19530/shop
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct IndexArgs {
    #[command(subcommand)]
    pub(crate) command: IndexCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexCommand {
    Create(CreateIndexArgs),
    Add(AddIndexArgs),
    Import(ImportIndexArgs),
    Remove(RemoveIndexArgs),
    Relabel(RelabelIndexArgs),
    Merge(MergeIndexArgs),
    Quarantine(QuarantineIndexArgs),
    Release(QuarantineIndexArgs),
    List(ListIndexArgs),
    Info(InfoIndexArgs),
    Verify(VerifyIndexArgs),
    Export(ExportIndexArgs),
    Compact(CompactIndexArgs),
}

/// Make an empty gallery, for the vectors of one model
///
/// Examples:
///   centroids index create shop.gallery --model runs/shop
///   centroids index create shop.gallery --dim 2048 --precision f16
///   centroids index create shop.gallery --model runs/shop --sub-centroids 3
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct CreateIndexArgs {
    /// File to make.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Run folder, checkpoint or model file, or the reference's .ckpt, whose vectors it will hold.
    #[arg(long, value_name = "RUN|FILE", required_unless_present = "dim")]
    pub(crate) model: Option<PathBuf>,
    /// Dimensions of a vector, for vectors of a model that is not here.
    #[arg(long, value_name = "N", conflicts_with = "model")]
    pub(crate) dim: Option<usize>,
    #[command(flatten)]
    pub(crate) kept: KeptArgs,
}

/// How a new gallery keeps and compares vectors.
#[derive(Args, Debug)]
pub(crate) struct KeptArgs {
    /// Width of the numbers on the disk.
    #[arg(long, default_value = "f32", value_name = "WIDTH")]
    pub(crate) precision: Width,
    /// Days after which an image counts half in its centroid; images then need a time.
    #[arg(long, value_name = "DAYS")]
    pub(crate) half_life: Option<f64>,
    /// Centroids that an identity of several looks may have; the nearest counts in a search.
    #[arg(long, value_name = "M", default_value_t = 1)]
    pub(crate) sub_centroids: usize,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
}

/// Width of a number.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Width {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
}

/// Add images or embedding files
///
/// Images are embedded with the gallery's model. Batches are durable one by one and what is there
/// is passed over, so an addition that was broken off is repeated to complete it. The same picture
/// twice, under whatever name, is one member; so is the same row of an embedding file.
///
/// Examples:
///   centroids index add shop.gallery products/ --attribute shop=north
///   centroids index add shop.gallery embeddings.safetensors
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct AddIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Images, folders, lists (.txt), manifests (.csv, .jsonl), dataset folders, or embedding files
    /// (.safetensors, .npy, .parquet).
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Run folder, checkpoint or model file [default: the one named in the gallery]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// What names an image's identity, as in `centroids embed`.
    #[arg(long, value_name = "WHAT", conflicts_with = "pid_pattern")]
    pub(crate) pid_from: Option<PidFrom>,
    /// Regular expression on the file name whose one group is the identity.
    #[arg(long, value_name = "REGEX")]
    pub(crate) pid_pattern: Option<String>,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    /// The split of a dataset.
    #[arg(long, value_parser = values::split())]
    pub(crate) split: Option<Split>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}

/// What all members of one addition have in common.
#[derive(Args, Debug)]
pub(crate) struct CommonArgs {
    /// What filters will look at; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::attribute)]
    pub(crate) attribute: Vec<(String, Value)>,
    /// Share in the centroids.
    #[arg(long, default_value_t = 1.0, value_name = "W")]
    pub(crate) weight: f64,
    /// When the images were taken: now, or when their files were last changed.
    #[arg(long, value_name = "WHEN")]
    pub(crate) time: Option<TimeChoice>,
    /// Replace members of the same path whose embedding differs (otherwise: fail).
    #[arg(long)]
    pub(crate) replace: bool,
    /// Take vectors of another model.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Where the time of an image comes from.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TimeChoice {
    /// The clock.
    Now,
    /// The file.
    Modified,
}

/// Make a gallery of an embedding file, or add it to one
///
/// Examples:
///   centroids index import shop.gallery gallery.safetensors
///   centroids index import shop.gallery members.parquet
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportIndexArgs {
    /// The gallery; made if it is not there.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// .safetensors, .npy (or a folder with embeddings.npy and paths.npy), or .parquet.
    #[arg(value_name = "INPUT")]
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) kept: KeptArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Which members are meant.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichArgs {
    /// By path or external key.
    #[arg(long, num_args = 1.., value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// By number.
    #[arg(long, num_args = 1.., value_name = "ID")]
    pub(crate) id: Vec<i64>,
    /// All of these identities, by name or pid.
    #[arg(long, num_args = 1.., value_name = "CLASS", allow_negative_numbers = true)]
    pub(crate) class: Vec<String>,
}

/// Take members out
///
/// Examples:
///   centroids index remove shop.gallery --key products/7/a.jpg
///   centroids index remove shop.gallery --class shoe 7
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RemoveIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
}

/// Give members another identity
///
/// Example:
///   centroids index relabel shop.gallery --id 17 18 --to shoe
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RelabelIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// The identity, by name or pid; a new one if there is none.
    #[arg(long, value_name = "CLASS")]
    pub(crate) to: String,
}

/// Make one identity of several
///
/// Example:
///   centroids index merge shop.gallery --class shoe boot --into footwear
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct MergeIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The identities, by name or pid.
    #[arg(long, num_args = 1.., required = true, value_name = "CLASS")]
    pub(crate) class: Vec<String>,
    /// What they become.
    #[arg(long, value_name = "CLASS")]
    pub(crate) into: String,
}

/// Keep members without counting them (quarantine), or count them again (release)
///
/// Example:
///   centroids index quarantine shop.gallery --key products/7/blurred.jpg
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct QuarantineIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
}

/// Show identities, or the members of one
///
/// Examples:
///   centroids index list shop.gallery
///   centroids index list shop.gallery --class shoe
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ListIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show this identity's members, by name or pid.
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Begin after this pid, or member number.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) after: Option<i64>,
    /// Lines to show; 0 = all.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: usize,
}

/// Show what a gallery is and how much is in it
///
/// Example:
///   centroids index info shop.gallery --json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct InfoIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Compare every sum with its members; exit code 1 if something is wrong
///
/// Example:
///   centroids index verify shop.gallery --repair
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct VerifyIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Make sums anew where they differ.
    #[arg(long)]
    pub(crate) repair: bool,
}

/// Write the members into a file
///
/// Parquet holds everything; an embedding file holds the members that count, without weights, times
/// and attributes.
///
/// Examples:
///   centroids index export shop.gallery --out members.parquet
///   centroids index export shop.gallery --out gallery.safetensors
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// File to write: .parquet, .safetensors or .npy.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Give the space of removed members back to the disk
///
/// Example:
///   centroids index compact shop.gallery
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompactIndexArgs {
    /// The gallery.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
