use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use centroids::core::Pid;
use centroids::data::InputSpec;
use centroids::model::weights::{self, Array, StateDict, Tensors};
use centroids::model::{
    Backbone, BackboneOptions, Checkpoint, Device, Embedder, ModelSpec, ReidModel,
};
use predicates::prelude::*;
use serde_json::Value;

use crate::catalogue::{Shared, centroids, everything, json, succeed};
use crate::pretrained;

/// Height and width of the made-up models' images.
const SIZE: [usize; 2] = [64, 48];

/// Numbers in 0..1 that belong to a name.
fn uniform(name: &str) -> impl Iterator<Item = f32> {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let stream = name.bytes().fold(1, |hash, byte| mix(hash, byte.into()));
    (0..).map(move |i| (mix(mix(stream, i) >> 20, i) >> 40) as f32 / (1 << 24) as f32)
}

/// Random convolutions (or those of `pretrained`), and batch norms that do something.
fn checkpoint(backbone: BackboneOptions, pretrained: Option<&Path>) -> Checkpoint {
    let model = ReidModel::new(ModelSpec { backbone, num_classes: 1 }, &Device::flex());
    let model = weights::map_tensors(model, |name, shape| {
        let [least, most] = match (name.rsplit_once('.')?.1, shape) {
            // Of variance 2 / fan_in, depthwise ones too: signals neither die nor explode.
            ("weight", [_, inputs, height, width]) => {
                let bound = (6.0 / (inputs * height * width) as f32).sqrt();
                [-bound, bound]
            }
            ("weight" | "running_var", [_]) => [0.5, 1.5],
            ("bias" | "running_mean", [_]) => [-0.2, 0.2],
            _ => return None,
        };
        let values = uniform(name).take(shape.iter().product());
        let values = values.map(|value| least + (most - least) * value).collect();
        Some(Array { values, shape: shape.to_vec() })
    });
    let model = match pretrained {
        Some(path) => model.with_backbone(&StateDict::read(path).unwrap()).unwrap().0,
        None => model,
    };
    Checkpoint {
        path: PathBuf::new(),
        tensors: weights::collect(&model),
        backbone,
        input: InputSpec { size: SIZE, ..InputSpec::default() },
        pids: vec![Pid(1)],
        records: 0,
        position: Default::default(),
        config: String::new(),
    }
}

fn options(backbone: Backbone, last_stride: usize, stem_relu: bool) -> BackboneOptions {
    BackboneOptions { backbone, last_stride, stem_relu }
}

