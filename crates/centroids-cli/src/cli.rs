//! What can be typed. Doc comments are the manual.

use std::path::PathBuf;

use centroids::core::{CameraRule, CentroidOf, Distance, Metric, Preset, Unit};
use centroids::data::synth::SynthConfig;
use centroids::data::{Layout, Split};
use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

use crate::values::{self, OneOrAll};

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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(TrainArgs),
    Embed(EmbedArgs),
    Search(SearchArgs),
    Evaluate(EvaluateArgs),
    Data(DataArgs),
    Demo(DemoArgs),
    Completions(CompletionsArgs),
}

/// Train a model, or continue an interrupted run
///
/// Writes a run folder: `config.toml` (every setting), `metrics.jsonl` (a line per epoch and per
/// evaluation), `checkpoints/last.safetensors` and `best.safetensors`, `evaluation.json`.
///
/// Ctrl-C finishes the step, saves and exits with 130; `--resume` goes on from there to the same
/// numbers. A second Ctrl-C stops at once.
///
/// Examples:
///   centroids train --config configs/omniglot.toml
///   centroids train --config configs/omniglot.toml SOLVER.BASE_LR 1e-4 SEED 1
///   centroids train DATASETS.ROOT_DIR my/folder MODEL.NAME resnet18
///   centroids train --resume runs/omniglot
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct TrainArgs {
    /// TOML file of settings; what it leaves out has the reference's default.
    #[arg(long, alias = "config_file", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Run folder [default: output_dir of the configuration, else runs/<name of the dataset>]
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Continue the run in this folder; it has its own settings.
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["config", "output_dir", "device", "seed", "pairs"]
    )]
    pub(crate) resume: Option<PathBuf>,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Seed of weights, sampler and augmentation.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Settings as KEY VALUE pairs, e.g. SOLVER.MAX_EPOCHS 60; they come last and win.
    #[arg(value_name = "KEY VALUE", allow_negative_numbers = true)]
    pub(crate) pairs: Vec<String>,
}

/// Turn images into embeddings
///
/// The output file holds one row per readable image, in the order of the inputs: vector, identity,
/// camera, path. `.safetensors` keeps everything; `.npy` writes the reference's pair of files.
///
/// Examples:
///   centroids embed --model runs/omniglot products/ --out gallery.safetensors
///   centroids embed --model runs/market --split query data/market1501 --out query.safetensors
///   centroids embed --model best.safetensors a.jpg b.jpg --out two.safetensors
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EmbedArgs {
    /// Images, folders (<identity>/<image>, or images directly), lists (.txt, a path per line),
    /// manifests (.csv, .jsonl) or dataset folders.
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Run folder (its best checkpoint) or checkpoint file.
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: PathBuf,
    /// File to write: .safetensors or .npy.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    /// The split of a dataset.
    #[arg(long, value_parser = values::split())]
    pub(crate) split: Option<Split>,
    /// Images per forward pass; does not change the vectors [default: as in training]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) batch_size: Option<u32>,
    /// Fail, writing nothing, when an image cannot be read (otherwise: report and leave it out).
    #[arg(long)]
    pub(crate) strict: bool,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
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
    /// Run folder or checkpoint [default: the one named in the gallery file]
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

/// Measure a search: mAP, mINP, rank-k
///
/// From two embedding files, or from a run, whose dataset is embedded first and whose settings are
/// the defaults of --cameras, --distance and --normalize.
///
/// `--unit` says what is ranked: instance (images), nearest and centroid (identities). An identity
/// mAP is no image mAP: only figures of the same unit and camera rule can be compared, and nearest
/// beside centroid is the honest gain of centroids. `--cameras`: market (images of the query's own
/// identity by the query's camera do not count; the standard), cross (no image by that camera
/// counts), any.
///
/// `--preset` repeats the reference's centroid evaluation: paper as it was meant,
/// paper-as-published with its fault, which lets cameras leak.
///
/// Examples:
///   centroids evaluate --run runs/omniglot
///   centroids evaluate --run runs/market --dataset data/duke --layout dukemtmcreid
///   centroids evaluate --query q.safetensors --gallery g.safetensors --cameras all --json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EvaluateArgs {
    /// Embedding file of the queries.
    #[arg(long, value_name = "FILE", requires = "gallery", required_unless_present = "run")]
    pub(crate) query: Option<PathBuf>,
    /// Embedding file of the gallery.
    #[arg(long, value_name = "FILE", requires = "query")]
    pub(crate) gallery: Option<PathBuf>,
    /// Run folder: evaluate its best checkpoint.
    #[arg(long, value_name = "RUN", conflicts_with = "query")]
    pub(crate) run: Option<PathBuf>,
    /// With --run: another dataset than the run's own.
    #[arg(long, value_name = "DIR", requires = "run")]
    pub(crate) dataset: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) layout: LayoutArgs,
    /// What is ranked.
    #[arg(long, default_value = "all", value_parser = values::units())]
    pub(crate) unit: OneOrAll<Unit>,
    /// Which images do not count because of their camera [default: market, with --run the run's]
    #[arg(long, value_parser = values::camera_rules(), value_name = "RULE")]
    pub(crate) cameras: Option<OneOrAll<CameraRule>>,
    /// The reference's centroid protocol instead.
    #[arg(long, conflicts_with_all = ["unit", "cameras"], value_parser = values::preset())]
    pub(crate) preset: Option<Preset>,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}

/// Look at a dataset, or make one
///
/// Examples:
///   centroids data inspect data/market1501
///   centroids data synth data/catalogue
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

/// Make a catalogue, train on it, evaluate, and show what searches find
///
/// Everything lies in one folder afterwards: `catalogue` (the pictures), `run` (the model),
/// `gallery.safetensors`, `search.png` (three searches as pictures), `demo.json` (the options).
///
/// An interrupted demo goes on when it is started again. A folder that holds anything else is left
/// alone.
///
/// Examples:
///   centroids demo
///   centroids demo --dir /tmp/demo --epochs 12 --seed 1
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct DemoArgs {
    /// Folder for everything.
    #[arg(long, default_value = "demo")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) options: DemoOptions,
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

/// Print the completion script of a shell
///
/// Example:
///   centroids completions bash > ~/.local/share/bash-completion/completions/centroids
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
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
