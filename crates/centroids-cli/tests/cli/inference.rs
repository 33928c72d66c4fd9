use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use centroids::core::Embeddings;
use serde_json::Value;

use crate::catalogue::{Shared, centroids, everything, json, pictures, succeed};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Copies pictures of the shared catalogue into `folder` under the given names.
fn plant(folder: &Path, names: &[&str]) {
    for (name, picture) in names.iter().zip(pictures(&Shared::get().catalogue().join("query"))) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(picture, file).unwrap();
    }
}

/// Runs `embed` into `out`; what it says on stderr.
fn embed(input: &Path, out: &Path, more: &[&str]) -> String {
    let mut command = centroids(["embed", "--model"]);
    command.arg(Shared::get().run()).arg(input).arg("--out").arg(out).args(more);
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stderr).unwrap()
}

/// Fails with one line that holds all parts.
fn refused(arguments: &[&str], parts: &[&str]) {
    let output = centroids(arguments).assert().code(1).get_output().clone();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

const SHOP: [&str; 5] = [
    "shop/bag/7_a.jpg",
    "shop/bag/8_b.jpg",
    "shop/hat/7_c.jpg",
    "shop/x/0012_d.jpg",
    "shop/x/9_e.jpg",
];

fn names(set: &Embeddings) -> Vec<String> {
    let name = |pid| set.pid_names().get(pid).cloned().unwrap_or_else(|| pid.to_string());
    set.pids().iter().map(name).collect()
}

#[test]
fn identities_come_from_folders_paths_or_file_names() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), &SHOP);
    let (shop, out) = (folder.path().join("shop"), folder.path().join("out.safetensors"));
    let by = |more: &[&str]| {
        embed(&shop, &out, more);
        names(&Embeddings::load(&out).unwrap())
    };
    assert_eq!(by(&[]), ["bag", "bag", "hat", "x", "x"]);
    assert_eq!(by(&["--pid-from", "folder"]), by(&[]));
    assert_eq!(by(&["--pid-pattern", "^([^_]+)_"]), ["7", "8", "7", "12", "9"]);
    assert_eq!(by(&["--pid-from", "image"]).iter().collect::<BTreeSet<_>>().len(), 5);
    // A flat folder has no identities unless it is told that it is one.
    embed(&shop.join("bag"), &out, &["--pid-from", "folder"]);
    assert_eq!(names(&Embeddings::load(&out).unwrap()), ["bag", "bag"]);

    let run = Shared::get().run();
    let command = |pattern| {
        let files = ["embed", "--model", text(&run), text(&shop), "--out", text(&out)];
        [&files[..], &["--pid-pattern", pattern]].concat()
    };
    refused(&command("(z)"), &["pid pattern", "7_a.jpg"]);
    refused(&command("_"), &["pid pattern", "0 groups"]);
}

#[test]
fn files_that_are_no_images_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), &["shop/bag/a.jpg", "shop/loose.jpg", "flat/a.jpg"]);
    let out = folder.path().join("out.safetensors");
    for name in ["shop/bag/anim.gif", "flat/notes.txt", "flat/.hidden"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let said = embed(&folder.path().join("shop"), &out, &[]);
    assert!(said.contains("2 files left out") && said.contains("anim.gif"), "{said}");
    let said = embed(&folder.path().join("flat"), &out, &[]);
    assert!(said.contains("1 files left out") && said.contains("notes.txt"), "{said}");
}

#[test]
fn centroids_are_means_named_by_their_identities() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), &SHOP);
    let path = |name: &str| folder.path().join(name);
    embed(&path("shop"), &path("images"), &[]);
    embed(&path("shop"), &path("means"), &["--centroids"]);
    embed(&path("shop"), &path("means.safetensors"), &["--centroids"]);
    for made in ["images", "means"] {
        assert_eq!(everything(&path(made)), ["embeddings.npy", "paths.npy"].map(PathBuf::from));
    }
    let [images, means, kept] =
        ["images", "means", "means.safetensors"].map(|name| Embeddings::load(&path(name)).unwrap());
    assert_eq!(means.paths(), ["bag", "hat", "x"]);
    assert_eq!((kept.values(), kept.len()), (means.values(), 3));
    assert!(kept.paths()[0].ends_with(".jpg") && !kept.model().is_empty());
    for (mean, rows) in [[0, 1], [2, 2], [3, 4]].into_iter().enumerate() {
        let [a, b] = rows.map(|row| images.row(row));
        let errors = means.row(mean).iter().zip(a.iter().zip(b));
        assert!(errors.map(|(m, (a, b))| (m - (a + b) / 2.0).abs()).all(|error| error < 1e-6));
    }
}

