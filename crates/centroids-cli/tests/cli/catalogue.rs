use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::Value;

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
///
/// Nothing runs at the end of a test process, so the folder stays until the next one empties it. It
/// is in the target folder, where it is found again, and locked against a second process.
pub(crate) struct Shared {
    folder: PathBuf,
    _lock: File,
}

impl Shared {
    pub(crate) fn get() -> &'static Shared {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| {
            let shared = Shared::empty();
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

    fn empty() -> Shared {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let lock = File::create(base.join("cli.lock")).unwrap();
        lock.lock().unwrap();
        let folder = base.join("cli");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        Shared { folder, _lock: lock }
    }

    pub(crate) fn catalogue(&self) -> PathBuf {
        self.folder.join("catalogue")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    pub(crate) fn embeddings(&self, split: &str) -> PathBuf {
        self.folder.join(format!("{split}.safetensors"))
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

/// Every path below a folder, relative to it, hidden ones too: what a command left behind.
pub(crate) fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for path in pictures(&next) {
            found.push(path.strip_prefix(folder).unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Draws a catalogue of 8 + 6 products.
pub(crate) fn synth(dir: &Path) {
    synth_command(dir).assert().success();
}

pub(crate) fn synth_command(dir: &Path) -> Command {
    let sizes = ["--train-ids", "8", "--test-ids", "6", "--images-per-camera", "2"];
    let mut command = centroids(["data", "synth", "--size", "32", "32"]);
    command.args(sizes).arg(dir);
    command
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
