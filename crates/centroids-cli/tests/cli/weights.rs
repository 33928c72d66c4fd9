use std::fs;
use std::path::{Path, PathBuf};

use centroids::core::Embeddings;
use centroids::model::weights::StateDict;

use crate::catalogue::{Shared, centroids, json, succeed, train};

/// The last checkpoint of the shared run.
fn checkpoint() -> PathBuf {
    Shared::get().run().join("checkpoints/last.safetensors")
}

fn embed(model: &Path, out: &Path) -> Embeddings {
    let mut command = centroids(["embed", "--split", "query", "--model"]);
    let catalogue = Shared::get().catalogue();
    command.arg(model).arg(catalogue).arg("--out").arg(out).assert().success();
    Embeddings::load(out).unwrap()
}

/// The last line on stderr of a command that fails, of which it is the only one.
fn refusal(arguments: &[&str]) -> String {
    let output = centroids(arguments).assert().code(1).get_output().clone();
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

/// What PyTorch-Lightning writes of the reference's model: the stream of pickles of `torch.save`
/// with the weights of a checkpoint of ours.
mod lightning {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
    }

    fn number(number: usize) -> Vec<u8> {
        [b"J", (number as u32).to_le_bytes().as_slice()].concat()
    }

    fn tuple(numbers: impl IntoIterator<Item = usize>) -> Vec<u8> {
        [&b"("[..], &numbers.into_iter().flat_map(number).collect::<Vec<u8>>(), b"t"].concat()
    }

    fn float(value: f64) -> Vec<u8> {
        [b"G", value.to_be_bytes().as_slice()].concat()
    }

    fn pickle(value: &[u8]) -> Vec<u8> {
        [b"\x80\x02", value, b"."].concat()
    }

    /// A settings object of a class that is not here.
    fn node(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        [&b"cyacs.config\nCfgNode\n)\x81("[..], &pairs(entries), b"u}", &text("frozen"), b"\x88sb"]
            .concat()
    }

    fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        [&b"}("[..], &pairs(entries), b"u"].concat()
    }

    fn pairs(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect()
    }

    fn tensor(key: usize, shape: &[usize]) -> Vec<u8> {
        let stride = |axis: usize| shape[axis + 1..].iter().product();
        [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text(&key.to_string()),
            &text("cuda:0"),
            &number(shape.iter().product()),
            b"tQ",
            &number(0),
            &tuple(shape.iter().copied()),
            &tuple((0..shape.len()).map(stride)),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    }

    fn settings() -> Vec<u8> {
        let model = node(&[("NAME", text("resnet18")), ("LAST_STRIDE", number(1))]);
        let mean = [&b"]("[..], &[0.485, 0.456, 0.406].map(float).concat(), b"e"].concat();
        let input = node(&[("SIZE_TEST", tuple([32, 32])), ("PIXEL_MEAN", mean)]);
        let solver = node(&[("DISTANCE_FUNC", text("cosine"))]);
        node(&[("MODEL", model), ("INPUT", input), ("SOLVER", solver), ("num_classes", number(8))])
    }

    pub(super) fn write(path: &Path) {
        let file = StateDict::read(&checkpoint()).unwrap();
        let weights = file.tensors().iter().filter(|(name, _)| !name.starts_with("adam."));
        let weights: Vec<_> = weights.collect();
        let (mut tensors, mut storages) = (Vec::new(), Vec::new());
        for (key, (name, weight)) in weights.iter().enumerate() {
            tensors.push((name.as_str(), tensor(key, &weight.shape)));
            storages.extend((weight.bytes.len() as u64 / 4).to_le_bytes());
            storages.extend(&weight.bytes);
        }
        let saver = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n".to_vec();
        let checkpoint = dict(&[
            ("epoch", number(120)),
            ("pytorch-lightning_version", text("1.1.4")),
            ("callbacks", [&b"}"[..], &saver, b"}s"].concat()),
            ("state_dict", dict(&tensors)),
            ("hyper_parameters", settings()),
        ]);
        let keys: Vec<u8> = (0..weights.len()).flat_map(|key| text(&key.to_string())).collect();
        let parts = [
            pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"),
            pickle(b"M\xe9\x03"),
            pickle(&dict(&[("little_endian", b"\x88".to_vec())])),
            pickle(&checkpoint),
            pickle(&[&b"]("[..], &keys, b"e"].concat()),
            storages,
        ];
        fs::write(path, parts.concat()).unwrap();
    }
}

