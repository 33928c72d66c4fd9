//! Embedding real image files as the reference's `create_embeddings.py` does, and its centroids.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use centroids_core::{CentroidOf, Embeddings, centroids};
use centroids_data::InputSpec;
use centroids_model::weights::collect;
use centroids_model::{BackboneOptions, Checkpoint, Device, EmbedOptions, Embedder, Position};
use serde_json::Value;

use crate::backbones::formula_model;
use crate::support::{Checks, Section, section};

/// The manifest says the model in words: "resnet18, last_stride 1, …".
fn embedder(section: &Section) -> Embedder {
    let words = section.manifest["model"].as_str().unwrap();
    let mut words = words.split(", ");
    let backbone = BackboneOptions {
        backbone: words.next().unwrap().parse().unwrap(),
        last_stride: words.next().unwrap().trim_start_matches("last_stride ").parse().unwrap(),
        stem_relu: false,
    };
    let size = serde_json::from_value(section.manifest["input_hw"].clone()).unwrap();
    let seed = section.manifest["seed"].as_u64().unwrap();
    let device = Device::flex();
    let checkpoint = Checkpoint {
        path: PathBuf::new(),
        tensors: collect(&formula_model(backbone, 1, seed, &device)),
        backbone,
        input: InputSpec { size, ..InputSpec::default() },
        pids: vec![centroids_core::Pid(1)],
        records: 0,
        position: Position::default(),
        config: String::new(),
    };
    Embedder::from_checkpoint(&checkpoint, &device).unwrap()
}

fn embed(embedder: &Embedder, paths: Vec<PathBuf>, batch_size: usize) -> Vec<f32> {
    let options = EmbedOptions { batch_size, workers: 2, max_pixels: 1 << 20 };
    let n = paths.len();
    let embedded = embedder.embed(Arc::from(paths), options, &mut |_| ControlFlow::Continue(()));
    assert!(embedded.failures.is_empty(), "{:?}", embedded.failures);
    assert_eq!(embedded.rows, (0..n).collect::<Vec<_>>());
    embedded.values
}

/// Rows whose picture the decoders agree on exactly get the recorded tolerance, JPEG the wider one.
fn compare(manifest: &Value, ours: &[f32], theirs: &Embeddings, checks: &mut Checks) {
    let number = |key: &str| manifest["tolerance"][key].as_f64().unwrap();
    let (tight, wide) = (number("embeddings_atol"), 1e-2 * number("largest_value"));
    for (row, path) in theirs.paths().iter().enumerate() {
        let wide_class = |path: &str| path.ends_with(".jpg") || !path.contains('.');
        let atol = if wide_class(path) { wide } else { tight };
        let widen = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let dim = theirs.dim();
        checks.close(path, &widen(&ours[row * dim..][..dim]), &widen(theirs.row(row)), atol);
    }
}

#[test]
fn embeddings_and_centroids_equal_the_reference() {
    let Some(section) = section("inference") else {
        return;
    };
    let mut checks = Checks::default();
    let embedder = embedder(&section);
    let batch = section.manifest["batch"].as_u64().unwrap() as usize;
    let stored = |name: &str| Embeddings::load(&section.dir.join(name)).unwrap();

    let images = stored("embeddings.npy");
    let paths: Vec<PathBuf> = images.paths().iter().map(|path| section.dir.join(path)).collect();
    let ours = embed(&embedder, paths.clone(), batch);
    compare(&section.manifest, &ours, &images, &mut checks);

    // The size of a batch changes nothing.
    let alone: Vec<f64> = embed(&embedder, paths, 1).into_iter().map(f64::from).collect();
    let together: Vec<f64> = ours.iter().map(|&v| f64::from(v)).collect();
    checks.close("batch of 1", &alone, &together, 1e-5);

    let (pids, camids) = (images.pids().to_vec(), images.camids().to_vec());
    let files = images.paths().to_vec();
    let ours = Embeddings::new(images.dim(), ours, pids, camids, files).unwrap();
    let means = centroids(&ours, CentroidOf::Raw);
    let theirs = stored("centroids.npy");
    assert_eq!(means.len(), theirs.len());
    compare(&section.manifest, means.values(), &theirs, &mut checks);
    checks.finish();
}
