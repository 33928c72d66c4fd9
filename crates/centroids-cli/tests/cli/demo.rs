use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::catalogue::{json, succeed};

#[test]
fn runs_and_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let arguments = ["demo", "--epochs", "1", "--train-ids", "16", "--dir", dir.to_str().unwrap()];
    let text = String::from_utf8(succeed(arguments).stdout).unwrap();
    assert!(text.contains("rank-1 by centroids") && text.contains("chance is"), "{text}");
    assert_eq!(text.matches("the picture shows product").count(), 3, "{text}");
    let png = |path: &Path| fs::read(path).unwrap().starts_with(b"\x89PNG");
    assert!(png(&dir.join("search.png")));
    let first: Value =
        serde_json::from_slice(&fs::read(dir.join("run/evaluation.json")).unwrap()).unwrap();
    fs::remove_file(dir.join("search.png")).unwrap();

    let again = json(arguments);
    assert_eq!(again["trained"], first["results"]);
    assert_eq!(again["trained"].as_array().unwrap().len(), 3);
    assert_eq!(again["untrained"].as_array().unwrap().len(), 3);
    assert_ne!(again["untrained"], again["trained"]);
    assert!(png(Path::new(again["picture"].as_str().unwrap())));
    assert!(Path::new(again["model"].as_str().unwrap()).is_file());
    assert!(again["seconds"].as_f64().unwrap() > 0.0);
}
