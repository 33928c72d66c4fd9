use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

use crate::catalogue::{
    Shared, centroids, everything, pictures, synth, synth_command, train_command,
};

/// The command fails with one line that holds all `parts`, and prints no result.
fn refused(mut command: Command, parts: &[&str]) {
    let output = command.arg("-q").assert().code(1).get_output().clone();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
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
    let flat = folder.path().join("only-text");
    fs::create_dir(&flat).unwrap();
    fs::write(flat.join("notes.txt"), "mine").unwrap();
    let before = everything(folder.path());
    for input in [&none, &empty, &flat] {
        let name = input.file_name().unwrap().to_str().unwrap();
        refused(embed(input, &out), &[name]);
        refused(train_command(input, &folder.path().join("run"), &[]), &[name]);
        let mut inspect = centroids(["data", "inspect"]);
        inspect.arg(input);
        refused(inspect, &[name]);
        let mut evaluate = centroids(["evaluate", "--run"]);
        evaluate.arg(Shared::get().run()).arg("--dataset").arg(input);
        refused(evaluate, &[name]);
    }
    let mut search = centroids(["search", "--gallery"]);
    search.arg(Shared::get().embeddings("gallery")).arg("--image").arg(&none);
    refused(search, &["none"]);
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn the_error_is_the_last_line_after_notes_and_json_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = embed(&folder.path().join("none"), &folder.path().join("out.safetensors"));
    let output = command.args(["--json", "-v"]).assert().code(1).get_output().clone();
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.lines().last().unwrap().starts_with("error: "), "{text}");
    assert_eq!(text.matches("error: ").count(), 1, "{text}");
}

#[test]
fn a_truncated_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (set, out) = with_truncated(&folder);
    fs::write(&out, "of before").unwrap();
    let before = everything(folder.path());
    let mut strict = embed(&set, &out);
    strict.arg("--strict");
    refused(strict, &["cut.jpg"]);
    assert_eq!(everything(folder.path()), before);
    assert_eq!(fs::read_to_string(&out).unwrap(), "of before");

    let output = embed(&set, &out).assert().success().get_output().clone();
    assert!(String::from_utf8(output.stderr).unwrap().contains("cut.jpg"));
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 images left out"));
    assert_eq!(centroids::core::Embeddings::load(&out).unwrap().len(), 2);

    let mut search = centroids(["search", "--gallery"]);
    search.arg(Shared::get().embeddings("gallery")).arg("--image").arg(set.join("shoe/cut.jpg"));
    refused(search, &["cut.jpg"]);
}

#[test]
fn a_training_names_the_truncated_picture_and_can_go_on_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (broken, run) = (folder.path().join("broken"), folder.path().join("run"));
    synth(&broken);
    let train = broken.join("bounding_box_train");
    for file in pictures(&train) {
        // All of one identity, for an epoch draws not every picture.
        if file.file_name().unwrap().to_str().unwrap().starts_with("0003_") {
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() - 40]).unwrap();
        }
    }
    let epoch = ["SOLVER.MAX_EPOCHS", "1"];
    refused(train_command(&broken, &run, &epoch), &["bounding_box_train/0003_c", ".jpg"]);
    let left = everything(&run);
    let events = "events.out.tfevents.centroids";
    let whole = ["checkpoints", "checkpoints/last.safetensors", "config.toml", events, "lock"];
    assert_eq!(left, whole.map(PathBuf::from), "a run from its beginning, no half-written file");

    fs::remove_dir_all(&broken).unwrap();
    synth(&broken);
    centroids(["train", "--resume"]).arg(&run).assert().success();
}

#[test]
fn a_folder_with_other_files_is_no_place_for_a_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "mine").unwrap();
    refused(synth_command(&foreign), &["foreign"]);
    assert_eq!(everything(folder.path()), ["foreign", "foreign/thesis.txt"].map(PathBuf::from));
    assert_eq!(fs::read_to_string(foreign.join("thesis.txt")).unwrap(), "mine");
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
        let pairs = [(&bad, &good), (&good, &bad)];
        let parts: Vec<&str> = parts.iter().copied().chain(["bad.safetensors"]).collect();
        for (query, gallery) in pairs {
            let mut command = centroids(["evaluate", "--query"]);
            command.arg(query).arg("--gallery").arg(gallery);
            refused(command, &parts);
        }
        let picture = Shared::get().picture();
        let mut command = centroids(["search", "--gallery"]);
        command.arg(&bad).arg("--image").arg(picture);
        refused(command, &parts);
    };
    let mut nan = bytes.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    refuse(&nan, &["NaN"]);
    refuse(&bytes[..bytes.len() - 10], &["truncated"]);
    refuse(&bytes[..5], &["not a safetensors file"]);
    refuse(b"these are not the vectors you are looking for", &["not a safetensors file"]);
    refuse(
        &fs::read(Shared::get().run().join("checkpoints/last.safetensors")).unwrap(),
        &["format"],
    );

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
    let mut command = centroids(["search", "--gallery"]);
    command.arg(&bad).arg("--image").arg(Shared::get().picture());
    command.arg("--model").arg(Shared::get().run());
    refused(command, &["512", "3", "dimensions"]);
    refused(embed(&Shared::get().picture(), &folder.path().join("out.csv")), &["out.csv"]);
    assert_eq!(everything(folder.path()), [PathBuf::from("bad.safetensors")]);
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
    refused(embed(&folder.path().join("none")), &["none"]);
    assert_eq!(everything(folder.path()), [PathBuf::from("bad.safetensors")]);

    let before = everything(&shared.run());
    let again = train_command(&shared.catalogue(), &shared.run(), &[]);
    refused(again, &["--resume"]);
    assert_eq!(everything(&shared.run()), before);
    let mut resume = centroids(["train", "--resume"]);
    resume.arg(folder.path());
    refused(resume, &["config.toml"]);
}

#[test]
fn weights_that_the_last_step_ruined_replace_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (run, catalogue) = (folder.path().join("run"), Shared::get().catalogue());
    for (name, lr) in [("infinite", "1e38"), ("huge", "1e30")] {
        let run = run.join(name);
        // Few steps an epoch, so that the ruin may come with the epoch's last one.
        let pairs = ["SOLVER.BASE_LR", lr, "SOLVER.USE_WARMUP_LR", "False"];
        let batch = ["SOLVER.IMS_PER_BATCH", "8", "DATALOADER.NUM_INSTANCE", "8"];
        let pairs = [&pairs[..], &batch[..]].concat();
        refused(train_command(&catalogue, &run, &pairs), &["epoch 1, step 1", "base_lr"]);
        let mut command = centroids(["evaluate", "--run"]);
        command.arg(&run).assert().success();
    }
}

#[test]
fn two_processes_do_not_train_in_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let pairs = ["SOLVER.MAX_EPOCHS", "1"];
    train_command(&Shared::get().catalogue(), &run, &pairs).assert().success();
    let lock = fs::File::options().append(true).open(run.join("lock")).unwrap();
    lock.try_lock().unwrap();
    let mut resume = centroids(["train", "--resume"]);
    resume.arg(&run);
    refused(resume, &["another process"]);
}
