use std::fs;
use std::path::Path;

use centroids::core::Embeddings;
use centroids::model::Checkpoint;
use centroids::model::weights::Tensors;
use predicates::prelude::*;
use serde_json::Value;

use crate::catalogue::{Shared, TINY, centroids};

/// Vectors of the queries, computed under an environment variable.
fn embed(variable: (&str, &str)) -> Embeddings {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let mut command = centroids(["embed", "--split", "query", "--model"]);
    command.arg(Shared::get().run()).arg(Shared::get().catalogue()).arg("--out").arg(&out);
    command.env(variable.0, variable.1).assert().success();
    Embeddings::load(&out).unwrap()
}

/// Losses of two epochs under an environment variable, and the final weights.
fn train(variable: (&str, &str)) -> (Vec<f64>, Tensors) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut command = centroids(["train", "--output-dir"]);
    command.arg(&run).arg("DATASETS.ROOT_DIR").arg(Shared::get().catalogue()).args(TINY);
    command.args(["SOLVER.MAX_EPOCHS", "2"]).env(variable.0, variable.1).assert().success();
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let losses = lines.filter_map(|line| line["epoch_train_loss"].as_f64()).collect();
    (losses, Checkpoint::load(&run.join("checkpoints/last.safetensors")).unwrap().tensors)
}

#[test]
fn narrower_vector_units_give_the_same_results() {
    let (wide, (losses, _)) =
        (embed(("CENTROIDS_CPU", "avx512")), train(("CENTROIDS_CPU", "avx512")));
    for unit in ["baseline", "avx2"] {
        let narrow = embed(("CENTROIDS_CPU", unit));
        assert_eq!((wide.len(), wide.paths()), (narrow.len(), narrow.paths()));
        for row in 0..wide.len() {
            let largest = wide.row(row).iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
            for (a, b) in wide.row(row).iter().zip(narrow.row(row)) {
                assert!((a - b).abs() <= 1e-4 * largest, "{unit}, row {row}: {a} and {b}");
            }
        }
        let (others, _) = train(("CENTROIDS_CPU", unit));
        assert_eq!(losses.len(), others.len());
        for (a, b) in losses.iter().zip(others) {
            assert!((a - b).abs() <= 1e-2 * a, "{unit}: loss {b} instead of {a}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let [(losses, weights), (others, same)] =
        ["1", "3"].map(|threads| train(("RAYON_NUM_THREADS", threads)));
    assert_eq!(losses, others);
    let bits = |weights: &Tensors, name: &str| -> Vec<u32> {
        weights[name].values.iter().map(|value| value.to_bits()).collect()
    };
    assert!(weights.keys().eq(same.keys()));
    for name in weights.keys() {
        assert!(bits(&weights, name) == bits(&same, name), "{name}");
    }
}

#[test]
fn an_unknown_vector_unit_is_refused() {
    let mut command = centroids(["data", "inspect"]);
    command.arg(Path::new("nowhere")).env("CENTROIDS_CPU", "avx1024");
    let line = predicate::str::contains("CENTROIDS_CPU").and(predicate::str::contains("avx2"));
    command.assert().failure().stderr(line);
}
