use std::fs;
use std::path::Path;

use centroids::core::{CameraRule, Embeddings, Metric, Unit, evaluate};
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
    let set = Embeddings::load(file).unwrap();
    (0..set.len()).map(|row| (set.paths()[row].clone(), set.row(row).to_vec())).collect()
}

#[test]
fn the_batch_size_changes_no_vector() {
    let catalogue = Shared::get().catalogue();
    let one = embed(&[&catalogue], &["--split", "query", "--batch-size", "1"]);
    assert_eq!(one.len(), 24);
    for size in ["7", "32"] {
        let many = embed(&[&catalogue], &["--split", "query", "--batch-size", size]);
        assert_eq!(one.len(), many.len());
        for ((path, a), (other, b)) in one.iter().zip(&many) {
            assert_eq!(path, other);
            assert!(
                a.len() == 512 && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5),
                "{path}"
            );
        }
    }
    let files = pictures(&catalogue.join("query"));
    let in_order: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    assert_eq!(one.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), in_order);
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
    let flat = embed(&[&flat], &[]);
    assert_eq!((flat.len(), &flat[0].1), (3, &single[0].1));
    assert_ne!(flat[1].1, single[0].1);
    let listed = embed(&[&list], &[]);
    assert_eq!((listed.len(), &listed[1].1), (2, &single[0].1));
    assert_eq!(embed(&[&files[2], &files[0]], &[])[1].1, single[0].1);

    let npy = folder.path().join("embeddings.npy");
    let run = shared.run();
    let arguments = ["embed", "--model", run.to_str().unwrap(), list.to_str().unwrap(), "--out"];
    let said = json(arguments.iter().chain(&[npy.to_str().unwrap()]));
    assert_eq!((&said["embeddings"], &said["dim"]), (&2.into(), &512.into()));
    assert_eq!((&said["out"], &said["unreadable"]), (&npy.to_str().into(), &Value::Array(vec![])));
    assert_eq!(rows(&npy), listed);
    assert!(folder.path().join("paths.npy").is_file());
}

#[test]
fn a_split_keeps_identities_and_cameras() {
    let set = Embeddings::load(&Shared::get().embeddings("query")).unwrap();
    for row in 0..set.len() {
        let name = Path::new(&set.paths()[row]).file_name().unwrap().to_str().unwrap();
        let (pid, rest) = name.split_once("_c").unwrap();
        assert_eq!(set.pids()[row].0, pid.parse::<i64>().unwrap(), "{name}");
        let camera: u32 = rest[..1].parse().unwrap();
        assert_eq!(set.camids()[row].unwrap().0, camera - 1, "{name}");
    }
}

/// `evaluate` on the shared files; its reports.
fn reports(more: &[&str]) -> Vec<Value> {
    let files = ["query", "gallery"].map(|split| Shared::get().embeddings(split));
    let mut arguments = vec!["evaluate", "--query", files[0].to_str().unwrap()];
    arguments.extend(["--gallery", files[1].to_str().unwrap()]);
    arguments.extend(more);
    let answer = json(arguments);
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["costs", "results"]);
    answer["results"].as_array().unwrap().clone()
}

fn asked(report: &Value) -> [&str; 2] {
    ["unit", "cameras"].map(|key| report[key].as_str().unwrap())
}

