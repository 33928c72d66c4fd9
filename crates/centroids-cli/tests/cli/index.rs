use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::catalogue::{Shared, centroids, everything, json, pictures};

/// A gallery with the pictures of the shared catalogue's gallery.
struct Filled {
    folder: TempDir,
}

impl Filled {
    fn new() -> Filled {
        let filled = Filled { folder: tempfile::tempdir().unwrap() };
        let run = Shared::get().run();
        let made = filled.json("create", &["--model", run.to_str().unwrap()]);
        assert_eq!(made["settings"]["dim"], 512);
        assert_eq!(filled.add(&["--split", "gallery"])["already_there"], 0);
        filled
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("shop.gallery")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// `index <command> <file> <more> --json`
    fn json(&self, command: &str, more: &[&str]) -> Value {
        let file = self.file();
        json(["index", command, file.to_str().unwrap()].iter().chain(more))
    }

    fn add(&self, more: &[&str]) -> Value {
        let catalogue = Shared::get().catalogue();
        self.json("add", &[&[catalogue.to_str().unwrap()][..], more].concat())
    }

    fn stats(&self) -> Value {
        self.json("info", &[])["stats"].clone()
    }

    /// `search --store <file> --query <the shared queries> <more>`
    fn search(&self, more: &[&str]) -> Vec<Value> {
        let (file, query) = (self.file(), Shared::get().embeddings("query"));
        let arguments = ["search", "--store", file.to_str().unwrap(), "--query"];
        let answer = json(arguments.iter().chain(&[query.to_str().unwrap()]).chain(more));
        answer["results"].as_array().unwrap().clone()
    }
}

/// The command fails with one line that holds all `parts`.
fn refused(mut command: Command, parts: &[&str]) {
    let output = command.arg("-q").assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: ") && text.trim_end().lines().count() == 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

fn index(command: &str, file: &Path) -> Command {
    let mut index = centroids(["index", command]);
    index.arg(file);
    index
}

/// The same hits; vectors and sums may differ by rounding.
fn assert_alike(a: &Value, b: &Value) {
    let hits = |answer: &Value| answer["hits"].as_array().unwrap().clone();
    let distance = |hit: &Value| hit["distance"].as_f64().unwrap();
    assert_eq!(hits(a).len(), hits(b).len());
    for (a, b) in hits(a).iter().zip(&hits(b)) {
        assert!((distance(a) - distance(b)).abs() < 1e-5, "{a} {b}");
        assert_eq!((&a["pid"], &a["example"]), (&b["pid"], &b["example"]));
    }
}

#[test]
fn pictures_are_added_once() {
    let filled = Filled::new();
    let stats = filled.stats();
    let members = stats["members"].as_u64().unwrap();
    let gallery = centroids::core::Embeddings::load(&Shared::get().embeddings("gallery")).unwrap();
    let junk = gallery.pids().iter().filter(|pid| pid.0 == -1).count();
    assert_eq!(members as usize, gallery.len() - junk);
    let again = filled.add(&["--split", "gallery"]);
    assert_eq!((&again["added"], &again["already_there"]), (&0.into(), &members.into()));
    // A copy under another name is no other picture.
    let copy = filled.folder.path().join("copy.jpg");
    let files = pictures(&Shared::get().catalogue().join("bounding_box_test"));
    let counted = files.iter().find(|f| !f.file_name().unwrap().to_str().unwrap().starts_with('-'));
    fs::copy(counted.unwrap(), &copy).unwrap();
    let added = filled.json("add", &[copy.to_str().unwrap()]);
    assert_eq!((&added["added"], &added["already_there"]), (&0.into(), &1.into()));
    assert_eq!(added["under_another_identity"], 1);
    assert_eq!(filled.stats(), stats);
    let verified = filled.json("verify", &[]);
    assert_eq!(
        (&verified["sound"], &verified["verification"]["members"]),
        (&true.into(), &members.into())
    );
}

/// What `search --gallery` finds in the embedding file of the same pictures.
#[test]
fn search_finds_what_the_embedding_file_gives() {
    let filled = Filled::new();
    let [query, gallery] = ["query", "gallery"].map(|split| Shared::get().embeddings(split));
    for more in [
        &["--unit", "centroid"][..],
        &["--unit", "nearest", "--camera", "1"],
        &["--unit", "instance", "-k", "3"],
        &["--camera", "0", "--topk", "0"],
    ] {
        let arguments = ["search", "--gallery", gallery.to_str().unwrap(), "--query"];
        let expected = json(arguments.iter().chain(&[query.to_str().unwrap()]).chain(more));
        let width = [more, &["--rows", "f16"]].concat();
        for found in [filled.search(more), filled.search(&width)] {
            for (found, expected) in found.iter().zip(expected["results"].as_array().unwrap()) {
                assert_alike(found, expected);
            }
        }
    }
}

#[test]
fn a_picture_is_found_with_the_model_the_gallery_names() {
    let filled = Filled::new();
    let (file, picture) = (filled.file(), Shared::get().picture());
    let arguments = ["search", "--store", file.to_str().unwrap(), "--image"];
    let threshold = ["--threshold", "0"];
    let answer = json(arguments.iter().chain(&[picture.to_str().unwrap()]).chain(&threshold));
    let first = &answer["results"][0];
    assert_eq!((&first["query"], &first["unknown"]), (&picture.to_str().into(), &true.into()));
    assert!(first["margin"].as_f64().unwrap() >= 0.0);
    assert!(first["hits"][0]["example"].as_str().unwrap().ends_with(".jpg"));
}

#[test]
fn members_move_and_go() {
    let filled = Filled::new();
    let classes = filled.json("list", &["--limit", "2"])["classes"].as_array().unwrap().clone();
    let [first, second] = [0, 1].map(|i| classes[i]["pid"].to_string());
    let count = |i: usize| classes[i]["members"].as_u64().unwrap();
    let listed = filled.json("list", &["--class", &first]);
    let member = &listed["members"][0];
    let (id, key) = (member["id"].to_string(), member["key"].as_str().unwrap().to_owned());

    assert_eq!(filled.json("quarantine", &["--key", &key])["members"], 1);
    assert_eq!(filled.stats()["quarantined"], 1);
    assert_eq!(filled.json("release", &["--id", &id])["members"], 1);
    assert_eq!(filled.json("relabel", &["--id", &id, "--to", "boot"])["members"], 1);
    let boots = filled.json("list", &["--class", "boot"]);
    assert_eq!(
        (&boots["members"][0]["key"], &boots["members"][0]["name"]),
        (&key.into(), &"boot".into())
    );
    let merged = filled.json("merge", &["--class", &first, "boot", "--into", &second]);
    assert_eq!(merged["members"], count(0));
    assert_eq!(filled.json("remove", &["--class", &second])["members"], count(0) + count(1));
    refused(
        {
            let mut list = index("list", &filled.file());
            list.args(["--class", &second]);
            list
        },
        &["shop.gallery", &format!("no class `{second}`")],
    );
    let compacted = filled.json("compact", &[]);
    assert!(compacted["after"].as_u64() <= compacted["before"].as_u64());
    assert_eq!(filled.json("verify", &["--repair"])["sound"], true);
}

#[test]
fn attributes_choose_what_counts() {
    let filled = Filled::new();
    let picture = Shared::get().picture();
    let picture = picture.to_str().unwrap();
    filled.json("add", &[picture, "--attribute", "shop=north", "--attribute", "size=3"]);
    let one = filled.search(&["--where", "shop=north", "--where", "size=3"]);
    assert!(one.iter().all(|answer| answer["hits"].as_array().unwrap().len() == 1));
    assert!(one[0]["hits"][0]["distance"].as_f64().unwrap() < 1e-5, "the picture itself");
    let none = filled.search(&["--where", "shop=south"]);
    assert!(none.iter().all(|answer| answer["unknown"] == true));
}

/// Everything that Parquet holds, and what an embedding file holds, comes back.
#[test]
fn galleries_travel_through_files() {
    let filled = Filled::new();
    filled.json("add", &[Shared::get().picture().to_str().unwrap(), "--weight", "0.5"]);
    filled.json("quarantine", &["--id", "1"]);
    let right = filled.search(&["--topk", "5"]);
    let parquet = cfg!(feature = "parquet").then_some("members.parquet");
    for name in parquet.into_iter().chain(["members.safetensors"]) {
        let (out, copy) = (filled.path(name), filled.path(&format!("{name}.gallery")));
        filled.json("export", &["--out", &out]);
        let imported = json(["index", "import", &copy, &out]);
        assert_eq!(json(["index", "import", &copy, &out])["added"], 0);
        let [info, before] = [json(["index", "info", &copy]), filled.json("info", &[])];
        assert_eq!(info["settings"]["model"], before["settings"]["model"]);
        if name.ends_with("parquet") {
            let counts = |info: &Value| {
                ["members", "quarantined", "classes", "parts"].map(|key| info["stats"][key].clone())
            };
            assert_eq!(counts(&info), counts(&before));
        } else {
            assert_eq!(imported["added"], before["stats"]["members"]);
        }
        let query = Shared::get().embeddings("query");
        let query = query.to_str().unwrap();
        let found = json(["search", "--store", &copy, "--query", query, "--topk", "5"]);
        for (found, right) in found["results"].as_array().unwrap().iter().zip(&right) {
            assert_alike(found, right);
        }
    }
    // The reference's pair of files: identities are the names of folders.
    let (out, copy) = (filled.path("embeddings.npy"), filled.path("npy.gallery"));
    let members = filled.json("export", &["--out", &out])["members"].clone();
    assert_eq!(json(["index", "import", &copy, &out])["added"], members);
}

#[test]
fn what_does_not_fit_is_refused() {
    let filled = Filled::new();
    let before = filled.stats();
    let other = filled.folder.path().join("other.safetensors");
    let set = |dim: usize, model: &str| {
        let one = centroids::core::Embeddings::new(
            dim,
            vec![1.0; dim],
            vec![centroids::core::Pid(1)],
            vec![None],
            vec!["x".to_owned()],
        );
        one.unwrap().with_model(model.to_owned()).save(&other).unwrap();
    };
    let add = |more: &[&str]| {
        let mut add = index("add", &filled.file());
        add.arg(&other).args(more);
        add
    };
    set(3, "");
    refused(add(&[]), &["x has 3 dimensions", "512"]);
    set(512, "resnet50@1234");
    refused(add(&[]), &["other.safetensors", "resnet50@1234", "resnet18@"]);
    let mut search = centroids(["search", "--store"]);
    search.arg(filled.file()).arg("--query").arg(&other);
    refused(search, &["resnet50@1234"]);
    fs::write(&other, "no vectors").unwrap();
    refused(add(&[]), &["other.safetensors"]);
    let parquet = filled.folder.path().join("bad.parquet");
    fs::write(&parquet, "PAR1 but not really PAR1").unwrap();
    let mut import = index("import", &filled.folder.path().join("new.gallery"));
    import.arg(&parquet);
    refused(import, &["bad.parquet"]);
    assert_eq!(filled.stats(), before);

    let mut metric = centroids(["search", "--store"]);
    metric.arg(filled.file()).arg("--query").arg(Shared::get().embeddings("query"));
    metric.args(["--distance", "cosine"]);
    refused(metric, &["shop.gallery", "compares as it was made"]);
    refused(index("info", &filled.folder.path().join("none")), &["none", "index create"]);
    refused(
        index("info", &Shared::get().embeddings("query")),
        &["query.safetensors", "no database"],
    );
    let mut create = index("create", &filled.file());
    create.args(["--dim", "4"]);
    refused(create, &["shop.gallery", "exists already"]);
    let left = ["bad.parquet", "other.safetensors", "shop.gallery"].map(PathBuf::from);
    assert_eq!(everything(filled.folder.path()), left);

    set(512, "resnet50@1234");
    add(&["--force"]).assert().success();
}
