//! `centroids train`

use std::path::PathBuf;

use clap::Args;

/// Train a model, or continue an interrupted run
///
/// Writes a run folder: `config.toml` (every setting), `metrics.jsonl` (a line per epoch and per
/// evaluation), `events.out.tfevents.centroids` (the same for `tensorboard --logdir RUN`),
/// `checkpoints/last.safetensors` and `best.safetensors`, `evaluation.json`. With MLFLOW_DIR DIR the
/// run is kept in that folder of MLflow too (new versions read it with MLFLOW_ALLOW_FILE_STORE=true).
///
/// The reference's YAML files and its KEY VALUE pairs work unchanged; keys that have no effect are
/// named. With TEST.ONLY_TEST True the checkpoint at MODEL.PRETRAIN_PATH is measured instead; with
/// REPEATS n the training runs with n seeds into `seed_<s>/`, and `summary.json` has mean and
/// deviation.
///
/// Ctrl-C finishes the step, saves and exits with 130; `--resume` goes on from there to the same
/// numbers. A second Ctrl-C stops at once.
///
/// Several processes train together when mpirun starts them (a build with `--features mpi`): each with
/// SOLVER.IMS_PER_BATCH identities, gradients averaged, losses and batch norms its own;
/// SOLVER.GATHER_EMBEDDINGS True mines among the images of all. GPU_IDS [0,1] gives each a device. If
/// one dies, all end; `--resume` goes on with any number. Ctrl-C makes mpirun end them at once, with
/// the last epoch saved; a signal to one of them (`pkill -INT centroids`) stops all after their step.
///
/// Examples:
///   centroids train --config configs/omniglot.toml
///   centroids train --config configs/omniglot.toml SOLVER.BASE_LR 1e-4 SEED 1
///   centroids train DATASETS.ROOT_DIR my/folder MODEL.NAME resnet18
///   centroids train --resume runs/omniglot
///   mpirun -n 2 centroids train --config configs/omniglot.toml
///   centroids train --config_file 256_resnet50.yml GPU_IDS [0] DATASETS.NAMES market1501 \
///     DATASETS.ROOT_DIR data SOLVER.IMS_PER_BATCH 16 OUTPUT_DIR runs/market
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct TrainArgs {
    /// TOML or YAML file of settings; what it leaves out has the reference's default.
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
