//! `centroids data`

use std::path::PathBuf;

use centroids::data::synth::SynthConfig;
use clap::{Args, Subcommand};

use super::{LayoutArgs, PrepareArgs};

/// Look at a dataset, or make one, or prepare a public one
///
/// Examples:
///   centroids data inspect data/market1501
///   centroids data synth data/catalogue
///   centroids data prepare deepfashion data/consumer_to_shop
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    Inspect(InspectArgs),
    Synth(SynthArgs),
    Prepare(PrepareArgs),
}

/// Show identities, images and cameras of every split, and everything odd
///
/// Example:
///   centroids data inspect data/market1501 --deep
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct InspectArgs {
    /// Dataset folder or manifest.
    #[arg(value_name = "DIR")]
    pub(crate) root: PathBuf,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    /// Open every file too: find empty ones, files that are no images, wrong extensions.
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Draw a catalogue of made-up products, seen by several cameras, in the layout of Market-1501
///
/// The same numbers and seed give the same files. Train and test products are different ones.
///
/// Example:
///   centroids data synth data/catalogue --train-ids 300 --seed 7
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct SynthArgs {
    /// Folder to make.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Products to learn from.
    #[arg(long, default_value_t = SynthConfig::default().train_ids, value_name = "N")]
    pub(crate) train_ids: usize,
    /// Products to search.
    #[arg(long, default_value_t = SynthConfig::default().test_ids, value_name = "N")]
    pub(crate) test_ids: usize,
    /// Cameras that see every product.
    #[arg(long, default_value_t = SynthConfig::default().cameras, value_name = "N")]
    pub(crate) cameras: usize,
    /// Pictures by each camera of each product.
    #[arg(long, default_value_t = SynthConfig::default().images_per_camera, value_name = "N")]
    pub(crate) images_per_camera: usize,
    /// Gallery pictures of further products, which no query shows.
    #[arg(long, default_value_t = SynthConfig::default().distractors, value_name = "N")]
    pub(crate) distractors: usize,
    /// Gallery pictures without a product, which an evaluation ignores.
    #[arg(long, default_value_t = SynthConfig::default().junk, value_name = "N")]
    pub(crate) junk: usize,
    /// Height and width in pixels.
    #[arg(long, num_args = 2, default_values_t = SynthConfig::default().size, value_names = ["H", "W"])]
    pub(crate) size: Vec<usize>,
    /// Seed of everything.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}
