use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::catalogue::{Shared, train};

const WEIGHTS: &str = "mobilenet_v2-b0353104.pth";

/// The published weights beside the golden folder, or `None` (said on stderr) when they are absent.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn weights() -> Option<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let golden = std::env::var_os("CENTROIDS_GOLDEN").map_or(golden, PathBuf::from);
    let path = golden.join("../weights").join(WEIGHTS);
    if !path.is_file() {
        eprintln!("skipped: weights not found at {}", path.display());
        return None;
    }
    Some(path)
}

/// Settings of an epoch from the weights in `path`.
fn settings<'a>(name: &'a str, path: &'a str) -> [&'a str; 6] {
    ["SOLVER.MAX_EPOCHS", "1", "MODEL.NAME", name, "MODEL.PRETRAIN_PATH", path]
}

#[test]
fn training_starts_from_published_weights() {
    let Some(path) = weights() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let catalogue = Shared::get().catalogue();
    let path = path.to_str().unwrap();
    let loss = |run: &str, settings: &[&str]| {
        let run = folder.path().join(run);
        let output = train(&catalogue, &run, settings).success().get_output().clone();
        let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let epoch: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        (String::from_utf8(output.stderr).unwrap(), epoch["query_xent"].as_f64().unwrap())
    };
    let (said, pretrained) = loss("pretrained", &settings("mobilenet_v2", path));
    let line = said.lines().find(|line| line.starts_with("pretrained weights: ")).unwrap();
    for part in [WEIGHTS, "260 tensors matched", "0 missing", "2 unused (classifier.1.bias"] {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
    let off = [&settings("mobilenet_v2", path)[..], &["MODEL.PRETRAINED", "False"]].concat();
    let (said, random) = loss("random", &off);
    assert!(!said.contains("pretrained"), "{said}");
    assert!(random != pretrained && random.is_finite() && pretrained.is_finite());
}

#[test]
fn weights_that_do_not_fit_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (catalogue, run) = (Shared::get().catalogue(), folder.path().join("run"));
    let page = folder.path().join("page.pth");
    fs::write(&page, "<html>not found</html>").unwrap();
    let refused = |name: &str, path: &Path, parts: &[&str]| {
        let output = train(&catalogue, &run, &settings(name, path.to_str().unwrap()));
        let said = String::from_utf8(output.code(1).get_output().stderr.clone()).unwrap();
        let error = said.lines().last().unwrap();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        assert!(!run.exists());
    };
    refused("resnet18", &page, &["page.pth", "web page"]);
    refused("resnet18", &folder.path().join("none.pth"), &["none.pth"]);
    // The checkpoint of a run has its backbone's tensors under the reference's names.
    let resnet18 = Shared::get().run().join("checkpoints/last.safetensors");
    let parts = ["last.safetensors", "the weights of resnet18", "set model.name to resnet18"];
    refused("resnet34", &resnet18, &parts);
    if let Some(path) = weights() {
        refused("resnet18", &path, &[WEIGHTS, "the weights of mobilenet_v2"]);
    }
    let pairs = settings("resnet18", resnet18.to_str().unwrap());
    let output = train(&catalogue, &run, &pairs).success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("100 tensors matched, 0 missing"), "{said}");
    assert!(said.contains("of 8 classes: only its backbone is taken"), "{said}");
}

#[test]
fn settings_of_another_family_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (catalogue, run) = (Shared::get().catalogue(), folder.path().join("run"));
    let pairs = ["MODEL.NAME", "mobilenet_v2", "MODEL.LAST_STRIDE", "2"];
    let output = train(&catalogue, &run, &pairs);
    let said = String::from_utf8(output.code(1).get_output().stderr.clone()).unwrap();
    assert!(said.contains("model.last_stride") && said.contains("mobilenet_v2"), "{said}");
}
