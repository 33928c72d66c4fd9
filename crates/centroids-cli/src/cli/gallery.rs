//! `centroids gallery`

use std::path::PathBuf;

use centroids::core::CameraRule;
use centroids::core::doctor::Options;
use clap::{Args, Subcommand};

use super::MetricArgs;
use crate::values;

/// Look after a gallery: find what is wrong with it
///
/// Example:
///   centroids gallery doctor gallery.safetensors --out doctor/
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct GalleryArgs {
    #[command(subcommand)]
    pub(crate) command: GalleryCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GalleryCommand {
    Doctor(DoctorArgs),
}

/// Find outliers, wrong labels, duplicates, and classes that are one or several
///
/// Each image is compared with the centroid of its class without it, with the centroids of the other
/// classes and with all images. What is found is a suspicion of the model, no verdict.
///
/// outliers       far from their class: robust z of the logarithm of the distance
/// mislabelled    nearer to another class; confirmed if more of the nearest images are of that one
/// duplicates     under two labels, under one, and with --against in both files (leakage)
/// merges         two classes whose members are as near to the other as to their own
/// splits         classes in two heaps
/// effect         rank-1 when the worst images are taken out of the gallery. The queries stay the
///                same: without the worst queries it would rise by itself
///
/// `--out DIR` writes index.html (the worst of each kind with pictures, needs no other file),
/// findings.json (everything) and keep.csv (a verdict per image, to be edited).
///
/// Examples:
///   centroids gallery doctor gallery.safetensors --out doctor/
///   centroids gallery doctor gallery.safetensors --against query.safetensors --cameras any
///   centroids gallery doctor gallery.safetensors --against train.safetensors --json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct DoctorArgs {
    /// Embedding file.
    #[arg(value_name = "FILE")]
    pub(crate) gallery: PathBuf,
    /// A second embedding file (queries or train split): find images that are in both.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// With --against: which images do not count because of their camera when rank-1 is measured.
    #[arg(long, default_value = "market", value_parser = values::camera_rule(), value_name = "RULE")]
    pub(crate) cameras: CameraRule,
    /// Findings shown of each kind; findings.json and --json have all.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) worst: usize,
    /// Images at most this far apart are duplicates [default: estimated from nearest neighbours]
    #[arg(long, value_name = "DISTANCE", value_parser = values::not_negative)]
    pub(crate) duplicate_distance: Option<f64>,
    /// Pairs of duplicates listed of each kind; all are counted.
    #[arg(long, default_value_t = Options::default().max_pairs, value_name = "N")]
    pub(crate) max_pairs: usize,
    /// Robust z from which an image is an outlier.
    #[arg(long, default_value_t = Options::default().outlier_z, value_name = "Z",
        value_parser = values::not_negative)]
    pub(crate) outlier_z: f64,
    /// Nearest images that confirm a wrong label.
    #[arg(long, default_value_t = Options::default().voters, value_name = "K")]
    pub(crate) voters: usize,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
    /// Write index.html, findings.json and keep.csv into this folder; made if missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
