use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::catalogue::{Shared, TINY, centroids, train};

const EPOCHS: [&str; 4] = ["SOLVER.MAX_EPOCHS", "4", "SOLVER.EVAL_PERIOD", "2"];

/// The log without what depends on the clock.
fn log(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| -> Value {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for key in ["seconds", "images_per_second"] {
            line.as_object_mut().unwrap().remove(key);
        }
        line
    };
    text.lines().map(line).collect()
}

fn start(run: &Path) -> Child {
    std::process::Command::new(assert_cmd::cargo::cargo_bin("centroids"))
        .args(["train", "--output-dir"])
        .arg(run)
        .arg("DATASETS.ROOT_DIR")
        .arg(Shared::get().catalogue())
        .args(TINY)
        .args(EPOCHS)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the first epoch is in the log, then signals.
fn signal_in_the_middle(run: &Path, signal: &str) -> std::process::Output {
    let child = start(run);
    let (begin, metrics) = (Instant::now(), run.join("metrics.jsonl"));
    while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(120), "no epoch after two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn resume(run: &Path) {
    centroids(["train", "--resume"]).arg(run).assert().success();
}

/// Same log, same weights, same optimiser.
fn equal(a: &Path, b: &Path) {
    assert_eq!(log(a), log(b));
    let last = |run: &Path| {
        let path = run.join("checkpoints/last.safetensors");
        centroids::model::Checkpoint::load(&path).unwrap()
    };
    let (a, b) = (last(a), last(b));
    assert_eq!(a.position, b.position);
    assert!(a.tensors == b.tensors, "the weights differ");
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    train(&Shared::get().catalogue(), &path("whole"), &EPOCHS).success();

    let output = signal_in_the_middle(&path("interrupted"), "-INT");
    assert_eq!(output.status.code(), Some(130));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--resume"), "{text}");
    assert!(log(&path("interrupted")).len() < log(&path("whole")).len());
    resume(&path("interrupted"));
    equal(&path("interrupted"), &path("whole"));

    let output = signal_in_the_middle(&path("killed"), "-KILL");
    assert_eq!(output.status.code(), None);
    resume(&path("killed"));
    equal(&path("killed"), &path("whole"));

    resume(&path("whole")); // finished: shows the result once more, changes nothing
    equal(&path("killed"), &path("whole"));
}
