//! `centroids evaluate`

use std::path::PathBuf;

use centroids::core::{CameraRule, Preset, Unit};
use clap::Args;

use super::{LayoutArgs, MetricArgs, RefineArgs, StatisticsArgs};
use crate::values::{self, OneOrAll};

/// Measure a search: mAP, mINP, rank-k
///
/// From two embedding files, or from a run, whose dataset is embedded first and whose settings are
/// the defaults of --cameras, --distance and --normalize.
///
/// `--unit` says what is ranked: instance (images), nearest and centroid (identities). An identity
/// mAP is no image mAP: only figures of the same unit and camera rule can be compared, and nearest
/// beside centroid is the honest gain of centroids. `--cameras`: market (images of the query's own
/// identity by the query's camera do not count; the standard), cross (no image by that camera
/// counts), any.
///
/// Beside the metrics it says what a gallery of images and one of centroids cost: vectors, bytes,
/// and measured seconds per search.
///
/// `--visualize DIR` draws the rankings: a PNG per query (query black, its identity green, others
/// red; a centroid is shown by its nearest member, marked C) and index.html, hardest query first.
/// Of several units or rules each gets a folder in DIR.
///
/// `--report FILE.html` writes everything as one file to look at or to send.
///
/// `--preset` repeats the reference's centroid evaluation: paper as it was meant,
/// paper-as-published with its fault, which lets cameras leak.
///
/// `--bootstrap`, `--against`: what other queries might have made of a figure, and whether one model is
/// better than another by more than that. `--verification`, `--open-set`: what thresholds on the
/// distance do.
///
/// Examples:
///   centroids evaluate --run runs/omniglot
///   centroids evaluate --run runs/market --dataset data/duke --layout dukemtmcreid
///   centroids evaluate --run runs/market --unit instance --visualize pictures/
///   centroids evaluate --query q.safetensors --gallery g.safetensors --cameras all --json
///   centroids evaluate --query q.safetensors --gallery g.safetensors --rerank
///   centroids evaluate --run runs/a --per-query --json > a.json
///   centroids evaluate --run runs/b --against a.json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EvaluateArgs {
    /// Embedding file of the queries.
    #[arg(long, value_name = "FILE", requires = "gallery", required_unless_present = "run")]
    pub(crate) query: Option<PathBuf>,
    /// Embedding file of the gallery.
    #[arg(long, value_name = "FILE", requires = "query")]
    pub(crate) gallery: Option<PathBuf>,
    /// Run folder: evaluate its best checkpoint.
    #[arg(long, value_name = "RUN", conflicts_with = "query")]
    pub(crate) run: Option<PathBuf>,
    /// With --run: another dataset than the run's own.
    #[arg(long, value_name = "DIR", requires = "run")]
    pub(crate) dataset: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    /// What is ranked.
    #[arg(long, default_value = "all", value_parser = values::units())]
    pub(crate) unit: OneOrAll<Unit>,
    /// Which images do not count because of their camera [default: market, with --run the run's]
    #[arg(long, value_parser = values::camera_rules(), value_name = "RULE")]
    pub(crate) cameras: Option<OneOrAll<CameraRule>>,
    /// The reference's centroid protocol instead.
    #[arg(long, conflicts_with_all = ["unit", "cameras"], value_parser = values::preset())]
    pub(crate) preset: Option<Preset>,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
    #[command(flatten)]
    pub(crate) refine: RefineArgs,
    /// The ranks that are shown.
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_values_t = [1, 5, 10, 20, 50],
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ranks: Vec<u32>,
    /// Also show precision@k, recall@k (k up to 1000), R-precision and MAP@R.
    #[arg(long)]
    pub(crate) precision: bool,
    /// Write a page: tables, curves, storage and time, the hardest queries with pictures.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Draw the rankings into this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "preset")]
    pub(crate) visualize: Option<PathBuf>,
    /// Hits in each picture.
    #[arg(long, default_value_t = 10, value_name = "K", requires = "visualize",
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) visualize_topk: u32,
    /// Draw no more than the first N queries [default: all]
    #[arg(long, value_name = "N", requires = "visualize")]
    pub(crate) visualize_max_number: Option<u32>,
    /// Height and width of each picture [default: input.size_test of the run, else 256 128]
    #[arg(long, num_args = 2, value_names = ["H", "W"], requires = "visualize",
        value_parser = clap::value_parser!(u32).range(16..=1024))]
    pub(crate) visualize_size: Option<Vec<u32>>,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) statistics: StatisticsArgs,
}
