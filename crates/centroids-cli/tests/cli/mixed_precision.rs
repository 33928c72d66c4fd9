use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::catalogue::{Shared, centroids, train, train_command};

const EPOCHS: [&str; 4] = ["SOLVER.MAX_EPOCHS", "2", "USE_MIXED_PRECISION", "True"];

/// Trains in half precision; what it says and its lines of epochs.
fn run(folder: &Path, more: &[&str]) -> (String, Vec<Value>) {
    let settings = [&EPOCHS[..], more].concat();
    let output =
        train(&Shared::get().catalogue(), folder, &settings).success().get_output().clone();
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let epochs = lines.filter(|line: &Value| line.get("epoch_train_loss").is_some());
    (String::from_utf8(output.stderr).unwrap(), epochs.collect())
}

#[test]
fn the_references_key_trains_in_f16_with_a_scaled_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (said, epochs) = run(&folder.path().join("f16"), &[]);
    assert!(said.contains("the CPU rounds to half precision"), "{said}");
    assert!(!said.contains("no effect"), "{said}");
    let mut scale = 65536.0;
    for epoch in &epochs {
        let skipped = epoch["skipped_steps"].as_f64().unwrap();
        scale /= skipped.exp2();
        assert_eq!(epoch["loss_scale"], scale, "{epoch}");
        assert!(said.contains(&format!("loss scale {scale}, {skipped} of ")), "{said}");
    }
    assert_eq!(epochs.len(), 2);

    let (said, bf16) = run(&folder.path().join("bf16"), &["HALF_TYPE", "bf16"]);
    assert!(!said.contains("loss scale") && bf16[0].get("loss_scale").is_none(), "{said}");
    let (_, single) = run(&folder.path().join("f32"), &["USE_MIXED_PRECISION", "False"]);
    assert!(single[0].get("loss_scale").is_none());
    let loss = |epochs: &[Value]| epochs[0]["epoch_train_loss"].as_f64().unwrap();
    for half in [&epochs, &bf16] {
        let error = (loss(half) / loss(&single) - 1.0).abs();
        assert!(error > 0.0 && error < 0.1, "{} instead of {}", loss(half), loss(&single));
    }
}

#[test]
fn a_half_type_that_is_none_or_has_no_effect_is_named() {
    let (folder, catalogue) = (tempfile::tempdir().unwrap(), Shared::get().catalogue());
    let stderr = |assert: assert_cmd::assert::Assert| {
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    };
    let run = folder.path().join("run");
    let said = stderr(train_command(&catalogue, &run, &["HALF_TYPE", "f8"]).assert().code(1));
    assert_eq!(said, "error: half_type = f8: must be `f16` or `bf16`\n");
    assert!(!run.exists());
    let pairs = ["HALF_TYPE", "bf16", "SOLVER.MAX_EPOCHS", "1"];
    let said = stderr(train_command(&catalogue, &run, &pairs).assert().success());
    assert!(said.contains("half_type has no effect without use_mixed_precision"), "{said}");
}

#[test]
fn a_performance_run_says_in_what_it_computed() {
    let mut command = centroids(["bench", "train", "--steps", "5", "--json", "--data"]);
    command.arg(Shared::get().catalogue()).args(crate::catalogue::TINY).args(EPOCHS);
    let output = command.args(["HALF_TYPE", "bf16"]).assert().success().get_output().clone();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["precision"], &value["skipped_steps"]), (&"bf16".into(), &0.into()));
    assert!(String::from_utf8(output.stderr).unwrap().contains("the CPU rounds"));
}
