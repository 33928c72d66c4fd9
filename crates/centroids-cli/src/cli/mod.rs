//! What can be typed, a file per command. Doc comments are the manual.

mod bench;
mod calibrate;
mod completions;
mod data;
mod demo;
mod embed;
mod evaluate;
mod export;
mod gallery;
mod index;
mod prepare;
mod refine;
mod report;
mod search;
mod serve;
mod shared;
mod statistics;
mod train;
mod weights;

use clap::{Parser, Subcommand};

pub(crate) use bench::{BenchArgs, BenchCommand, BenchEmbedArgs, BenchTrainArgs};
pub(crate) use calibrate::CalibrateArgs;
pub(crate) use completions::CompletionsArgs;
pub(crate) use data::{DataArgs, DataCommand, InspectArgs, SynthArgs};
pub(crate) use demo::{DemoArgs, DemoOptions};
pub(crate) use embed::{EmbedArgs, PidFrom};
pub(crate) use evaluate::EvaluateArgs;
pub(crate) use export::{ExportArgs, ExportCommand, OnnxArgs};
pub(crate) use gallery::{DoctorArgs, GalleryArgs, GalleryCommand};
pub(crate) use index::{
    AddIndexArgs, CommonArgs, CompactIndexArgs, CreateIndexArgs, ExportIndexArgs, ImportIndexArgs,
    IndexArgs, IndexCommand, InfoIndexArgs, KeptArgs, ListIndexArgs, MergeIndexArgs,
    QuarantineIndexArgs, RelabelIndexArgs, RemoveIndexArgs, TimeChoice, VerifyIndexArgs, WhichArgs,
    Width,
};
pub(crate) use prepare::{
    DeepfashionArgs, JpgArgs, PrepareArgs, PrepareCommand, SizeArgs, Street2shopArgs, WorkArgs,
};
pub(crate) use refine::RefineArgs;
pub(crate) use report::ReportArgs;
pub(crate) use search::SearchArgs;
pub(crate) use serve::{LimitArgs, ServeArgs, ServiceArgs};
pub(crate) use shared::{Global, LayoutArgs, MetricArgs};
pub(crate) use statistics::{StatisticsArgs, UnknownArgs};
pub(crate) use train::TrainArgs;
pub(crate) use weights::{ConvertArgs, InspectWeightsArgs, WeightsArgs, WeightsCommand};

/// Image retrieval by class centroids: train a network, embed images, search and evaluate by one
/// mean embedding per identity.
///
/// Start with `centroids demo`: it makes a small catalogue, trains on it, and shows what a search
/// finds.
///
/// Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted with
/// everything saved.
#[derive(Debug, Parser)]
#[command(name = "centroids", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(TrainArgs),
    Embed(Box<EmbedArgs>),
    Index(IndexArgs),
    Search(SearchArgs),
    Serve(ServeArgs),
    Evaluate(Box<EvaluateArgs>),
    Report(ReportArgs),
    Gallery(GalleryArgs),
    Calibrate(CalibrateArgs),
    Data(DataArgs),
    Export(ExportArgs),
    Bench(BenchArgs),
    Weights(WeightsArgs),
    Demo(DemoArgs),
    Completions(CompletionsArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
