//! `centroids evaluate`

use std::path::PathBuf;

use centroids::core::{CameraRule, Preset, Unit};
use clap::Args;

use super::{LayoutArgs, MetricArgs};
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
/// `--preset` repeats the reference's centroid evaluation: paper as it was meant,
/// paper-as-published with its fault, which lets cameras leak.
///
/// Examples:
///   centroids evaluate --run runs/omniglot
///   centroids evaluate --run runs/market --dataset data/duke --layout dukemtmcreid
///   centroids evaluate --query q.safetensors --gallery g.safetensors --cameras all --json
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
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}