/// Writes a model's export and three images with their embeddings to `folder`.
fn case(folder: &Path, model: &Path, arguments: &[&str]) -> Value {
    fs::create_dir_all(folder).unwrap();
    let out = folder.join("model.onnx");
    let fixed = ["export", "onnx", "--model", model.to_str().unwrap(), "--out"];
    let report = json(fixed.iter().chain(&[out.to_str().unwrap()]).chain(arguments));
    let checkpoint = Checkpoint::load(model).unwrap();
    let embedder = Embedder::from_checkpoint(&checkpoint, &Device::flex()).unwrap();
    let [height, width] = embedder.input().size;
    let shape = [3, 3, height, width];
    // Stripes, of another width in each image, and noise.
    let pixel = |(i, noise): (usize, f32)| {
        let image = i / (3 * height * width) + 1;
        (i as f32 * 0.3 * image as f32).sin() + 2.0 * noise - 1.0
    };
    let noise = uniform("images").enumerate().take(shape.iter().product());
    let images: Vec<f32> = noise.map(pixel).collect();
    let mut embeddings = embedder.embed_batch(images.clone(), shape);
    if report["normalize"] == true {
        for row in embeddings.chunks_exact_mut(embedder.dim()) {
            let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    let tensors = Tensors::from([
        ("images".to_owned(), Array { shape: shape.to_vec(), values: images }),
        ("embeddings".to_owned(), Array { shape: vec![3, embedder.dim()], values: embeddings }),
    ]);
    safetensors::serialize_to_file(&tensors, None, &folder.join("case.safetensors")).unwrap();
    report
}

/// A Python with ONNX Runtime: of the environment that `CENTROIDS_PEERS_VENV` names, which is made if
/// it is not there, else of one that a script made. Without any, that is said even where the test
/// harness keeps what tests print.
fn python() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers/onnx/venv.sh");
    let named = std::env::var_os("CENTROIDS_PEERS_VENV").map(PathBuf::from);
    if let Some(folder) = &named
        && !folder.join("bin/python").exists()
    {
        assert!(Command::new(&script).arg(folder).status().unwrap().success(), "{script:?}");
    }
    let made = std::env::home_dir().into_iter().flat_map(|home| {
        ["centroids-onnx", "centroids-peers"].map(|name| home.join(".cache").join(name))
    });
    let usable = |python: &PathBuf| {
        let import = ["-c", "import onnx, onnxruntime, safetensors"];
        let output = Command::new(python).args(import).output();
        output.is_ok_and(|output| output.status.success())
    };
    let python = named.into_iter().chain(made).map(|venv| venv.join("bin/python")).find(usable);
    if python.is_none() {
        let line = "\nSKIPPED: exported models were NOT compared with ONNX Runtime; run \
                    benches/peers/onnx/venv.sh once, or set CENTROIDS_PEERS_VENV\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    python
}

#[test]
fn onnx_runtime_gives_the_same_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    let mut folders = Vec::new();
    let mut export = |name: &str, model: &Path, arguments: &[&str]| {
        let folder = folder.path().join(name);
        let report = case(&folder, model, arguments);
        folders.push(folder);
        report
    };
    let made_up = |name: &str, options, pretrained: Option<&Path>| {
        let path = folder.path().join(format!("{name}.safetensors"));
        checkpoint(options, pretrained).save(&path).unwrap();
        path
    };
    let trained = Shared::get().run().join("checkpoints/best.safetensors");
    export("trained", &trained, &[]);
    let resnet18 = made_up("resnet18", options(Backbone::ResNet18, 1, false), None);
    let report = export("resnet18", &resnet18, &["--opset", "14"]);
    assert_eq!(report["input"], serde_json::json!([null, 3, 64, 48]));
    assert_eq!((&report["output"][1], &report["opset"]), (&512.into(), &14.into()));
    let folded = report["nodes"].as_u64().unwrap();
    let report =
        export("unfolded", &resnet18, &["--keep-batch-norms", "--normalize", "--opset", "11"]);
    assert_eq!(report["nodes"].as_u64().unwrap(), folded + 20 + 3); // batch norms, and the length
    let resnet50 = made_up("resnet50", options(Backbone::ResNet50, 1, false), None);
    export("resnet50", &resnet50, &[]);
    let torchvision = made_up("resnet50-stride2", options(Backbone::ResNet50, 2, true), None);
    export("resnet50-stride2", &torchvision, &["--normalize"]);
    let ibn = made_up("resnet50_ibn_a", options(Backbone::ResNet50IbnA, 1, false), None);
    export("resnet50_ibn_a", &ibn, &["--opset", "11"]);
    let mobilenet = options(Backbone::MobileNetV2, 1, false);
    export("mobilenet_v2", &made_up("mobilenet_v2", mobilenet, None), &["--opset", "11"]);
    if let Some(path) = pretrained::weights() {
        let pretrained = made_up("mobilenet_v2-imagenet", mobilenet, Some(&path));
        export("mobilenet_v2-imagenet", &pretrained, &[]);
    }

    let Some(python) = python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers/onnx/check.py");
    let output = Command::new(python).arg(script).args(&folders).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().count(), folders.len());
}

#[test]
fn the_report_names_model_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.onnx");
    let run = Shared::get().run();
    let arguments = ["export", "onnx", "--model", run.to_str().unwrap(), "--out"];
    let arguments: Vec<&str> = arguments.into_iter().chain([out.to_str().unwrap()]).collect();
    let text = String::from_utf8(succeed(&arguments).stdout).unwrap();
    for part in ["resnet18@", "[batch, 3, 32, 32] → [batch, 512]", "opset 17", "model.onnx"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let report = json(&arguments);
    assert_eq!(report["bytes"].as_u64().unwrap(), fs::metadata(&out).unwrap().len());
    assert_eq!(everything(folder.path()), [Path::new("model.onnx")], "nothing else is left");
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let export = |model: &Path, out: &Path| {
        let mut command = centroids(["export", "onnx", "-q", "--model"]);
        command.arg(model).arg("--out").arg(out);
        command
    };
    let mut bad = checkpoint(options(Backbone::ResNet18, 1, false), None);
    bad.tensors.get_mut("backbone.base.bn1.running_var").unwrap().values[7] = -1.0;
    bad.save(&path("bad.safetensors")).unwrap();
    bad.backbone.last_stride = 3;
    bad.save(&path("odd.safetensors")).unwrap();
    fs::write(path("file"), "").unwrap();
    let before = everything(folder.path());

    let run = Shared::get().run();
    let refused = |model: &Path, out: &Path, parts: &[&str]| {
        let output = export(model, out).assert().code(1).get_output().clone();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("error: ") && text.trim_end().lines().count() == 1, "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} are not in {text}");
    };
    let out = path("model.onnx");
    refused(&run, &path("model.pb"), &["model.pb", ".onnx"]);
    refused(&run, &path("none/model.onnx"), &["none/model.onnx"]);
    refused(&run, &path("file/model.onnx"), &["file/model.onnx"]);
    refused(&path("none"), &out, &["none"]);
    refused(&path("bad.safetensors"), &out, &["bad.safetensors", "running_var = -1", "`bn1`"]);
    refused(&path("odd.safetensors"), &out, &["odd.safetensors", "last_stride", "1 or 2"]);
    for opset in ["10", "18", "x"] {
        let range = predicate::str::contains("--opset");
        export(&run, &out).args(["--opset", opset]).assert().code(2).stderr(range);
    }
    assert_eq!(everything(folder.path()), before);
}
