use std::fs;
use std::path::{Path, PathBuf};

use centroids::core::{CamId, Embeddings, Pid};
use serde_json::Value;
use tempfile::TempDir;

use crate::catalogue::{centroids, everything, json, succeed};

const DIM: usize = 6;

/// Numbers without a pattern from −1 to 1, the same every time.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}

/// Two images of each identity by different cameras, `spread` about a place of its own.
fn set(pids: impl Iterator<Item = i64>, camera: u32, spread: f32, name: &str) -> Embeddings {
    let (mut values, mut of, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for pid in pids {
        let mut place = noise(pid as u64 + 1);
        let place: Vec<f32> = (0..DIM).map(|_| place()).collect();
        for image in 0..2 {
            let mut around = noise(1000 * (pid as u64 + 1) + 10 * u64::from(camera) + image);
            values.extend(place.iter().map(|value| value + spread * around()));
            of.push(Pid(pid));
            paths.push(format!("{name}/{pid}_{image}.jpg"));
        }
    }
    let cameras = vec![Some(CamId(camera)); of.len()];
    let set = Embeddings::new(DIM, values, of, cameras, paths).unwrap();
    set.with_model("resnet18-1".to_owned())
}

/// A folder with a good and a poor model's embeddings of one test set, and a validation split.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        for (model, spread) in [("good", 0.2), ("poor", 0.9)] {
            files.save(&format!("{model}-q"), &set(0..60, 0, spread, "q"));
            files.save(&format!("{model}-g"), &set(0..60, 1, spread, "g"));
        }
        files.save("val-q", &set(100..180, 0, 0.2, "vq"));
        files.save("val-g", &set(100..180, 1, 0.2, "vg"));
        files
    }

    fn save(&self, name: &str, set: &Embeddings) {
        set.save(&self.path(&format!("{name}.safetensors"))).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A command on the query and gallery of a model.
    fn on(&self, command: &str, model: &str, more: &[&str]) -> Vec<String> {
        let [query, gallery] = ["q", "g"].map(|split| format!("{model}-{split}.safetensors"));
        let files = ["--query", &self.text(&query), "--gallery", &self.text(&gallery)];
        let all = [command].into_iter().chain(files).chain(more.iter().copied());
        all.map(str::to_owned).collect()
    }

    /// Writes the JSON of an evaluation.
    fn evaluation(&self, name: &str, model: &str, more: &[&str]) -> String {
        let said = json(self.on("evaluate", model, more));
        fs::write(self.path(name), said.to_string()).unwrap();
        self.text(name)
    }
}

fn said(arguments: Vec<String>) -> String {
    String::from_utf8(succeed(arguments).stdout).unwrap()
}

