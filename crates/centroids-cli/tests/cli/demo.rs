use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::catalogue::{json, pictures, succeed};
use crate::service::request;

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

    serves(&dir, &arguments);
}

/// With `--serve` the products can be searched in the end.
fn serves(dir: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_centroids"));
    command.args(arguments).args(["--serve", "127.0.0.1:0", "--json", "-q"]);
    let mut demo = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().skip(1);
    let said: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let address = said["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    let query = pictures(&dir.join("catalogue/query")).remove(0);
    let body = fs::read(query).unwrap();
    let kind = [("content-type", "image/jpeg")];
    let found = request(address, "POST", "/v1/search?k=1", &kind, &body).json();
    let image = found["results"][0]["hits"][0]["example"]["image"].as_str().unwrap().to_owned();
    assert_eq!(request(address, "GET", &image, &[], b"").status, 200);
    demo.kill().unwrap();
    demo.wait().unwrap();
}
