//! MobileNetV2 with the published ImageNet weights on real drawings.
//!
//! The weights are no part of the golden folder; they lie in `weights/` beside it.

use std::ops::ControlFlow;
use std::sync::Arc;

use centroids_data::InputSpec;
use centroids_model::weights::{StateDict, collect};
use centroids_model::{
    Backbone, BackboneOptions, Checkpoint, Device, EmbedOptions, Embedder, ModelSpec, Position,
    ReidModel,
};

use crate::support::{Checks, Section, section};

/// The weights the manifest names, or `None` (said on stderr) when they are absent.
fn weights(section: &Section) -> Option<StateDict> {
    let name = section.manifest["weights"]["file"].as_str().unwrap();
    let path = section.dir.join("../../weights").join(name);
    if !path.is_file() {
        eprintln!("skipped: weights not found at {}", path.display());
        return None;
    }
    Some(StateDict::read(&path).unwrap())
}

/// An untrained neck divides by √(1 + ε) only, which is undone.
fn embed(section: &Section, weights: &StateDict) -> Vec<f64> {
    let device = Device::flex();
    let backbone =
        BackboneOptions { backbone: Backbone::MobileNetV2, last_stride: 1, stem_relu: false };
    let model = ReidModel::new(ModelSpec { backbone, num_classes: 1 }, &device);
    let (model, import) = model.with_backbone(weights).unwrap();
    assert_eq!(import.unused, ["classifier.1.bias", "classifier.1.weight"]);
    let size = serde_json::from_value(section.manifest["input_hw"].clone()).unwrap();
    let checkpoint = Checkpoint {
        path: Default::default(),
        tensors: collect(&model),
        backbone,
        input: InputSpec { size, ..InputSpec::default() },
        pids: vec![centroids_core::Pid(1)],
        records: 0,
        position: Position::default(),
        config: String::new(),
    };
    let embedder = Embedder::from_checkpoint(&checkpoint, &device).unwrap();
    let files = section.manifest["files"].as_array().unwrap();
    let image = |file: &serde_json::Value| section.dir.join("images").join(file.as_str().unwrap());
    let paths: Arc<[_]> = files.iter().map(image).collect();
    let options = EmbedOptions { batch_size: 16, workers: 2, max_pixels: 1 << 20 };
    let embedded = embedder.embed(paths, options, &mut |_| ControlFlow::Continue(()));
    assert!(embedded.failures.is_empty(), "{:?}", embedded.failures);
    let neck = (1.0 + 1e-5f64).sqrt();
    embedded.values.into_iter().map(|value| f64::from(value) * neck).collect()
}

/// The classifier, which our model has no place for, on one embedding.
fn logits(weights: &StateDict, embedding: &[f64]) -> Vec<f64> {
    let array = |name: &str| weights.tensors()[name].to_array().unwrap().values;
    let (weight, bias) = (array("classifier.1.weight"), array("classifier.1.bias"));
    let product = |row: &[f32]| -> f64 {
        row.iter().zip(embedding).map(|(&weight, value)| f64::from(weight) * value).sum()
    };
    let rows = weight.chunks_exact(embedding.len()).zip(&bias);
    rows.map(|(row, &bias)| product(row) + f64::from(bias)).collect()
}

#[test]
fn pretrained_mobilenet_v2_equals_the_reference() {
    let Some(section) = section("real") else {
        return;
    };
    let Some(weights) = weights(&section) else {
        return;
    };
    let golden = section.tensors("mobilenet_v2.safetensors");
    let tolerance = |name: &str| section.manifest["tolerance"][name].as_f64().unwrap();
    let mut checks = Checks::default();
    let ours = embed(&section, &weights);
    let theirs = golden.get("embeddings");
    checks.close("embeddings", &ours, &theirs.values, tolerance("embeddings_atol"));

    let first = golden.get("logits_first10");
    let top5 = golden.get("logits_top5_index").indices();
    for (row, embedding) in ours.chunks_exact(theirs.shape[1]).enumerate() {
        let logits = logits(&weights, embedding);
        let theirs = &first.values[row * 10..][..10];
        checks.close(&format!("logits {row}"), &logits[..10], theirs, tolerance("logits_atol"));
        let best = logits.iter().copied().fold(f64::MIN, f64::max);
        checks.close(&format!("class {row}"), &[logits[top5[row * 5]]], &[best], 0.0);
    }
    checks.finish();
}