/// The keys of the agreed form, and the size of the gallery.
fn in_the_agreed_form(report: &Value) {
    let mut keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    keys.sort();
    let agreed = [
        "cameras",
        "gallery_units",
        "mAP",
        "mINP",
        "map_at_r",
        "precision",
        "preset",
        "r_precision",
        "rank",
        "recall",
        "skipped_queries",
        "unit",
        "valid_queries",
    ];
    assert_eq!(keys, agreed);
    let fractions = |values: &[&Value]| {
        values.iter().all(|value| (0.0..=1.0).contains(&value.as_f64().unwrap()))
    };
    assert!(fractions(&[&report["mAP"], &report["mINP"]]), "{report}");
    let rank = ["1", "5", "10", "20", "50"].map(|k| report["rank"][k].as_f64().unwrap());
    assert_eq!(report["rank"].as_object().unwrap().len(), rank.len());
    assert!(rank.is_sorted() && rank[0] >= 0.0 && rank[4] <= 1.0, "{report}");
    let queries = ["valid_queries", "skipped_queries"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(queries.iter().sum::<u64>(), 24);
}

#[test]
fn evaluate_answers_every_question_in_the_agreed_form() {
    let units = ["instance", "nearest", "centroid"];
    let rules = ["market", "cross", "any"];
    let all = reports(&["--unit", "all", "--cameras", "all"]);
    assert_eq!(all.len(), 9);
    for report in &all {
        in_the_agreed_form(report);
        assert!(report["preset"].is_null());
    }
    for rule in rules {
        for unit in units {
            let one = reports(&["--unit", unit, "--cameras", rule]);
            assert_eq!((one.len(), asked(&one[0])), (1, [unit, rule]));
            assert!(all.contains(&one[0]), "{unit} {rule}");
        }
        let of_unit = reports(&["--cameras", rule]);
        assert_eq!(of_unit.iter().map(asked).collect::<Vec<_>>(), units.map(|unit| [unit, rule]));
    }
    assert_eq!(reports(&[]), reports(&["--unit", "all", "--cameras", "market"]));
    for preset in ["paper", "paper-as-published"] {
        let one = reports(&["--preset", preset]);
        in_the_agreed_form(&one[0]);
        assert_eq!((one.len(), &one[0]["preset"]), (1, &preset.into()));
    }
    let rank1 = |unit: &str, rule: &str| {
        let report = all.iter().find(|report| asked(report) == [unit, rule]).unwrap();
        report["rank"]["1"].as_f64().unwrap()
    };
    for rule in rules {
        assert_eq!(rank1("instance", rule), rank1("nearest", rule), "the nearest image decides");
    }
    assert_eq!(rank1("instance", "any"), nearest_by_hand());
}

/// Rank-1 over all cameras, slow and obvious: the share of queries whose nearest gallery image has
/// their identity.
fn nearest_by_hand() -> f64 {
    let unit = |row: &[f32]| -> Vec<f64> {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        row.iter().map(|x| f64::from(*x) / length).collect()
    };
    let [query, gallery] = ["query", "gallery"]
        .map(|split| Embeddings::load(&Shared::get().embeddings(split)).unwrap());
    let found = |row: &usize| {
        let ours = unit(query.row(*row));
        let distance = |other: usize| -> f64 {
            ours.iter().zip(unit(gallery.row(other))).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let nearest = (0..gallery.len()).min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
        gallery.pids()[nearest.unwrap()] == query.pids()[*row]
    };
    (0..query.len()).filter(found).count() as f64 / query.len() as f64
}

#[test]
fn evaluate_prints_every_digit_and_heeds_the_metric() {
    let [query, gallery] = ["query", "gallery"]
        .map(|split| Embeddings::load(&Shared::get().embeddings(split)).unwrap());
    let metrics = [
        ("euclidean", "true", "raw"),
        ("euclidean", "false", "raw"),
        ("cosine", "true", "unit"),
        ("cosine", "false", "unit"),
    ];
    for (distance, normalize, centroid_of) in metrics {
        let flags =
            ["--distance", distance, "--normalize", normalize, "--centroid-of", centroid_of];
        let printed =
            reports(&[&flags[..], &["--unit", "centroid", "--cameras", "cross"]].concat());
        let metric = Metric {
            distance: distance.parse().unwrap(),
            normalize: normalize.parse().unwrap(),
            centroid_of: centroid_of.parse().unwrap(),
        };
        let exact = evaluate(&query, &gallery, Unit::Centroid, CameraRule::Cross, &metric).unwrap();
        assert_eq!(printed[0]["mAP"].as_f64().unwrap().to_bits(), exact.map.to_bits(), "{flags:?}");
        assert_eq!(printed[0]["mINP"].as_f64().unwrap().to_bits(), exact.minp.to_bits());
    }
}

#[test]
fn evaluating_a_run_is_evaluating_its_embeddings() {
    let run = Shared::get().run();
    let arguments = ["evaluate", "--run", run.to_str().unwrap()];
    let text = String::from_utf8(succeed(arguments).stdout).unwrap();
    assert!(text.contains("not comparable") && text.contains("honest gain"), "{text}");
    assert_eq!(json(arguments)["results"].as_array().unwrap(), &reports(&[]));
}

/// `search` in the shared gallery for the picture of one of its rows; the hits.
fn search(row: usize, more: &[&str]) -> Vec<Value> {
    let gallery = Shared::get().embeddings("gallery");
    let wanted = rows(&gallery)[row].0.clone();
    let mut arguments = vec!["search", "--gallery", gallery.to_str().unwrap(), "--image", &wanted];
    arguments.extend(more);
    let found = json(arguments);
    let results = found["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["query"]), (1, &wanted.as_str().into()));
    let hits = results[0]["hits"].as_array().unwrap().clone();
    for (hit, rank) in hits.iter().zip(1..) {
        assert_eq!(hit["rank"], rank);
    }
    assert!(hits.iter().map(|hit| hit["distance"].as_f64().unwrap()).is_sorted());
    hits
}

#[test]
fn search_finds_the_picture_itself_and_its_model() {
    let gallery = Embeddings::load(&Shared::get().embeddings("gallery")).unwrap();
    let row = (0..gallery.len()).find(|row| gallery.pids()[*row].0 > 0).unwrap();
    let wanted = gallery.paths()[row].as_str();
    let hits = search(row, &["--unit", "instance", "-k", "3"]);
    assert_eq!(hits.len(), 3);
    assert_eq!(
        (&hits[0]["example"], &hits[0]["pid"]),
        (&wanted.into(), &gallery.pids()[row].0.into())
    );
    assert!(hits[0]["distance"].as_f64().unwrap() < 1e-5);

    let camera = gallery.camids()[row].unwrap();
    let elsewhere = gallery.camids().iter().filter(|other| **other != Some(camera)).count();
    let number = camera.0.to_string();
    let hits = search(row, &["--unit", "instance", "-k", "1000", "--camera", &number]);
    assert_eq!(hits.len(), elsewhere);
    assert!(hits.iter().all(|hit| hit["example"] != wanted));
}

#[test]
fn search_ranks_every_identity_once() {
    let gallery = Embeddings::load(&Shared::get().embeddings("gallery")).unwrap();
    for unit in ["nearest", "centroid"] {
        let hits = search(0, &["--unit", unit, "-k", "1000"]);
        let mut pids: Vec<i64> = hits.iter().map(|hit| hit["pid"].as_i64().unwrap()).collect();
        pids.sort_unstable();
        let mut all: Vec<i64> = gallery.pids().iter().map(|pid| pid.0).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(pids, all, "{unit}");
        for hit in &hits {
            let example = gallery.paths().iter().position(|path| hit["example"] == path.as_str());
            assert_eq!(hit["pid"], gallery.pids()[example.unwrap()].0, "the example is of another");
        }
    }
    assert_eq!(search(0, &[]), search(0, &["--unit", "centroid", "-k", "10"]));
}

#[test]
fn search_prints_a_table_for_each_picture() {
    let (shared, gallery) = (Shared::get(), Shared::get().embeddings("gallery"));
    let files = pictures(&shared.catalogue().join("query"));
    let names = [&files[0], &files[9]].map(|file| file.to_str().unwrap());
    let arguments = [
        "search",
        "--gallery",
        gallery.to_str().unwrap(),
        "-k",
        "2",
        "--image",
        names[0],
        names[1],
    ];
    let text = String::from_utf8(succeed(arguments).stdout).unwrap();
    let found = json(arguments);
    for (result, name) in found["results"].as_array().unwrap().iter().zip(names) {
        assert!(result["query"] == name && text.contains(name), "{text}");
        for hit in result["hits"].as_array().unwrap() {
            let row = [
                hit["rank"].to_string(),
                hit["pid"].to_string(),
                format!("{:.4}", hit["distance"].as_f64().unwrap()),
                hit["example"].as_str().unwrap().to_owned(),
            ];
            let is_row = |line: &str| line.split_whitespace().eq(row.iter().map(String::as_str));
            assert!(text.lines().any(is_row), "{row:?} is not in: {text}");
        }
    }
}

/// A folder `<identity>/<picture>` of the first pictures of the catalogue's gallery.
fn folder_of(root: &Path, identities: &[(&str, usize)]) {
    let files = pictures(&Shared::get().catalogue().join("bounding_box_test"));
    for (identity, picture) in identities {
        fs::create_dir_all(root.join(identity)).unwrap();
        fs::copy(&files[*picture], root.join(identity).join(format!("{picture}.jpg"))).unwrap();
    }
}

fn pids(file: &Path) -> Vec<i64> {
    let set = centroids::core::Embeddings::load(file).unwrap();
    set.pids().iter().map(|pid| pid.0).collect()
}

#[test]
fn several_inputs_agree_on_identities() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let embed = |inputs: &[&str], out: &str| {
        let mut command = centroids(["embed", "--model"]);
        command.arg(Shared::get().run()).args(inputs.iter().map(|input| path(input)));
        command.arg("--out").arg(path(out)).assert().success();
        path(out)
    };
    folder_of(&path("a"), &[("7", 1), ("12", 2)]);
    folder_of(&path("b"), &[("12", 3), ("-1", 4)]);
    folder_of(&path("named"), &[("hat", 5), ("12", 6)]);
    assert_eq!(pids(&embed(&["a", "b"], "numbers.safetensors")), [12, 7, 12]);

    let mixed = embed(&["a", "named"], "mixed.safetensors");
    let numbers = pids(&mixed);
    assert_eq!((numbers[0], numbers.len()), (numbers[2], 4), "12 is 12 in both");
    assert!(numbers[1] != numbers[3] && numbers[1] != numbers[0]);

    // The same file name in two folders is two products.
    folder_of(&path("c/x"), &[("", 1)]);
    folder_of(&path("d/x"), &[("", 2)]);
    fs::rename(path("d/x/2.jpg"), path("d/x/1.jpg")).unwrap();
    let twins = pids(&embed(&["c/x/1.jpg", "d/x/1.jpg"], "twins.safetensors"));
    assert_ne!(twins[0], twins[1]);

    let query = embed(&["a"], "query.safetensors");
    let arguments = ["evaluate", "--cameras", "any", "--query"].map(Into::into).into_iter();
    let files = [query, "--gallery".into(), mixed];
    let result = json(arguments.chain(files.map(std::path::PathBuf::into_os_string)));
    assert_eq!(result["results"][0]["valid_queries"], 2);
}

#[test]
fn a_manifest_is_an_input_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    folder_of(&folder.path().join("p"), &[("1", 1), ("2", 2)]);
    let manifest = folder.path().join("list.csv");
    let rows = "path,pid,camid,split\np/1/1.jpg,5,0,gallery\np/2/2.jpg,6,1,gallery\n";
    fs::write(&manifest, rows).unwrap();
    let out = folder.path().join("out.safetensors");
    let mut command = centroids(["embed", "--model"]);
    command.arg(Shared::get().run()).arg(&manifest).arg("--out").arg(&out).assert().success();
    assert_eq!(pids(&out), [5, 6]);
}

#[test]
fn evaluating_a_run_follows_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let settings = ["SOLVER.MAX_EPOCHS", "1", "SOLVER.DISTANCE_FUNC", "cosine"];
    let settings = [&settings[..], &["TEST.FEAT_NORM", "False", "TEST.CAMERAS", "any"]].concat();
    crate::catalogue::train(&Shared::get().catalogue(), &run, &settings).success();
    let logged: Value =
        serde_json::from_slice(&fs::read(run.join("evaluation.json")).unwrap()).unwrap();
    let run = run.to_str().unwrap();
    assert_eq!(json(["evaluate", "--run", run])["results"], logged["results"]);
    let market = json(["evaluate", "--run", run, "--cameras", "market"]);
    assert_ne!(market["results"], logged["results"]);
}
