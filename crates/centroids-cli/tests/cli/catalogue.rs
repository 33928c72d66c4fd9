use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// Settings of a training that takes a second or two.
pub(crate) const TINY: [&str; 14] = [
    "MODEL.NAME",
    "resnet18",
    "INPUT.SIZE_TRAIN",
    "[32,32]",
    "INPUT.SIZE_TEST",
    "[32,32]",
    "SOLVER.IMS_PER_BATCH",
    "4",
    "DATALOADER.NUM_INSTANCE",
    "2",
    "SOLVER.EVAL_PERIOD",
    "0",
    "SOLVER.LR_STEPS",
    "[3]",
];

/// The command with its arguments.
pub(crate) fn centroids<S: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::cargo_bin("centroids").unwrap();
    command.args(arguments);
    command
}

/// Runs it; a failure shows what it printed.
pub(crate) fn succeed<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    centroids(arguments).assert().success().get_output().clone()
}

/// Runs it with `--json` and parses what it prints.
pub(crate) fn json<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Value {
    let mut command = centroids(arguments);
    let output = command.arg("--json").assert().success().get_output().clone();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What all tests read and none changes.
pub(crate) struct Shared {
    folder: TempDir,
}

impl Shared {
    pub(crate) fn get() -> &'static Shared {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| {
            let shared = Shared { folder: tempfile::tempdir().unwrap() };
            synth(&shared.catalogue());
            train(&shared.catalogue(), &shared.run(), &["SOLVER.MAX_EPOCHS", "2"]).success();
            for split in ["query", "gallery"] {
                let file = shared.embeddings(split);
                let (model, input) = (shared.run(), shared.catalogue());
                let arguments = [Path::new("embed"), "--model".as_ref(), &model, &input];
                let mut command = centroids(arguments);
                command.args(["--split", split, "--out"]).arg(file).assert().success();
            }
            shared
        })
    }

    pub(crate) fn catalogue(&self) -> PathBuf {
        self.folder.path().join("catalogue")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub(crate) fn embeddings(&self, split: &str) -> PathBuf {
        self.folder.path().join(format!("{split}.safetensors"))
    }

    /// Some picture of the catalogue.
    pub(crate) fn picture(&self) -> PathBuf {
        pictures(&self.catalogue().join("query")).remove(0)
    }
}

/// Files of a folder, sorted.
pub(crate) fn pictures(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Draws a catalogue of 8 + 6 products.
pub(crate) fn synth(dir: &Path) {
    let sizes = ["--train-ids", "8", "--test-ids", "6", "--images-per-camera", "2"];
    let mut command = centroids(["data", "synth", "--size", "32", "32"]);
    command.args(sizes).arg(dir).assert().success();
}

/// `centroids train` on a catalogue with [`TINY`] and more settings.
pub(crate) fn train(catalogue: &Path, run: &Path, pairs: &[&str]) -> assert_cmd::assert::Assert {
    train_command(catalogue, run, pairs).assert()
}

pub(crate) fn train_command(catalogue: &Path, run: &Path, pairs: &[&str]) -> Command {
    let mut command = centroids(["train", "--output-dir"]);
    command.arg(run).arg("DATASETS.ROOT_DIR").arg(catalogue).args(TINY).args(pairs);
    command
}
