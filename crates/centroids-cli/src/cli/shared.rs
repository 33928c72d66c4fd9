//! Options of several commands

use centroids::core::{CentroidOf, Distance, Metric};
use centroids::data::Layout;
use clap::Args;

use crate::values;

/// Switches of every command.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Print results as JSON on stdout, and nothing else there.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How a dataset lies on disk.
#[derive(Args, Debug)]
pub(crate) struct LayoutArgs {
    /// How the dataset lies on disk [default: recognised]
    #[arg(long, value_parser = values::layout())]
    pub(crate) layout: Option<Layout>,
    /// Layout folder: regular expression on the file name whose one group is the camera,
    /// e.g. '_(\d+)\.png'.
    #[arg(long, value_name = "REGEX")]
    pub(crate) camera_pattern: Option<String>,
}

/// How vectors are compared.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct MetricArgs {
    /// Distance of two vectors; euclidean is squared [default: euclidean, with a run or model its own]
    #[arg(long, value_parser = values::distance())]
    pub(crate) distance: Option<Distance>,
    /// Divide vectors by their length first [default: true, with a run or model as it was trained]
    #[arg(long, value_name = "BOOL")]
    pub(crate) normalize: Option<bool>,
    /// Average raw embeddings, then normalise (the reference), or average unit ones.
    #[arg(long, default_value = "raw", value_parser = values::centroid_of(), value_name = "KIND")]
    pub(crate) centroid_of: CentroidOf,
}

impl MetricArgs {
    /// What was typed, over `default`.
    pub(crate) fn over(self, default: Metric) -> Metric {
        Metric {
            distance: self.distance.unwrap_or(default.distance),
            normalize: self.normalize.unwrap_or(default.normalize),
            centroid_of: self.centroid_of,
        }
    }
}