/// Fails with one line that holds all parts.
fn refused(arguments: Vec<String>, parts: &[&str]) {
    let output = centroids(arguments).args(["-q", "--json"]).assert().code(1).get_output().clone();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn intervals_lie_about_the_figures() {
    let files = Files::new();
    let all = json(files.on("evaluate", "poor", &["--bootstrap", "200"]));
    for result in all["results"].as_array().unwrap() {
        let intervals = result["intervals"].as_array().unwrap();
        let names: Vec<&str> = intervals.iter().map(|it| it["figure"].as_str().unwrap()).collect();
        assert_eq!(names, ["mAP", "rank-1", "rank-5", "rank-10", "rank-20", "rank-50", "mINP"]);
        let map = &intervals[0];
        assert!((number(&map["value"]) - number(&result["mAP"])).abs() < 1e-12, "{map}");
        assert!(number(&map["low"]) < number(&map["value"]), "{map}");
        assert!(number(&map["high"]) > number(&map["value"]), "{map}");
        assert!(result.get("per_query").is_none());
    }
    let again = json(files.on("evaluate", "poor", &["--bootstrap", "200"]));
    assert_eq!(again["results"], all["results"]);
    let other = json(files.on("evaluate", "poor", &["--bootstrap", "200", "--seed", "1"]));
    assert_ne!(other["results"][0]["intervals"], all["results"][0]["intervals"]);
    let text = said(files.on("evaluate", "poor", &["--bootstrap"]));
    assert!(text.contains("95 % intervals, from 1000 resamplings"), "{text}");
}

#[test]
fn two_models_are_compared_query_by_query() {
    let files = Files::new();
    let poor = files.evaluation("poor.json", "poor", &["--per-query", "--cameras", "all"]);
    let by_query: Value = serde_json::from_str(&fs::read_to_string(&poor).unwrap()).unwrap();
    let first = &by_query["results"][0]["per_query"][0];
    assert_eq!(first["query"], "q/0_0.jpg");
    assert!(number(&first["AP"]) <= 1.0 && number(&first["first_rank"]) >= 1.0, "{first}");
    assert_eq!(by_query["results"][0]["per_query"].as_array().unwrap().len(), 120);

    let good = json(files.on("evaluate", "good", &["--against", &poor]));
    let compared = good["against"].as_array().unwrap();
    assert_eq!(compared.len(), 3, "each unit under market");
    for (compared, unit) in compared.iter().zip(["instance", "nearest", "centroid"]) {
        assert_eq!((&compared["unit"], &compared["queries"]), (&unit.into(), &120.into()));
        let map = &compared["figures"][0];
        let difference = number(&map["a"]) - number(&map["b"]);
        assert!((difference - number(&map["difference"])).abs() < 1e-12, "{map}");
        assert!(number(&map["low"]) > 0.0 && number(&map["share_a_greater"]) == 1.0, "{map}");
    }
    let text = said(files.on("evaluate", "good", &["--against", &poor, "--bootstrap", "100"]));
    assert!(text.contains("100 resamplings") && text.contains("this is greater in"), "{text}");

    // Against itself nothing differs.
    let same = json(files.on("evaluate", "poor", &["--against", &poor, "--unit", "centroid"]));
    assert_eq!(number(&same["against"][0]["figures"][0]["difference"]), 0.0);
}

#[test]
fn what_is_no_other_evaluation_is_refused() {
    let files = Files::new();
    let against = |file: &str, parts: &[&str]| {
        refused(files.on("evaluate", "good", &["--against", file]), parts);
    };
    against(&files.text("none.json"), &["none.json", "cannot read"]);
    against(&files.text("good-q.safetensors"), &["good-q.safetensors", "not "]);
    fs::write(files.path("list.json"), "[1, 2]").unwrap();
    against(&files.text("list.json"), &["list.json: not the JSON of an evaluation"]);
    let plain = files.evaluation("plain.json", "poor", &[]);
    against(&plain, &["plain.json: an evaluation without results by query", "--per-query"]);
    let per_query = |name: &str, model: &str, more: &[&str]| {
        files.evaluation(name, model, &[&["--per-query"], more].concat())
    };
    let rule = per_query("any.json", "poor", &["--cameras", "any", "--unit", "nearest"]);
    against(&rule, &["any.json", "nearest under any", "--cameras"]);
    let preset = per_query("preset.json", "poor", &["--preset", "paper"]);
    against(&preset, &["preset.json", "centroid under market (paper)"]);
    against(&per_query("val.json", "val", &[]), &["val.json", "gallery units do not compare"]);
    // The same gallery, but other query images.
    let queries = set(0..60, 0, 0.2, "elsewhere");
    files.save("moved-q", &queries);
    fs::copy(files.path("good-g.safetensors"), files.path("moved-g.safetensors")).unwrap();
    against(&per_query("moved.json", "moved", &[]), &["no query is in both", "q/0_0.jpg"]);
}

#[test]
fn verification_and_open_set_are_reported() {
    let files = Files::new();
    let more = ["--verification", "--open-set", "--rates", "0.00001,0.1", "--unit", "all"];
    let all = json(files.on("evaluate", "good", &more));
    let verification = all["verification"].as_array().unwrap();
    assert_eq!(verification.len(), 3);
    let (instance, centroid) = (&verification[0], &verification[2]);
    assert_eq!(instance["genuine_pairs"], 60 * 2 * 2);
    assert_eq!(instance["impostor_pairs"], 120 * 59 * 2);
    assert_eq!(centroid["impostor_pairs"], 120 * 59);
    assert!(number(&instance["auc"]) > 0.9 && number(&instance["eer"]) < 0.1, "{instance}");
    assert_eq!(instance["at"][0]["point"], Value::Null, "1e-5 of 14160 cannot be measured");
    assert!(number(&instance["at"][1]["point"]["tpr"]) > 0.9);
    assert!(instance["roc"].as_array().unwrap().len() <= 202);

    // No identity is absent, so half of them is held out.
    let open_set = &all["open_set"][2];
    assert_eq!(open_set["unknown"]["by"], "held_out");
    assert_eq!(open_set["unknown"]["identities"], 30);
    assert_eq!(
        (&open_set["known_queries"], &open_set["unknown_queries"]),
        (&60.into(), &60.into())
    );
    assert_eq!(open_set["at"][0]["point"], Value::Null);
    let point = &open_set["at"][1]["point"];
    assert!(number(&point["fpir"]) <= 0.1 && number(&point["dir"]) > 0.3, "{point}");
    assert!(number(&point["dir"]) <= number(&open_set["rank1"]));
    let text = said(files.on("evaluate", "good", &more));
    assert!(text.contains("30 identities were held out of the gallery (seed 0)"), "{text}");
    assert!(text.contains("TPR@0.1") && text.contains("DIR@0.1"), "{text}");

    let poor = json(files.on("evaluate", "poor", &more));
    assert!(number(&poor["verification"][0]["auc"]) < number(&instance["auc"]));
    refused(
        files.on("evaluate", "good", &["--open-set", "--unknown-share", "0"]),
        &["queries with and without a mate", "120 and 0"],
    );
    for wrong in [["--rates", "2"], ["--rates", "0"], ["--rates", "x"], ["--unknown-share", "1"]] {
        let arguments = files.on("evaluate", "good", &[&["--open-set"], &wrong[..]].concat());
        centroids(arguments).assert().code(2);
    }
}

#[test]
fn a_calibrated_search_says_what_it_knows() {
    let files = Files::new();
    let out = files.text("cal.json");
    let calibrate = |more: &[&str]| {
        files.on("calibrate", "val", &[&["--target-fpir", "0.05", "--out", &out], more].concat())
    };
    let text = said(calibrate(&[]));
    for part in ["FPIR ≤ 0.05", "FMR ≤ 0.001", "80 queries with a mate", "40 identities were held"]
    {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let written: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(written["format"], "centroids.calibration.v1");
    assert_eq!((&written["model"], &written["unit"]), (&"resnet18-1".into(), &"centroid".into()));
    assert_eq!(written["metric"]["distance"], "euclidean");
    assert_eq!(json(calibrate(&[]))["calibration"], written);

    // Half of the queries are of identities that the gallery lacks.
    files.save("new-q", &set(30..90, 0, 0.2, "q"));
    fs::copy(files.path("good-g.safetensors"), files.path("new-g.safetensors")).unwrap();
    let search = |more: &[&str]| {
        files.on("search", "new", &[&["--calibration", &out, "-k", "3"], more].concat())
    };
    let found = json(search(&[]));
    let results = found["results"].as_array().unwrap();
    let known = |of: &[Value]| of.iter().filter(|result| result["known"] == true).count();
    let (mated, unmated) = results.split_at(60);
    assert!(known(mated) > 20 && known(unmated) <= 12, "{} {}", known(mated), known(unmated));
    let threshold = number(&written["identification"]["threshold"]);
    for result in results {
        let distance = number(&result["hits"][0]["distance"]);
        assert_eq!(result["known"], distance <= threshold);
        assert!((0.0..=1.0).contains(&number(&result["confidence"])));
    }
    let text = said(search(&[]));
    assert_eq!(text.matches(".jpg: known, ").count(), known(results));
    assert_eq!(text.matches(".jpg: unknown, ").count(), 120 - known(results));
    let file = files.text("found.json");
    succeed(search(&["--out", &file]));
    let by_query: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(by_query["q/30_0.jpg"]["known"], results[0]["known"]);

    refused(search(&["--unit", "nearest"]), &["calibrated for unit centroid", "unit nearest"]);
    refused(search(&["--distance", "cosine"]), &["calibrated for distance", "cosine"]);
    let gallery = Embeddings::load(&files.path("new-g.safetensors")).unwrap();
    files.save("new-g", &gallery.with_model(String::new()));
    files.save("new-q", &set(30..90, 0, 0.2, "q").with_model("resnet18-2".to_owned()));
    refused(search(&[]), &["model resnet18-1", "model resnet18-2"]);
}

/// A gallery of `centroids index` says what the embedding file it was made of says.
#[test]
fn a_store_is_searched_with_a_calibration() {
    let files = Files::new();
    let (out, store) = (files.text("cal.json"), files.text("g.gallery"));
    succeed(files.on("calibrate", "val", &["--target-fpir", "0.05", "--out", &out]));
    succeed(["index", "import", &store, &files.text("good-g.safetensors")]);
    let expected = json(files.on("search", "good", &["--calibration", &out]));
    let query = files.text("good-q.safetensors");
    let search = |more: &[&str]| {
        let common = ["search", "--store", &store, "--query", &query, "--calibration", &out];
        common.iter().chain(more).map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let found = json(search(&[]));
    let both = found["results"].as_array().unwrap().iter();
    for (result, expected) in both.zip(expected["results"].as_array().unwrap()) {
        assert_eq!(result["unknown"], !expected["known"].as_bool().unwrap());
        let confidence = number(&result["hits"][0]["confidence"]);
        assert!((confidence - number(&expected["confidence"])).abs() < 1e-9);
        assert!(number(&result["hits"][9]["confidence"]) <= confidence);
    }
    let text = said(search(&["--threshold", "0"]));
    assert_eq!(text.matches("unknown: beyond the threshold").count(), 120);
    assert!(text.contains("confidence") && text.contains('%'), "{text}");
    refused(search(&["--unit", "instance"]), &["calibrated for unit centroid", "unit instance"]);
}

#[test]
fn bad_calibrations_and_too_little_data_are_refused() {
    let files = Files::new();
    let search =
        |file: &Path| files.on("search", "good", &["--calibration", file.to_str().unwrap()]);
    refused(search(&files.path("none.json")), &["none.json", "cannot read"]);
    let broken = files.path("broken.json");
    for text in ["", "{", "{}", "{\"format\": \"centroids.calibration.v9\"}"] {
        fs::write(&broken, text).unwrap();
        refused(search(&broken), &["broken.json: no calibration (", "centroids calibrate"]);
    }
    fs::write(&broken, [0xff, 0xfe]).unwrap();
    refused(search(&broken), &["broken.json: not a text file"]);

    let before = everything(files.0.path());
    let calibrate = |more: &[&str]| files.on("calibrate", "val", more);
    let out = files.text("out.json");
    refused(calibrate(&["--out", &out, "--target-fpir", "0.001"]), &["at least 1000 can"]);
    refused(calibrate(&["--out", &out, "--unknown-share", "0"]), &["with and without a mate"]);
    refused(calibrate(&["--out", &files.text("out.toml")]), &["must end in .json"]);
    refused(calibrate(&["--out", &files.text("no/out.json")]), &["folder that does not exist"]);
    let mut bytes = fs::read(files.path("val-q.safetensors")).unwrap();
    let end = bytes.len();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize + 8;
    let text = String::from_utf8_lossy(&bytes[8..header]).into_owned();
    let header_json: Value = serde_json::from_str(&text).unwrap();
    let offset = header_json["embeddings"]["data_offsets"][0].as_u64().unwrap() as usize;
    assert!(header + offset + 4 <= end);
    bytes[header + offset..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(files.path("val-q.safetensors"), bytes).unwrap();
    refused(calibrate(&["--out", &out]), &["val-q.safetensors", "NaN"]);
    assert_eq!(everything(files.0.path()), before);
}
