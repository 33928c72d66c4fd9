use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

use crate::catalogue::{Shared, centroids, synth, train_command};

/// The command fails with one line that holds all `parts`.
fn refused(mut command: Command, parts: &[&str]) {
    let output = command.arg("-q").assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: ") && text.trim_end().lines().count() == 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

fn embed(input: &Path, out: &Path) -> Command {
    let mut command = centroids(["embed", "--model"]);
    command.arg(Shared::get().run()).arg(input).arg("--out").arg(out);
    command
}

/// A folder with one identity: two good pictures and one cut in the middle.
fn with_truncated(folder: &TempDir) -> (PathBuf, PathBuf) {
    let picture = Shared::get().picture();
    let identity = folder.path().join("set/shoe");
    fs::create_dir_all(&identity).unwrap();
    fs::copy(&picture, identity.join("a.jpg")).unwrap();
    fs::copy(&picture, identity.join("b.jpg")).unwrap();
    let bytes = fs::read(&picture).unwrap();
    fs::write(identity.join("cut.jpg"), &bytes[..bytes.len() / 2]).unwrap();
    (folder.path().join("set"), folder.path().join("out.safetensors"))
}

#[test]
fn missing_and_empty_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (none, out) = (folder.path().join("none"), folder.path().join("out.safetensors"));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for input in [&none, &empty] {
        let name = input.file_name().unwrap().to_str().unwrap();
        refused(embed(input, &out), &[name]);
        refused(train_command(input, &folder.path().join("run"), &[]), &[name]);
        let mut inspect = centroids(["data", "inspect"]);
        inspect.arg(input);
        refused(inspect, &[name]);
    }
    assert!(!out.exists() && !folder.path().join("run").exists());
}

#[test]
fn a_truncated_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (set, out) = with_truncated(&folder);
    let mut strict = embed(&set, &out);
    strict.arg("--strict");
    refused(strict, &["cut.jpg"]);
    assert!(!out.exists());

    let output = embed(&set, &out).assert().success().get_output().clone();
    assert!(String::from_utf8(output.stderr).unwrap().contains("cut.jpg"));
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 images left out"));

    let broken = folder.path().join("broken");
    synth(&broken);
    for file in crate::catalogue::pictures(&broken.join("bounding_box_train")) {
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 40]).unwrap();
    }
    refused(train_command(&broken, &folder.path().join("run"), &[]), &["bounding_box_train"]);
}

#[test]
fn settings() {
    let folder = tempfile::tempdir().unwrap();
    let (run, catalogue) = (folder.path().join("run"), Shared::get().catalogue());
    let train = |pairs: &[&str]| train_command(&catalogue, &run, pairs);
    refused(train(&["SOLVER.BASE_LRR", "1"]), &["solver.base_lrr", "solver.base_lr"]);
    refused(train(&["SOLVER.BASE_LR", "fast"]), &["solver.base_lr", "number"]);
    refused(train(&["SOLVER.MAX_EPOCHS"]), &["SOLVER.MAX_EPOCHS"]);
    refused(train(&["SOLVER.MAX_EPOCHS", "0"]), &["solver.max_epochs"]);
    refused(train(&["MODEL.NAME", "resnet19"]), &["resnet19", "resnet18"]);
    refused(train(&["DATALOADER.NUM_INSTANCE", "99"]), &["K", "99", "8 images"]);
    refused(train(&["SOLVER.IMS_PER_BATCH", "99"]), &["99", "8"]);
    refused(train(&["SEED", "-1"]), &["seed", "from 0 up"]);
    refused(train(&["SOLVER.MARGIN", "-0.5"]), &["solver.margin", "negative"]);
    refused(train(&["INPUT.PADDING", "99999999"]), &["input.padding", "at most"]);
    refused(train(&["DATALOADER.NUM_WORKERS", "100000"]), &["dataloader.num_workers"]);
    refused(train(&["DEVICE", "gpu"]), &["gpu", "cpu"]);
    assert!(!run.exists());

    let file = folder.path().join("bad.toml");
    fs::write(&file, "[solver]\nmargn = 0.3\n").unwrap();
    let mut command = centroids(["train", "--config"]);
    command.arg(&file);
    refused(command, &["bad.toml", "solver.margn", "solver.margin"]);
    fs::write(&file, "[solver\n").unwrap();
    let mut command = centroids(["train", "--config"]);
    command.arg(&file);
    refused(command, &["bad.toml"]);
}

#[test]
fn a_diverging_training_names_step_and_term_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (run, catalogue) = (folder.path().join("run"), Shared::get().catalogue());
    let pairs = ["SOLVER.BASE_LR", "1e30", "SOLVER.USE_WARMUP_LR", "False"];
    refused(train_command(&catalogue, &run, &pairs), &["step", "epoch", "base_lr"]);
    let mut command = centroids(["evaluate", "--run"]);
    command.arg(&run).assert().success();
}

#[test]
fn embedding_files() {
    let folder = tempfile::tempdir().unwrap();
    let good = Shared::get().embeddings("query");
    let bytes = fs::read(&good).unwrap();
    let bad = folder.path().join("bad.safetensors");
    let refuse = |content: &[u8], parts: &[&str]| {
        fs::write(&bad, content).unwrap();
        let mut command = centroids(["evaluate", "--query"]);
        command.arg(&bad).arg("--gallery").arg(&good);
        let parts: Vec<&str> = parts.iter().copied().chain(["bad.safetensors"]).collect();
        refused(command, &parts);
        let picture = Shared::get().picture();
        let mut command = centroids(["search", "--gallery"]);
        command.arg(&bad).arg("--image").arg(picture);
        refused(command, &parts);
    };
    let mut nan = bytes.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    refuse(&nan, &["NaN"]);
    refuse(&bytes[..bytes.len() - 10], &[]);
    refuse(&bytes[..5], &[]);
    refuse(b"these are not the vectors you are looking for", &[]);
    refuse(&fs::read(Shared::get().run().join("checkpoints/last.safetensors")).unwrap(), &[]);

    let set = centroids::core::Embeddings::new(
        3,
        vec![1.0; 3],
        vec![centroids::core::Pid(1)],
        vec![None],
        vec!["x".to_owned()],
    );
    set.unwrap().save(&bad).unwrap();
    let mut command = centroids(["evaluate", "--query"]);
    command.arg(&good).arg("--gallery").arg(&bad);
    refused(command, &["512", "3", "dimensions"]);
}

#[test]
fn models_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, out) = (Shared::get(), folder.path().join("out.safetensors"));
    let checkpoint = fs::read(shared.run().join("checkpoints/last.safetensors")).unwrap();
    let bad = folder.path().join("bad.safetensors");
    let embed = |model: &Path| {
        let mut command = centroids(["embed", "--model"]);
        command.arg(model).arg(shared.picture()).arg("--out").arg(&out);
        command
    };
    for content in [&checkpoint[..1000], &checkpoint[..checkpoint.len() - 1], b"weights"] {
        fs::write(&bad, content).unwrap();
        refused(embed(&bad), &["bad.safetensors"]);
    }
    refused(embed(&shared.embeddings("query")), &["query.safetensors"]);
    refused(embed(folder.path()), &["config.toml"]);
    assert!(!out.exists());

    let again = train_command(&shared.catalogue(), &shared.run(), &[]);
    refused(again, &["--resume"]);
    let mut resume = centroids(["train", "--resume"]);
    resume.arg(folder.path());
    refused(resume, &["config.toml"]);
}
