//! `centroids report`

use std::path::PathBuf;

use clap::Args;

use super::LayoutArgs;

/// Make one page of a training run
///
/// One HTML file that needs nothing else and can be sent: how training went (losses, learning rate,
/// images per second), the evaluation of the best checkpoint with its curves and hardest queries, a map
/// of images and centroids (principal components and t-SNE), and what the gallery doctor finds.
///
/// Examples:
///   centroids report runs/omniglot
///   centroids report runs/market --dataset data/duke --layout dukemtmcreid --out duke.html
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ReportArgs {
    /// Run folder.
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// The page to write [default: RUN/report.html]
    #[arg(long, value_name = "FILE.html")]
    pub(crate) out: Option<PathBuf>,
    /// Another dataset than the run's own.
    #[arg(long, value_name = "DIR")]
    pub(crate) dataset: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    /// Findings of each kind to show.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) worst: usize,
    /// cpu, or cuda, rocm, vulkan, metal where compiled in; `cuda:1` is the second one.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}
