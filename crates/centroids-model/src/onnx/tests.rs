//! What was written, read back.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use super::proto::{Dimension, FLOAT, Graph, Model, Tensor, ValueInfo};
use super::{OPSETS, OnnxModel, OnnxOptions};
use crate::{Backbone, BackboneOptions, Device, Embedder, ModelSpec, ReidModel};
use centroids_data::InputSpec;

/// A model of zero convolutions.
fn embedder(backbone: Backbone) -> Embedder {
    let backbone = BackboneOptions { backbone, last_stride: 1, stem_relu: false };
    let model = ReidModel::new(ModelSpec { backbone, num_classes: 1 }, &Device::flex());
    Embedder::new(model, backbone, InputSpec::default())
}

fn written(embedder: &Embedder, options: OnnxOptions) -> Model {
    Model::decode(OnnxModel::new(embedder, options).unwrap().to_bytes().as_slice()).unwrap()
}

fn sizes(value: &ValueInfo) -> Vec<Dimension> {
    let tensor = value.r#type.clone().unwrap().tensor_type.unwrap();
    assert_eq!(tensor.elem_type, FLOAT);
    tensor.shape.unwrap().dim
}

fn dims(tensor: &Tensor) -> Vec<usize> {
    tensor.dims.iter().map(|&size| size as usize).collect()
}

/// Every input is made before it is used, every value once, and every tensor serves.
fn assert_connected(graph: &Graph) {
    let tensors: BTreeMap<&str, &Tensor> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    assert_eq!(tensors.len(), graph.initializer.len(), "a name is given twice");
    let mut known: BTreeSet<&str> = tensors.keys().copied().chain(["input"]).collect();
    let mut used = BTreeSet::new();
    for node in &graph.node {
        for input in &node.input {
            assert!(known.contains(input.as_str()), "{} reads {input}", node.name);
            used.insert(input.as_str());
        }
        for output in &node.output {
            assert!(known.insert(output), "{output} is made twice");
        }
    }
    known.retain(|value| !used.contains(value));
    assert_eq!(known, BTreeSet::from(["embedding"]), "nothing uses these");
}

/// The tensors of every node fit each other.
fn assert_shapes(graph: &Graph) {
    let tensors: BTreeMap<&str, Vec<usize>> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), dims(tensor))).collect();
    for tensor in &graph.initializer {
        let count: usize = dims(tensor).iter().product();
        assert_eq!(
            (tensor.data_type, tensor.raw_data.len()),
            (FLOAT, 4 * count),
            "{}",
            tensor.name
        );
    }
    // channels of every value
    let mut channels = BTreeMap::from([("input", 3)]);
    for node in &graph.node {
        let [x, rest @ ..] = node.input.as_slice() else { panic!("{node:?}") };
        let of_x = channels[x.as_str()];
        let parameters = || rest.iter().map(|name| &tensors[name.as_str()]);
        let out = match node.op_type.as_str() {
            "Conv" => {
                let group = node.attribute.iter().find(|a| a.name == "group").unwrap().i.unwrap();
                let [out, of_weight, ..] = tensors[rest[0].as_str()][..] else {
                    panic!("{node:?}")
                };
                assert_eq!(of_weight * group as usize, of_x, "{}", node.name);
                assert!(parameters().skip(1).all(|bias| *bias == [out]), "{}", node.name);
                out
            }
            "BatchNormalization" | "InstanceNormalization" => {
                let count = if node.op_type.starts_with("Batch") { 4 } else { 2 };
                assert_eq!(parameters().count(), count);
                assert!(parameters().all(|part| *part == [of_x]), "{}", node.name);
                of_x
            }
            "Add" => {
                assert_eq!(channels[rest[0].as_str()], of_x, "{}", node.name);
                of_x
            }
            "Split" => of_x / 2,
            "Concat" => of_x + channels[rest[0].as_str()],
            _ => of_x,
        };
        channels.extend(node.output.iter().map(|output| (output.as_str(), out)));
    }
}

#[test]
fn every_backbone_makes_a_sound_graph() {
    let folded = Backbone::ALL.map(|backbone| (backbone, false));
    let kept = [Backbone::ResNet18, Backbone::MobileNetV2].map(|backbone| (backbone, true));
    for (backbone, keep_batch_norms) in folded.into_iter().chain(kept) {
        let options = OnnxOptions { normalize: true, keep_batch_norms, ..Default::default() };
        let graph = written(&embedder(backbone), options).graph.unwrap();
        assert_connected(&graph);
        assert_shapes(&graph);
        let of = |op: &str| graph.node.iter().filter(|node| node.op_type == op).count();
        let norms = if keep_batch_norms { of("Conv") + 1 } else { 1 + of("InstanceNormalization") };
        assert_eq!(of("BatchNormalization"), norms, "{backbone}");
    }
}

#[test]
fn the_batch_is_open_and_sizes_are_the_models() {
    let model = written(&embedder(Backbone::ResNet50), OnnxOptions::default());
    let graph = model.graph.unwrap();
    let open = || Dimension { dim_param: Some("batch".to_owned()), dim_value: None };
    let fixed = |size| Dimension { dim_value: Some(size), dim_param: None };
    let ([input], [output]) = (graph.input.as_slice(), graph.output.as_slice()) else {
        panic!("one input and one output")
    };
    assert_eq!((input.name.as_str(), output.name.as_str()), ("input", "embedding"));
    assert_eq!(sizes(input), [open(), fixed(3), fixed(256), fixed(128)]);
    assert_eq!(sizes(output), [open(), fixed(2048)]);
}

#[test]
fn a_file_says_what_it_holds() {
    let embedder = embedder(Backbone::MobileNetV2);
    let model = written(&embedder, OnnxOptions { opset: 11, ..Default::default() });
    assert_eq!((model.ir_version, model.opset_import[0].version), (6, 11));
    assert_eq!(model.producer_name, "centroids");
    let entries: BTreeMap<_, _> = model
        .metadata_props
        .iter()
        .map(|entry| (entry.key.as_str(), entry.value.as_str()))
        .collect();
    assert_eq!(entries["model"], embedder.fingerprint());
    assert_eq!(entries["input_size"], "[256, 128]");
    assert_eq!(entries["pixel_mean"], "[0.485, 0.456, 0.406]");
    assert_eq!(entries["pixel_std"], "[0.229, 0.224, 0.225]");
    assert_eq!(entries["normalized"], "false");
}

#[test]
fn other_operator_sets_are_refused() {
    let embedder = embedder(Backbone::ResNet18);
    for opset in [OPSETS.start() - 1, OPSETS.end() + 1] {
        let options = OnnxOptions { opset, ..Default::default() };
        let error = OnnxModel::new(&embedder, options).unwrap_err().to_string();
        assert!(error.contains("opset") && error.contains("11 to 17"), "{error}");
    }
}

#[test]
fn a_negative_variance_is_refused() {
    let backbone =
        BackboneOptions { backbone: Backbone::ResNet18, last_stride: 1, stem_relu: false };
    let model = ReidModel::new(ModelSpec { backbone, num_classes: 1 }, &Device::flex());
    let model = crate::weights::map_tensors(model, |name, shape| {
        let values = vec![-1.0; shape.iter().product()];
        let array = crate::weights::Array { shape: shape.to_vec(), values };
        (name == "backbone.base.layer2.0.bn1.running_var").then_some(array)
    });
    let embedder = Embedder::new(model, backbone, InputSpec::default());
    let error = OnnxModel::new(&embedder, OnnxOptions::default()).unwrap_err().to_string();
    assert!(error.contains("`layer2.0.bn1`") && error.contains("-1"), "{error}");
}
