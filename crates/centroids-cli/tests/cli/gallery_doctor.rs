use std::fs;
use std::path::{Path, PathBuf};

use centroids::core::{Embeddings, Pid};
use serde_json::Value;

use crate::catalogue::{Shared, centroids, everything, json, succeed};

/// The gallery of the catalogue with vectors that show its classes plainly.
struct Plain {
    pids: Vec<Pid>,
    paths: Vec<String>,
    values: Vec<Vec<f32>>,
}

impl Plain {
    fn new() -> Plain {
        let gallery = Embeddings::load(&Shared::get().embeddings("gallery")).unwrap();
        let mut classes = gallery.pids().to_vec();
        classes.sort_unstable();
        classes.dedup();
        let vector = |(row, pid): (usize, &Pid)| {
            let class = classes.binary_search(pid).unwrap();
            let mut vector = vec![0.0; classes.len() + 2];
            vector[class] = 10.0;
            // A place of its own for each image around that of its class.
            let angle = row as f32;
            vector[classes.len()..].copy_from_slice(&[angle.cos(), angle.sin()]);
            vector
        };
        let values = gallery.pids().iter().enumerate().map(vector).collect();
        Plain { pids: gallery.pids().to_vec(), paths: gallery.paths().to_vec(), values }
    }

    fn save(&self, file: &Path) {
        let (dim, n) = (self.values[0].len(), self.pids.len());
        let (values, paths) = (self.values.concat(), self.paths.clone());
        let set = Embeddings::new(dim, values, self.pids.clone(), vec![None; n], paths).unwrap();
        set.save(file).unwrap();
    }

    /// Rows of two classes.
    fn rows_of_two_classes(&self) -> [usize; 2] {
        let other = self.pids.iter().position(|&pid| pid != self.pids[0]).unwrap();
        [0, other]
    }
}

fn doctor(gallery: &Path, more: &[&str]) -> Value {
    let arguments = ["gallery", "doctor", gallery.to_str().unwrap()];
    json(arguments.into_iter().chain(more.iter().copied()))
}

fn rows(list: &Value, image: &str) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|found| found[image]["row"].as_u64().unwrap()).collect()
}

/// The verdict on each row.
fn verdicts(keep: &Path) -> Vec<String> {
    let text = fs::read_to_string(keep).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("path,pid,verdict,suggested,reasons"));
    lines.map(|line| line.split(',').nth(2).unwrap().to_owned()).collect()
}

#[test]
fn planted_faults_are_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut plain = Plain::new();
    let [first, other] = plain.rows_of_two_classes();
    let n = plain.pids.len();
    // A wrong label, a picture that is there twice, one whose file is gone; and one in both files.
    (plain.pids[first], plain.pids[other]) = (plain.pids[other], plain.pids[first]);
    plain.values[n - 1] = plain.values[n - 2].clone();
    plain.pids[n - 1] = plain.pids[n - 2];
    plain.paths[other] = "gone/picture.jpg".to_owned();
    plain.save(&path("g.safetensors"));
    let mut query = Plain::new();
    query.values.iter_mut().flatten().for_each(|value| *value *= 1.5);
    query.values[1][0] += 40.0;
    query.save(&path("q.safetensors"));

    let out = path("out");
    let [query, dir] = [&path("q.safetensors"), &out].map(|path| path.to_str().unwrap().to_owned());
    let arguments = ["--against", &query, "--out", &dir, "--normalize", "false"];
    let said = doctor(&path("g.safetensors"), &arguments);
    let wrong = rows(&said["mislabelled"], "image");
    assert!(wrong.len() == 2 && wrong.contains(&(first as u64)) && wrong.contains(&(other as u64)));
    let redundant = &said["duplicates"]["redundant"];
    assert_eq!(
        (&redundant["count"], rows(&redundant["listed"], "second")),
        (&1.into(), vec![n as u64 - 1])
    );
    assert_eq!(said["duplicates"]["leaks"]["count"], 0, "another scale is another place");
    assert_eq!(said["effect"]["against"][0]["queries"], n);
    assert_eq!(said["files"]["missing"], Value::from(vec!["gone/picture.jpg"]));

    assert_eq!(everything(&out), ["findings.json", "index.html", "keep.csv"].map(PathBuf::from));
    let written: Value =
        serde_json::from_slice(&fs::read(out.join("findings.json")).unwrap()).unwrap();
    assert_eq!(written["mislabelled"], said["mislabelled"]);
    let verdicts = verdicts(&out.join("keep.csv"));
    assert_eq!(verdicts.len(), n);
    assert_eq!(
        [&verdicts[first], &verdicts[other], &verdicts[n - 1]],
        ["relabel", "relabel", "drop"]
    );
    let acted = verdicts.iter().filter(|verdict| ["relabel", "drop"].contains(&verdict.as_str()));
    assert_eq!(acted.count(), 3, "{verdicts:?}");
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("Likely mislabelled: 2") && page.contains("class=\"gone\""));
    assert!(page.contains("data:image/jpeg;base64,") && !page.contains("src=\"http"));
}

#[test]
fn tables_show_the_worst_and_say_how_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.safetensors");
    let mut plain = Plain::new();
    plain.values.iter_mut().for_each(|vector| vector.fill(1.0));
    plain.save(&file);
    let arguments = ["gallery", "doctor", file.to_str().unwrap(), "--worst", "3"];
    let output = succeed(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("duplicates under one label") && text.contains(", the worst 3"),
        "{text}"
    );
    assert!(text.contains("rank-1 among centroids") && text.contains("worst 1 in 100"), "{text}");
    assert!(!text.contains("likely mislabelled:"), "what was not found has no table: {text}");
}

#[test]
fn what_cannot_be_examined_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut plain = Plain::new();
    plain.save(&path("g.safetensors"));
    plain.values.iter_mut().for_each(|vector| vector.push(0.0));
    plain.save(&path("wide.safetensors"));
    fs::write(path("file"), "").unwrap();
    let refused = |arguments: &[&str], parts: &[&str]| {
        let mut command = centroids(["gallery", "doctor"]);
        command.current_dir(folder.path()).args(arguments);
        let output = command.assert().failure().get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.stdout.is_empty() && parts.iter().all(|part| said.contains(part)), "{said}");
    };
    refused(&["gone.safetensors"], &["gone.safetensors"]);
    refused(&["g.safetensors", "--against", "wide.safetensors"], &["dimensions", "same model"]);
    refused(&["g.safetensors", "--out", "file"], &["cannot write file"]);
    refused(&["g.safetensors", "--duplicate-distance=-1"], &["must be 0 or more"]);
    refused(&["g.safetensors", "--outlier-z", "nan"], &["must be 0 or more"]);
}
