use predicates::prelude::*;

use crate::catalogue::{Shared, centroids, json, succeed};

const BATCHES: [&str; 5] = ["--batches", "1", "3", "--repeats", "2"];

#[test]
fn embedding_is_measured_batch_by_batch() {
    let run = Shared::get().run();
    let arguments = ["bench", "embed", "--model", run.to_str().unwrap(), "--threads", "1"];
    let value = json(arguments.iter().chain(&BATCHES));
    assert!(value["model"].as_str().unwrap().starts_with("resnet18@"), "{value}");
    assert_eq!((&value["threads"], &value["dim"]), (&1.into(), &512.into()));
    assert_eq!(value["size"], serde_json::json!([32, 32]));
    let batches = value["batches"].as_array().unwrap();
    let sizes: Vec<u64> = batches.iter().map(|batch| batch["batch"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [1, 3]);
    for (batch, size) in batches.iter().zip(sizes) {
        let rate = |name: &str| batch["images_per_second"][name].as_f64().unwrap();
        assert!(
            0.0 < rate("min") && rate("min") <= rate("median") && rate("median") <= rate("max")
        );
        let milliseconds = batch["ms_per_batch"].as_f64().unwrap();
        assert!((milliseconds * rate("median") / 1e3 - size as f64).abs() < 1e-6);
        assert_eq!(batch["seconds"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_backbone_needs_no_model() {
    let arguments = ["bench", "embed", "--backbone", "mobilenet_v2", "--size", "32", "16"];
    let output = succeed(arguments.iter().chain(&BATCHES)).stdout;
    let text = String::from_utf8(output).unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("mobilenet_v2@") && first.contains("32×16, cpu"), "{text}");
    let row = |batch: &str| {
        let is_row = |line: &&str| line.split_whitespace().next() == Some(batch);
        let cells = text.lines().find(is_row).unwrap().split_whitespace().skip(1);
        cells.map(|cell| cell.parse::<f64>().unwrap()).collect::<Vec<f64>>()
    };
    for batch in ["1", "3"] {
        let [median, slowest, fastest, milliseconds] = row(batch)[..] else { panic!("{text}") };
        assert!(0.0 < slowest && slowest <= median && median <= fastest && milliseconds > 0.0);
    }
}

#[test]
fn impossible_measurements_are_refused() {
    let bench = |arguments: &[&str], code: i32, part: &str| {
        let mut command = centroids(["bench", "embed", "-q"]);
        let line = predicate::str::contains(part.to_owned());
        command.args(arguments).assert().code(code).stderr(line).stdout("");
    };
    bench(&["--backbone", "resnet18", "--size", "8", "8"], 1, "16 to 4096");
    bench(&["--backbone", "resnet18", "--device", "abacus"], 1, "abacus");
    bench(&["--model", "none"], 1, "none");
    bench(&["--backbone", "resnet19"], 2, "resnet19");
    bench(&["--backbone", "resnet18", "--batches", "0"], 2, "--batches");
    bench(&["--backbone", "resnet18", "--model", "run"], 2, "--model");
    bench(&[], 2, "--model");
}
