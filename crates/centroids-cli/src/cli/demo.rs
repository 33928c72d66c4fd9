//! `centroids demo`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// Make a catalogue, train on it, evaluate, and show what searches find
///
/// Everything lies in one folder afterwards: `catalogue` (the pictures), `run` (the model),
/// `gallery.safetensors`, `search.png` (three searches as pictures), `demo.json` (the options), and
/// with --serve `demo.gallery`, which the service searches.
///
/// An interrupted demo goes on when it is started again. A folder that holds anything else is left
/// alone.
///
/// Examples:
///   centroids demo
///   centroids demo --dir /tmp/demo --epochs 12 --seed 1
///   centroids demo --serve
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct DemoArgs {
    /// Folder for everything.
    #[arg(long, default_value = "demo")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) options: DemoOptions,
    /// Then serve the catalogue's products as `centroids serve` does, with a page to drop pictures on
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1,
        default_missing_value = "127.0.0.1:8080")]
    pub(crate) serve: Option<SocketAddr>,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}

/// What the result of a demo depends on.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DemoOptions {
    /// Seed of the pictures and of the training.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Epochs to train.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) epochs: u32,
    /// Products to learn from; five sixths as many, never trained on, are searched.
    #[arg(long, default_value_t = 120, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    pub(crate) train_ids: u32,
}
