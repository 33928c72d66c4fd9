//! `centroids bench`

use std::path::PathBuf;

use centroids::model::Backbone;
use clap::{Args, Subcommand};

use crate::values;

/// Measure how fast this machine is
///
/// Examples:
///   centroids bench train --data data/DukeMTMC-reID
///   centroids bench embed --model runs/market
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Train(BenchTrainArgs),
    Embed(BenchEmbedArgs),
}

/// Measure images per second of embedding, by the size of the batch
///
/// From prepared images in memory to vectors in memory; decoding and resizing are not in it, and no
/// images are needed. Two batches are run before anything is measured; a repeat is one batch, or as
/// many as fill half a second. Nothing else should run on the machine.
///
/// Examples:
///   centroids bench embed --model runs/market
///   centroids bench embed --backbone resnet50 --size 256 128 --batches 1 16 --threads 1
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BenchEmbedArgs {
    /// Run folder (its best checkpoint) or checkpoint file.
    #[arg(long, value_name = "RUN|FILE", required_unless_present = "backbone")]
    pub(crate) model: Option<PathBuf>,
    /// A backbone with random weights instead.
    #[arg(long, value_parser = values::backbone(), conflicts_with = "model")]
    pub(crate) backbone: Option<Backbone>,
    /// Height and width of its images in pixels.
    #[arg(
        long,
        num_args = 2,
        default_values_t = [256, 128],
        value_names = ["H", "W"],
        conflicts_with = "model"
    )]
    pub(crate) size: Vec<usize>,
    /// Images per forward pass.
    #[arg(
        long,
        num_args = 1..,
        default_values_t = [1, 4, 8, 16, 32, 64],
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=65536)
    )]
    pub(crate) batches: Vec<u32>,
    /// Times that each is measured.
    #[arg(
        long,
        default_value_t = 5,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub(crate) repeats: u32,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Computing threads on the CPU [default: RAYON_NUM_THREADS, else one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) threads: Option<u32>,
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
/// and are not counted. With several devices the rates are those of all of them together.
///
/// Examples:
///   centroids bench train --data data/DukeMTMC-reID
///   centroids bench train --data data/market1501 --steps 20 --out logs MODEL.NAME resnet18
///   mpirun -n 8 centroids bench train --data data/market1501 --devices 8 GPU_IDS [0,1,2,3,4,5,6,7]
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
    /// Devices that train together, each in a process of its own that mpirun starts; as many.
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