#[test]
fn a_run_is_shown_as_what_it_is() {
    let run = Shared::get().run();
    let run = run.to_str().unwrap();
    let found = json(["weights", "inspect", run]);
    assert_eq!(found["kind"], "checkpoint");
    assert_eq!((&found["backbone"], &found["classes"]), (&"resnet18".into(), &8.into()));
    assert_eq!((&found["epoch"], &found["trained"]), (&2.into(), &true.into()));
    assert_eq!(found["input"]["size"], serde_json::json!([32, 32]));
    let text = String::from_utf8(succeed(["weights", "inspect", run]).stdout).unwrap();
    for part in ["checkpoint of a training", "512 dimensions", "8 (fc_query.weight)", "32 × 32"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let listed = |text: &str| text.lines().filter(|line| line.contains(" F32 ")).count();
    let all = found["tensors"].as_array().unwrap().len();
    assert!(listed(&text) == 12 && text.contains(&format!("and {} more", all - 12)), "{text}");
    let text = String::from_utf8(succeed(["weights", "inspect", "-v", run]).stdout).unwrap();
    assert_eq!(listed(&text), all);
}

#[test]
fn a_converted_run_makes_the_same_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (folder.path().join("m.safetensors"), folder.path().join("e.safetensors"));
    let mut command = centroids(["weights", "convert"]);
    command.arg(Shared::get().run()).arg(&model).assert().success();
    assert!(fs::metadata(&model).unwrap().len() < fs::metadata(checkpoint()).unwrap().len() / 2);
    let (ours, theirs) =
        (embed(&model, &out), Embeddings::load(&Shared::get().embeddings("query")));
    let theirs = theirs.unwrap();
    assert_eq!((ours.values(), ours.model()), (theirs.values(), theirs.model()));
    let found = json(["weights".as_ref(), "inspect".as_ref(), model.as_os_str()]);
    assert_eq!((&found["kind"], &found["classes"]), (&"model".into(), &8.into()));
    // Once more changes nothing.
    let again = folder.path().join("again.safetensors");
    centroids(["weights", "convert"]).arg(&model).arg(&again).assert().success();
    assert_eq!(
        StateDict::read(&again).unwrap().tensors(),
        StateDict::read(&model).unwrap().tensors()
    );
}

#[test]
fn a_checkpoint_of_the_reference_is_a_model_and_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (folder.path().join("m.ckpt"), folder.path().join("e.safetensors"));
    lightning::write(&model);
    let (ours, theirs) =
        (embed(&model, &out), Embeddings::load(&Shared::get().embeddings("query")));
    let theirs = theirs.unwrap();
    assert_eq!((ours.values(), ours.model()), (theirs.values(), theirs.model()));

    let path = model.to_str().unwrap();
    let text = String::from_utf8(succeed(["weights", "inspect", path]).stdout).unwrap();
    for part in ["trained model of the reference", "resnet18", "PyTorch-Lightning 1.1.4", "120"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let (catalogue, run) = (Shared::get().catalogue(), folder.path().join("run"));
    let pairs = ["SOLVER.MAX_EPOCHS", "1", "MODEL.PRETRAIN_PATH", path];
    let output = train(&catalogue, &run, &pairs).success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("100 tensors matched, 0 missing"), "{said}");
    assert!(said.contains("of 8 classes: only its backbone is taken"), "{said}");

    let converted = folder.path().join("m.safetensors");
    centroids(["weights", "convert", path]).arg(&converted).assert().success();
    assert_eq!(embed(&converted, &out).values(), theirs.values());
}

#[test]
fn a_backbone_is_no_model_and_the_error_says_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let backbone = folder.path().join("resnet18.safetensors");
    let run = Shared::get().run();
    let mut command = centroids(["weights", "convert", "--names", "torchvision"]);
    command.arg(run).arg(&backbone).assert().success();
    let tensors = StateDict::read(&backbone).unwrap();
    assert_eq!(tensors.tensors().len(), 100);
    assert_eq!(tensors.tensors()["layer4.1.bn2.running_var"].shape, [512]);
    let path = backbone.to_str().unwrap();
    assert_eq!(json(["weights", "inspect", path])["kind"], "backbone");
    let (picture, out) = (Shared::get().picture(), folder.path().join("e.safetensors"));
    let (picture, out) = (picture.to_str().unwrap(), out.to_str().unwrap());
    let said = refusal(&["embed", "--model", path, picture, "--out", out]);
    for part in ["resnet18 without a trained neck", "MODEL.PRETRAIN_PATH", ".ckpt"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    let gallery = Shared::get().embeddings("gallery");
    let said = refusal(&["embed", "--model", gallery.to_str().unwrap(), picture, "--out", out]);
    assert!(said.contains("is a file of embeddings, no model"), "{said}");
}

#[test]
fn what_cannot_be_converted_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let gallery = Shared::get().embeddings("gallery");
    let (gallery, out) = (gallery.to_str().unwrap(), path("out.safetensors"));
    let said = refusal(&["weights", "convert", gallery, &out]);
    assert!(said.contains("--names original"), "{said}");
    assert!(refusal(&["weights", "convert", gallery, &path("out.pth")]).contains(".safetensors"));
    let said = refusal(&["weights", "convert", gallery, &path("none/out.safetensors")]);
    assert!(said.contains("does not exist"), "{said}");
    assert!(refusal(&["weights", "inspect", &path("none.pth")]).contains("none.pth"));
    fs::write(path("page.pth"), "<html>").unwrap();
    assert!(refusal(&["weights", "inspect", &path("page.pth")]).contains("web page"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    centroids(["weights", "convert", "--names", "original", gallery, &out]).assert().success();
    let (copy, file) = (StateDict::read(out.as_ref()), StateDict::read(gallery.as_ref()));
    assert_eq!(copy.unwrap().tensors(), file.unwrap().tensors());
}
