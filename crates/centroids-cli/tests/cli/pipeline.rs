use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::catalogue::{Shared, centroids, json, pictures, succeed};

/// `embed` into a file of its own; the vectors by path.
fn embed(inputs: &[&Path], more: &[&str]) -> Vec<(String, Vec<f32>)> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let mut command = centroids(["embed", "--model"]);
    command.arg(Shared::get().run()).args(inputs).args(more).arg("--out").arg(&out);
    command.assert().success();
    rows(&out)
}

fn rows(file: &Path) -> Vec<(String, Vec<f32>)> {
    let set = centroids::core::Embeddings::load(file).unwrap();
    (0..set.len()).map(|row| (set.paths()[row].clone(), set.row(row).to_vec())).collect()
}

#[test]
fn the_batch_size_changes_no_vector() {
    let catalogue = Shared::get().catalogue();
    let one = embed(&[&catalogue], &["--split", "query", "--batch-size", "1"]);
    let many = embed(&[&catalogue], &["--split", "query", "--batch-size", "7"]);
    assert_eq!(one.len(), 24);
    for ((path, a), (other, b)) in one.iter().zip(&many) {
        assert_eq!(path, other);
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5), "{path}");
    }
}

#[test]
fn inputs_come_in_many_forms() {
    let folder = tempfile::tempdir().unwrap();
    let shared = Shared::get();
    let files = pictures(&shared.catalogue().join("query"));
    let flat = folder.path().join("flat");
    fs::create_dir(&flat).unwrap();
    for file in &files[..3] {
        fs::copy(file, flat.join(file.file_name().unwrap())).unwrap();
    }
    let list = folder.path().join("list.txt");
    fs::write(&list, format!("{}\n{}\n", files[1].display(), files[0].display())).unwrap();

    let single = embed(&[&files[0]], &[]);
    assert_eq!(embed(&[&flat], &[])[0].1, single[0].1);
    let listed = embed(&[&list], &[]);
    assert_eq!((listed.len(), &listed[1].1), (2, &single[0].1));
    assert_eq!(embed(&[&files[2], &files[0]], &[])[1].1, single[0].1);

    let npy = folder.path().join("embeddings.npy");
    let mut command = centroids(["embed", "--model"]);
    command.arg(shared.run()).arg(&list).arg("--out").arg(&npy).assert().success();
    assert_eq!(rows(&npy)[1].1, single[0].1);
}

#[test]
fn evaluate_answers_every_question_in_the_agreed_form() {
    let shared = Shared::get();
    let files = [shared.embeddings("query"), shared.embeddings("gallery")];
    let evaluate = |more: &[&str]| -> Vec<Value> {
        let mut arguments = vec!["evaluate", "--query", files[0].to_str().unwrap()];
        arguments.extend(["--gallery", files[1].to_str().unwrap()]);
        arguments.extend(more);
        json(arguments)["results"].as_array().unwrap().clone()
    };
    let all = evaluate(&["--unit", "all", "--cameras", "all"]);
    assert_eq!(all.len(), 9);
    for report in &all {
        for key in ["mAP", "mINP"] {
            assert!((0.0..=1.0).contains(&report[key].as_f64().unwrap()), "{report}");
        }
        let rank = report["rank"].as_object().unwrap();
        assert_eq!(rank.keys().collect::<Vec<_>>(), ["1", "10", "20", "5", "50"]);
        let queries = ["valid_queries", "skipped_queries"].map(|key| report[key].as_u64().unwrap());
        assert_eq!(queries.iter().sum::<u64>(), 24);
        assert!(report["preset"].is_null());
    }
    let rank1 = |report: &Value| report["rank"]["1"].as_f64().unwrap();
    assert_eq!(rank1(&all[0]), rank1(&all[1]), "instance and nearest agree at rank 1");
    assert_eq!(evaluate(&["--unit", "centroid", "--cameras", "cross"]).len(), 1);
    for preset in ["paper", "paper-as-published"] {
        assert_eq!(evaluate(&["--preset", preset])[0]["preset"], preset);
    }
    assert_eq!(evaluate(&["--distance", "cosine", "--normalize", "false"]).len(), 3);

    let text = succeed(["evaluate", "--run", shared.run().to_str().unwrap()]).stdout;
    assert!(String::from_utf8(text).unwrap().contains("not comparable"));
}

#[test]
fn search_finds_the_picture_itself_and_its_model() {
    let shared = Shared::get();
    let gallery = shared.embeddings("gallery");
    let wanted = rows(&gallery)[5].0.clone();
    let arguments = ["search", "--gallery", gallery.to_str().unwrap(), "--image", &wanted];
    let found = json(arguments.iter().chain(&["--unit", "instance", "-k", "3"]));
    let hits = &found["results"][0]["hits"];
    assert_eq!(hits.as_array().unwrap().len(), 3);
    assert_eq!(hits[0]["example"], wanted.as_str());
    assert!(hits[0]["distance"].as_f64().unwrap() < 1e-5);

    let text = String::from_utf8(succeed(arguments).stdout).unwrap();
    assert!(text.contains("rank") && text.contains("distance") && text.contains(".jpg"), "{text}");
}
