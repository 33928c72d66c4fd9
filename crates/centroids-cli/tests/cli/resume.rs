use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::catalogue::{Shared, TINY, centroids, everything, json, train};
use crate::run_logs::event_records;

const EPOCHS: [&str; 4] = ["SOLVER.MAX_EPOCHS", "4", "SOLVER.EVAL_PERIOD", "2"];

/// The log without what depends on the clock.
fn log(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| -> Value {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for key in ["time", "seconds", "images_per_second"] {
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
        .arg("--json")
        .stdout(Stdio::piped())
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

/// Goes on to the end; the result.
fn resume(run: &Path) -> Value {
    let result = json([Path::new("train"), "--resume".as_ref(), run]);
    assert_eq!((&result["run"], &result["interrupted"]), (&run.to_str().into(), &false.into()));
    result
}

/// What the final model makes of the queries, bit by bit.
fn embeddings(run: &Path) -> Vec<u32> {
    let out = run.join("query.safetensors");
    let mut command = centroids(["embed", "--split", "query", "--model"]);
    command.arg(run.join("checkpoints/last.safetensors")).arg(Shared::get().catalogue());
    command.arg("--out").arg(&out).assert().success();
    let set = centroids::core::Embeddings::load(&out).unwrap();
    std::fs::remove_file(out).unwrap();
    set.values().iter().map(|value| value.to_bits()).collect()
}

/// Same files, same log, same weights, same optimiser, same embeddings.
fn equal(a: &Path, b: &Path) {
    assert_eq!(log(a), log(b));
    assert_eq!(everything(a), everything(b));
    assert_eq!(event_records(a).len(), event_records(b).len());
    let (ours, theirs) = (embeddings(a), embeddings(b));
    assert!(!ours.is_empty() && ours == theirs, "the embeddings differ");
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
    let advice = format!("centroids train --resume {}", path("interrupted").display());
    assert!(text.contains(&advice), "{text}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["interrupted"], true);
    assert!(log(&path("interrupted")).len() < log(&path("whole")).len());
    let interrupted = resume(&path("interrupted"));
    equal(&path("interrupted"), &path("whole"));

    let output = signal_in_the_middle(&path("killed"), "-KILL");
    assert_eq!(output.status.code(), None);
    assert!(log(&path("killed")).len() < log(&path("whole")).len());
    let killed = resume(&path("killed"));
    equal(&path("killed"), &path("whole"));

    // A finished run shows its result once more and changes nothing.
    let whole = resume(&path("whole"));
    equal(&path("killed"), &path("whole"));
    assert_eq!(whole["results"].as_array().unwrap().len(), 3);
    assert_eq!(interrupted["results"], whole["results"]);
    assert_eq!(killed["results"], whole["results"]);
}
