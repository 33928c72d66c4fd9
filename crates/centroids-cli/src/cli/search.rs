//! `centroids search`

use std::path::PathBuf;

use centroids::core::Unit;
use clap::Args;

use super::MetricArgs;
use crate::values;

/// Find the identities nearest to pictures
///
/// The model that embedded the gallery embeds the pictures; it is found through the gallery file.
/// Search is exact.
///
/// Examples:
///   centroids search --gallery gallery.safetensors --image photo.jpg
///   centroids search --gallery gallery.safetensors --image a.jpg b.jpg -k 5 --unit nearest --json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct SearchArgs {
    /// Embedding file to search in.
    #[arg(long, value_name = "FILE")]
    pub(crate) gallery: PathBuf,
    /// Pictures to look for.
    #[arg(long, required = true, num_args = 1.., value_name = "QUERY")]
    pub(crate) image: Vec<PathBuf>,
    /// Run folder, checkpoint or model file, or the reference's .ckpt [default: the one named in the gallery file]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Hits per picture.
    #[arg(short, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) k: u32,
    /// Ignore gallery images of this camera (the one that took the pictures); cameras count from 0
    /// as in the embedding file, so c1 of Market-1501 is 0.
    #[arg(long, value_name = "C")]
    pub(crate) camera: Option<u32>,
    /// What is ranked: centroid (identities by their mean), nearest (identities by their nearest
    /// image), instance (images).
    #[arg(long, default_value = "centroid", value_parser = values::unit())]
    pub(crate) unit: Unit,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}
