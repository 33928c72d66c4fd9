use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use centroids::core::{Embeddings, Pid};

use crate::catalogue::{Shared, centroids, everything, pictures, train_command};

/// The command fails, and without being told to be quiet says why in one line.
fn refused_in_one_line(mut command: Command, part: &str) {
    let output = command.assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: ") && text.trim_end().lines().count() == 1, "{text}");
    assert!(text.contains(part), "{part:?} is not in: {text}");
}

fn embed(inputs: &[&Path]) -> Embeddings {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let mut command = centroids(["embed", "--model"]);
    command.arg(Shared::get().run()).args(inputs).arg("--out").arg(&out).assert().success();
    Embeddings::load(&out).unwrap()
}

/// Copies pictures of the shared catalogue into `folder` under the given names.
fn plant(folder: &Path, names: &[&str]) {
    for (name, picture) in names.iter().zip(pictures(&Shared::get().catalogue().join("query"))) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(picture, file).unwrap();
    }
}

fn demo(dir: &Path, more: &[&str]) -> Command {
    let mut command = centroids(["demo", "--epochs", "1", "--dir"]);
    command.arg(dir).args(more);
    command
}

#[test]
fn a_demo_overwrites_no_file_of_others() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["search.png", "gallery.safetensors"] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let before = everything(folder.path());
    refused_in_one_line(demo(folder.path(), &["--train-ids", "16"]), "--dir");
    assert_eq!(everything(folder.path()), before);
    for name in before {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "mine");
    }
}

#[test]
fn a_demo_does_not_go_on_with_other_options() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("demo.json"), r#"{"seed":0,"epochs":1,"train_ids":16}"#).unwrap();
    refused_in_one_line(demo(folder.path(), &["--train-ids", "17"]), "--train-ids 16");
    refused_in_one_line(demo(folder.path(), &["--train-ids", "16", "--seed", "1"]), "--seed 0");
    fs::write(folder.path().join("demo.json"), "mine").unwrap();
    refused_in_one_line(demo(folder.path(), &["--train-ids", "16"]), "demo.json");
    assert_eq!(everything(folder.path()), [PathBuf::from("demo.json")]);
}

#[test]
fn numbered_folders_keep_their_numbers_also_when_there_are_several() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), &["a/7/x.jpg", "a/9/x.jpg", "b/7/y.jpg", "b/12/y.jpg"]);
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    let both = embed(&[&a, &b]);
    assert_eq!(both.pids(), [7, 9, 12, 7].map(Pid));
    assert!(both.pid_names().is_empty());
}

#[test]
fn folders_of_one_name_are_one_identity_in_all_inputs() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), &["a/bag/x.jpg", "a/hat/x.jpg", "b/bag/y.jpg", "b/12/y.jpg"]);
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    let both = embed(&[&a, &b]);
    let names: Vec<&str> = both.pids().iter().map(|pid| both.pid_names()[pid].as_str()).collect();
    assert_eq!(names, ["bag", "hat", "12", "bag"]);
}

#[test]
fn files_of_one_name_in_two_folders_are_two_identities() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), &["shoes/front.jpg", "bags/front.jpg"]);
    let folders = ["shoes", "bags"].map(|name| folder.path().join(name));
    let files = folders.each_ref().map(|folder| folder.join("front.jpg"));
    let list = folder.path().join("list.txt");
    fs::write(&list, "shoes/front.jpg\nbags/front.jpg\n").unwrap();
    for inputs in [&[&*folders[0], &*folders[1]][..], &[&*files[0], &*files[1]], &[&*list]] {
        let set = embed(inputs);
        assert_ne!(set.pids()[0], set.pids()[1], "{inputs:?}");
        assert_eq!(set.pid_names().len(), 2);
        assert_ne!(set.pid_names()[&set.pids()[0]], set.pid_names()[&set.pids()[1]]);
    }
}

#[test]
fn a_missing_output_folder_is_found_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    // The model is missing too: whichever is named first was looked for first.
    let mut command = centroids(["embed", "--model", "no-model"]);
    command.arg(Shared::get().picture()).arg("--out").arg(folder.path().join("no/out.safetensors"));
    refused_in_one_line(command, "no/out.safetensors");
}

#[test]
fn a_refused_training_says_nothing_but_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let pairs = ["DATALOADER.NUM_INSTANCE", "99"];
    refused_in_one_line(train_command(&Shared::get().catalogue(), &run, &pairs), "K=99");
    let shared = Shared::get();
    refused_in_one_line(train_command(&shared.catalogue(), &shared.run(), &[]), "--resume");
}

#[test]
fn files_that_cannot_be_compared_are_refused_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.safetensors");
    let paths = vec!["x".to_owned()];
    let set = Embeddings::new(3, vec![1.0; 3], vec![Pid(1)], vec![None], paths).unwrap();
    set.with_model("another".to_owned()).save(&other).unwrap();
    let mut command = centroids(["evaluate", "--gallery"]);
    command.arg(&other).arg("--query").arg(Shared::get().embeddings("query"));
    refused_in_one_line(command, "dimensions");
}

#[test]
fn options_without_effect_are_wrong_usage() {
    let wrong: [&[&str]; 2] = [
        &["search", "--gallery", "g", "--image", "i", "--query", "q"],
        &["search", "--gallery", "g", "--image", "i", "--unit", "all"],
    ];
    for arguments in wrong {
        centroids(arguments).assert().code(2);
    }
}

#[test]
fn wrong_values_are_answered_with_the_right_ones() {
    let output = centroids(["evaluate", "--run", "r", "--unit", "centroids"]).assert().code(2);
    let text = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(text.contains("instance, nearest, centroid, all"), "{text}");
    let mut command = centroids(["data", "inspect", "--layout", "DukeMTMC-reID"]);
    command.arg(Shared::get().catalogue()).assert().success();
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("centroids"));
    let child = command.args(["data", "inspect"]).arg(Shared::get().catalogue());
    let child = child.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
