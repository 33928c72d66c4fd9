//! `centroids calibrate`

use std::path::PathBuf;

use centroids::core::{CameraRule, Unit};
use clap::Args;

use super::{MetricArgs, UnknownArgs};
use crate::values;

/// Learn from which distance on a query is unknown, and how sure a hit is
///
/// From a validation split, which must not be the set that is reported on. The threshold lets pass no
/// more than a share --target-fpir of the queries that have no mate in the gallery (false-positive
/// identification rate); a second one is for pairs (--target-fmr: false match rate). A logistic curve
/// turns the distance of the nearest hit into the probability that it is right.
///
/// `centroids search --calibration FILE` then says of each query how sure its first hit is, and which
/// are unknown. A threshold is good for galleries like the one it was learned from: it belongs to one
/// model, unit and metric, and in a larger gallery more unknown queries pass.
///
/// Examples:
///   centroids calibrate --query val_q.safetensors --gallery val_g.safetensors --out cal.json
///   centroids calibrate --query q.safetensors --gallery g.safetensors --target-fpir 0.05 --out c.json
///   centroids search --gallery gallery.safetensors --image photo.jpg --calibration cal.json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct CalibrateArgs {
    /// Embedding file of the validation queries.
    #[arg(long, value_name = "FILE")]
    pub(crate) query: PathBuf,
    /// Embedding file of the validation gallery.
    #[arg(long, value_name = "FILE")]
    pub(crate) gallery: PathBuf,
    /// What is ranked.
    #[arg(long, default_value = "centroid", value_parser = values::unit())]
    pub(crate) unit: Unit,
    /// Which images do not count because of their camera.
    #[arg(long, default_value = "market", value_parser = values::camera_rule(), value_name = "RULE")]
    pub(crate) cameras: CameraRule,
    /// Share of unknown queries that may be answered.
    #[arg(long, default_value_t = 0.01, value_name = "RATE", value_parser = values::rate)]
    pub(crate) target_fpir: f64,
    /// Share of pairs of two identities that may be taken for one.
    #[arg(long, default_value_t = 0.001, value_name = "RATE", value_parser = values::rate)]
    pub(crate) target_fmr: f64,
    /// Write the calibration here (.json).
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) unknown: UnknownArgs,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
}
