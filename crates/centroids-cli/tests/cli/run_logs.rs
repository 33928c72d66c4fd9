use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::catalogue::{Shared, everything, succeed, train};

/// The records of a run's event file, by the lengths that stand before them.
pub(crate) fn event_records(run: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(run.join("events.out.tfevents.centroids")).unwrap();
    let (mut records, mut rest) = (Vec::new(), &file[..]);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(rest[12..12 + length].to_vec());
        rest = &rest[12 + length + 4..];
    }
    records
}

fn lines(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one run of an MLflow folder.
fn mlflow_run(folder: &Path) -> PathBuf {
    let runs = fs::read_dir(folder.join("0")).unwrap().map(|entry| entry.unwrap().path());
    let runs: Vec<PathBuf> = runs.filter(|path| path.is_dir()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

/// Both logs hold the points of metrics.jsonl, each once.
fn check(run: &Path, mlflow: &Path) {
    let lines = lines(run);
    assert_eq!(event_records(run).len(), 1 + lines.len());
    let folder = mlflow_run(mlflow);
    let mut curves = BTreeMap::<&str, Vec<(f64, f64)>>::new();
    for line in &lines {
        for (name, value) in line.as_object().unwrap() {
            if let (Some(value), false) = (value.as_f64(), name == "epoch" || name == "time") {
                curves.entry(name).or_default().push((line["epoch"].as_f64().unwrap(), value));
            }
        }
    }
    for name in ["epoch_train_loss", "lr", "query_xent", "centroid_triplet", "mAP", "Top-1"] {
        assert!(curves.contains_key(name), "{name} is not in the log");
    }
    for (name, points) in &curves {
        let text = fs::read_to_string(folder.join("metrics").join(name)).unwrap();
        let point = |line: &str| {
            let fields: Vec<f64> = line.split(' ').map(|field| field.parse().unwrap()).collect();
            (fields[2], fields[1])
        };
        assert_eq!(&text.lines().map(point).collect::<Vec<_>>(), points, "{name}");
    }
    let identities = ["nearest", "centroid"].map(|unit| folder.join("metrics").join(unit));
    assert!(
        identities.iter().all(|unit| unit.join("mAP").is_file() && unit.join("Top-1").is_file())
    );
    let files = everything(&folder.join("metrics"));
    assert_eq!(files.len(), curves.len() + 2 + 2 * 6, "{files:?}");
}

/// A run of two epochs, logged to MLflow too.
fn logged_run(folder: &Path) -> (PathBuf, PathBuf) {
    let (run, mlflow) = (folder.join("my run"), folder.join("mlruns"));
    let settings = ["SOLVER.MAX_EPOCHS", "2", "MLFLOW_DIR", mlflow.to_str().unwrap()];
    train(&Shared::get().catalogue(), &run, &settings).success();
    (run, mlflow)
}

#[test]
fn both_logs_hold_what_the_metrics_file_holds_whatever_a_crash_left() {
    let folder = tempfile::tempdir().unwrap();
    let (run, mlflow) = logged_run(folder.path());
    check(&run, &mlflow);
    let one = mlflow_run(&mlflow);
    let param = |key: &str| fs::read_to_string(one.join("params").join(key)).unwrap();
    assert_eq!((param("MODEL/NAME"), param("SOLVER/MAX_EPOCHS")), ("resnet18".into(), "2".into()));
    assert_eq!(fs::read_to_string(one.join("tags/mlflow.runName")).unwrap(), "my run");
    let meta = || fs::read_to_string(one.join("meta.yaml")).unwrap();
    assert!(meta().contains("status: 3\n") && meta().contains("run_name: \"my run\"\n"));

    // Half a record, a point too many, a curve that is no longer, a run that seems to go on.
    let append = |path: &Path, bytes: &[u8]| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    };
    let before = (event_records(&run), everything(&mlflow));
    append(&run.join("events.out.tfevents.centroids"), &[9, 0, 0, 0]);
    append(&one.join("metrics/lr"), b"1 0.5 7\n");
    fs::write(one.join("metrics/nearest/gone"), "1 0.5 7\n").unwrap();
    fs::write(one.join("meta.yaml"), meta().replace("status: 3", "status: 1")).unwrap();
    succeed([Path::new("train"), "--resume".as_ref(), &run]);
    check(&run, &mlflow);
    assert_eq!((event_records(&run), everything(&mlflow)), before);
    assert!(meta().contains("status: 3\n"));
}

#[test]
fn an_mlflow_folder_that_cannot_be_made_ends_a_training_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let (run, file) = (folder.path().join("run"), folder.path().join("file"));
    fs::write(&file, "").unwrap();
    let settings = ["SOLVER.MAX_EPOCHS", "2", "MLFLOW_DIR", file.to_str().unwrap()];
    let output = train(&Shared::get().catalogue(), &run, &settings).code(1).get_output().clone();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("cannot write {}", file.display())), "{text}");
    assert!(!run.join("metrics.jsonl").exists(), "it trained: {text}");
}

/// A Python with the packages, see `scripts/check_run_logs.py`.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let own = cache.map(|cache| cache.join("centroids/log-readers/bin/python"));
    let python = std::env::var_os("CENTROIDS_LOG_READERS").map(PathBuf::from).or(own)?;
    python.is_file().then_some(python)
}

#[test]
fn tensorboard_and_mlflow_themselves_read_the_run() {
    let Some(python) = python() else {
        eprintln!(
            "SKIPPED: no TensorBoard and MLflow; scripts/check_run_logs.py says how to install them"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (run, mlflow) = logged_run(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/check_run_logs.py");
    let read = || Command::new(&python).arg(&script).args([&run, &mlflow]).output().unwrap();
    let output = read();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(
        text.contains("TensorBoard: 30 curves") && text.contains("MLflow: 30 curves"),
        "{text}"
    );

    let metric = mlflow_run(&mlflow).join("metrics/lr");
    fs::write(&metric, fs::read_to_string(&metric).unwrap() + "1 0.5 7\n").unwrap();
    assert!(!read().status.success(), "a point too many is not seen");
}
