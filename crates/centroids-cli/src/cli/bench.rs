//! `centroids bench`

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Measure how fast it works on this machine
///
/// Examples:
///   centroids bench train --data data/DukeMTMC-reID
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Train(BenchTrainArgs),
}

/// Train for the clock: the time of every step, identities and images per second
///
/// The performance run of the reference's NPU port: ResNet-50 at 256×128, 16 identities × 4 images,
/// rate 3.5e-4, two epochs, no evaluation, nothing saved. Trailing KEY VALUE pairs change any of
/// it.
///
/// Prints the port's line per step and its summary. A step is images to the device, forward,
/// backward and both optimisers, without loading, as the port times it; its FPS counts identities,
/// so images per second are named beside it, with and without loading. The first 4 steps warm up
/// and are not counted.
///
/// Examples:
///   centroids bench train --data data/DukeMTMC-reID
///   centroids bench train --data data/market1501 --steps 20 --out logs MODEL.NAME resnet18
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BenchTrainArgs {
    /// Dataset folder or manifest; the layout is recognised.
    #[arg(long, alias = "data_path", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Epochs.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) epochs: usize,
    /// Stop after this many steps, warm-up included.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(5..))]
    pub(crate) steps: Option<u32>,
    /// Devices that train together; more than one is not possible yet.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) devices: u32,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Folder for the port's case log, centroids-reid_bs<P>_1p_acc.log.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Settings as KEY VALUE pairs, e.g. MODEL.NAME resnet18; they come last and win.
    #[arg(value_name = "KEY VALUE", allow_negative_numbers = true)]
    pub(crate) pairs: Vec<String>,
}