#[test]
fn results_are_written_as_json_and_arrays() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, found) = (Shared::get(), folder.path().join("found"));
    let gallery = folder.path().join("gallery");
    embed(&shared.catalogue(), &gallery, &["--split", "gallery"]);
    let (run, queries) = (shared.run(), shared.catalogue().join("query"));
    let arguments = ["search", "--gallery_data", text(&gallery), "--image", text(&queries)];
    refused(&arguments, &["gallery does not say where its model is", "--model"]);
    let arguments = [&arguments[..], &["--model", text(&run), "--out", text(&found)]].concat();
    let said = json([&arguments[..], &["--topk", "3", "--normalize_features"]].concat());
    assert_eq!(said["unit"], "instance", "a .npy gallery has images only");
    let files = [
        "query_embeddings.npy",
        "query_paths.npy",
        "results.json",
        "results_distances.npy",
        "results_indices.npy",
        "results_paths.npy",
    ];
    assert_eq!(everything(&found), files.map(PathBuf::from));
    let header = |name: &str| {
        String::from_utf8_lossy(&fs::read(found.join(name)).unwrap()[10..128]).into_owned()
    };
    assert!(
        header("results_indices.npy").contains("'<i8'")
            && header("results_indices.npy").contains("(24, 3)")
    );
    assert!(header("results_distances.npy").contains("'<f4'"));
    assert!(header("results_paths.npy").contains("'<U"));
    let written: Value =
        serde_json::from_slice(&fs::read(found.join("results.json")).unwrap()).unwrap();
    let set = Embeddings::load(&gallery).unwrap();
    for result in said["results"].as_array().unwrap() {
        let entry = &written[result["query"].as_str().unwrap()];
        let hits = result["hits"].as_array().unwrap();
        for (i, hit) in hits.iter().enumerate() {
            assert_eq!(
                (&entry["paths"][i], &entry["distances"][i]),
                (&hit["example"], &hit["distance"])
            );
            let row = entry["indices"][i].as_u64().unwrap() as usize;
            assert_eq!(hit["example"], set.paths()[row].as_str());
        }
        assert_eq!(hits.len(), 3);
    }

    // The vectors alone find the same; 0 hits are all hits.
    fs::rename(found.join("query_paths.npy"), found.join("paths.npy")).unwrap();
    fs::rename(found.join("query_embeddings.npy"), found.join("embeddings.npy")).unwrap();
    let by_vector = ["search", "--gallery", text(&gallery), "--query", text(&found)];
    let all = json([&by_vector[..], &["-k", "0"]].concat());
    let hits = all["results"][0]["hits"].as_array().unwrap();
    assert_eq!(hits.len(), set.len());
    assert_eq!(hits[0]["example"], said["results"][0]["hits"][0]["example"]);
}

/// The reference's own searches, through the command.
#[test]
fn golden_searches_come_out_of_the_command() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let root = std::env::var("CENTROIDS_GOLDEN").unwrap_or_else(|_| default.to_owned());
    let golden = Path::new(&root).join("inference");
    let Ok(manifest) = fs::read(golden.join("manifest.json")) else {
        println!("skipped: golden vectors not found at {}", golden.display());
        return;
    };
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, vectors, paths) in [
        ("embeddings", "embeddings.npy", "embeddings_paths.npy"),
        ("centroids", "centroids.npy", "centroids_paths.npy"),
    ] {
        fs::create_dir(path(name)).unwrap();
        fs::copy(golden.join(vectors), path(name).join("embeddings.npy")).unwrap();
        fs::copy(golden.join(paths), path(name).join("paths.npy")).unwrap();
    }
    let cases = manifest["similar"].as_array().unwrap();
    // The queries are stored without paths; any array of as many texts will do.
    let query = path("query_embeddings.npy");
    fs::copy(golden.join("query_embeddings_raw.npy"), &query).unwrap();
    let names: Vec<&str> =
        cases[0]["results"].as_object().unwrap().keys().map(String::as_str).collect();
    let names_file = path("query_embeddings_paths.npy");
    let values = centroids::core::NpyValues::Text(&names);
    centroids::core::write_npy(&names_file, values, &[names.len()]).unwrap();
    for case in cases {
        let out = path("results.json");
        let gallery = path(case["gallery"].as_str().unwrap());
        let (k, normalize) = (case["topk"].to_string(), case["normalize_features"].to_string());
        succeed([
            "search",
            "--gallery_data",
            text(&gallery),
            "--query",
            text(&query),
            "--topk",
            &k,
            "--normalize",
            &normalize,
            "--distance",
            case["distance"].as_str().unwrap(),
            "--out",
            text(&out),
        ]);
        let ours: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
        let tolerance = case["distance_tolerance"].as_f64().unwrap();
        for (name, theirs) in case["results"].as_object().unwrap() {
            assert_eq!(ours[name]["indices"], theirs["indices"], "{name}");
            assert_eq!(ours[name]["paths"], theirs["paths"]);
            let distances = |value: &Value| -> Vec<f64> {
                value["distances"].as_array().unwrap().iter().map(|d| d.as_f64().unwrap()).collect()
            };
            let (a, b) = (distances(&ours[name]), distances(theirs));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= tolerance), "{a:?} {b:?}");
        }
    }
    assert_eq!(cases.len(), 16);
}
