use std::fs;
use std::path::{Path, PathBuf};

use centroids_core::{CamId, Pid};
use centroids_data::{Dataset, DatasetSource, Error, ImageRecord, Layout, Split, inspect_files};
use tempfile::TempDir;

use crate::support::{assert_says, write_png};

/// A folder with small images at the given places, each different.
fn tree(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (seed, file) in files.iter().enumerate() {
        write_png(&dir.path().join(file), seed);
    }
    dir
}

pub(crate) fn load(layout: Layout, root: &Path) -> Result<Dataset, Error> {
    DatasetSource::new(layout, root).load()
}

/// File names, identities and cameras.
pub(crate) fn summary(records: &[ImageRecord]) -> Vec<(String, i64, Option<u32>)> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_string();
    records.iter().map(|r| (name(&r.path), r.pid.0, r.camid.map(|camid| camid.0))).collect()
}

pub(crate) fn pids(records: &[ImageRecord]) -> Vec<i64> {
    records.iter().map(|record| record.pid.0).collect()
}

pub(crate) fn assert_odd(dataset: &Dataset, parts: &[&str]) {
    let found = dataset.oddities.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "{parts:?} not in {:#?}", dataset.oddities);
}

const MARKET: [&str; 9] = [
    "bounding_box_train/0007_c1s1_000001_01.jpg",
    "bounding_box_train/0007_c6s3_000002_01.jpg",
    "query/0002_c1s1_000451_00.jpg",
    "query/0003_c2s1_000451_00.jpg",
    "bounding_box_test/0002_c2s1_000500_02.jpg",
    "bounding_box_test/0003_c2s1_000501_02.jpg",
    "bounding_box_test/0000_c3s1_000100_04.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/-1_c4s6_000401_03.jpg",
];

#[test]
fn market1501_is_read_from_its_file_names() {
    let dir = tree(&MARKET);
    fs::write(dir.path().join("query/Thumbs.db"), "x").unwrap();
    fs::write(dir.path().join("query/.hidden.jpg"), "x").unwrap();
    write_png(&dir.path().join("query/holiday.jpg"), 0);
    let dataset = load(Layout::Market1501, dir.path()).unwrap();
    assert_eq!(
        summary(&dataset.train),
        [
            ("0007_c1s1_000001_01.jpg".into(), 7, Some(0)),
            ("0007_c6s3_000002_01.jpg".into(), 7, Some(5))
        ]
    );
    assert_eq!(pids(&dataset.query), [2, 3]);
    assert_eq!(pids(&dataset.gallery), [0, 2, 3], "sorted, junk dropped, distractors kept");
    assert_odd(&dataset, &["gallery: junk images (pid −1), dropped: 2"]);
    assert_odd(&dataset, &["query: files that are no images, left out: 1 (Thumbs.db)"]);
    assert_odd(&dataset, &["query: hidden files or folders, left out: 1 (.hidden.jpg)"]);
    assert_odd(&dataset, &["query: names without identity and camera", "holiday.jpg"]);
    assert_odd(&dataset, &["query: images without a match", "0003_c2s1_000451_00.jpg"]);
}

#[test]
fn the_three_folders_may_lie_one_deeper() {
    let below = |name: &str| MARKET.map(|file| format!("{name}/{file}"));
    let market = tree(&below("market1501").each_ref().map(String::as_str));
    assert_eq!(load(Layout::Market1501, market.path()).unwrap().train.len(), 2);
    assert_eq!(Layout::detect(market.path()).unwrap(), Layout::Market1501);
    let duke = tree(&below("DukeMTMC-reID").each_ref().map(String::as_str));
    assert_eq!(load(Layout::Dukemtmcreid, duke.path()).unwrap().name, "dukemtmcreid");
    assert_eq!(Layout::detect(duke.path()).unwrap(), Layout::Dukemtmcreid);
    assert_says(
        &load(Layout::Dukemtmcreid, market.path()).unwrap_err(),
        &["bounding_box_train/", "DukeMTMC-reID"],
    );
}

#[test]
fn market1501_without_a_usable_name_or_image_is_refused() {
    let wrong =
        tree(&["bounding_box_train/a.jpg", "query/0001_c1.jpg", "bounding_box_test/0001_c2.jpg"]);
    assert_says(
        &load(Layout::Market1501, wrong.path()).unwrap_err(),
        &["bounding_box_train", "0002_c1s1_000451_03.jpg"],
    );
    fs::remove_file(wrong.path().join("bounding_box_train/a.jpg")).unwrap();
    assert_says(
        &load(Layout::Market1501, wrong.path()).unwrap_err(),
        &["bounding_box_train", "holds no images"],
    );
    fs::remove_dir(wrong.path().join("bounding_box_train")).unwrap();
    assert_says(&load(Layout::Market1501, wrong.path()).unwrap_err(), &["no bounding_box_train/"]);
}

#[test]
fn a_folder_with_splits_keeps_integer_names_as_pids() {
    let dir = tree(&[
        "train/0012/a.png",
        "train/0012/b.png",
        "train/3/a.png",
        "query/40/left_1.png",
        "gallery/40/right_1.png",
        "gallery/40/x.png",
        "gallery/-1/right_2.png",
        "train/loose.png",
    ]);
    let pattern = Some(r"^(left|right)_".to_string());
    let source =
        DatasetSource { camera_pattern: pattern, ..DatasetSource::new(Layout::Folder, dir.path()) };
    let dataset = source.load().unwrap();
    assert_eq!(pids(&dataset.train), [12, 12, 3]);
    assert_eq!(summary(&dataset.query), [("left_1.png".into(), 40, Some(2_454_383_728))]);
    assert_eq!(
        summary(&dataset.gallery),
        [("right_1.png".into(), 40, Some(4_175_637_989)), ("x.png".into(), 40, None)]
    );
    assert!(dataset.pid_names.is_empty());
    assert_odd(&dataset, &["train: images outside of any identity's folder", "loose.png"]);
    assert_odd(&dataset, &["names without a camera"]);
    assert_odd(&dataset, &["train: pids with one image", "1 (3)"]);
    assert_odd(&dataset, &["gallery: junk"]);
}

#[test]
fn a_folder_without_splits_is_divided_by_identity() {
    let names: Vec<String> = ["Greek/alpha", "Greek/beta", "Latin/a", "Latin/b"]
        .iter()
        .flat_map(|identity| (1..=3).map(move |drawer| format!("{identity}/0001_{drawer:02}.png")))
        .collect();
    let dir = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let pattern = Some(r"_(\d+)\.png$".to_string());
    let source =
        DatasetSource { camera_pattern: pattern, ..DatasetSource::new(Layout::Folder, dir.path()) };
    let dataset = source.load().unwrap();
    assert_eq!(
        dataset.pid_names.values().collect::<Vec<_>>(),
        ["Greek/alpha", "Greek/beta", "Latin/a", "Latin/b"]
    );
    assert_eq!((dataset.train.len(), dataset.query.len(), dataset.gallery.len()), (6, 2, 4));
    assert!(dataset.train.iter().all(|t| dataset.gallery.iter().all(|g| g.pid != t.pid)));
    assert_eq!(dataset.query[0].camid, Some(CamId(1)), "digits are the camera's number");
    assert_eq!(source.load().unwrap(), dataset, "always the same division");
    let all_test = DatasetSource { holdout: 1.0, ..source }.load().unwrap();
    assert_eq!((all_test.train.len(), all_test.query.len()), (0, 4));
    assert_odd(&all_test, &["train: no images"]);
}

#[test]
fn unusable_camera_patterns_are_refused() {
    let dir = tree(&["train/1/a.png"]);
    let message = |layout, pattern: &str| {
        let pattern = Some(pattern.to_string());
        DatasetSource { camera_pattern: pattern, ..DatasetSource::new(layout, dir.path()) }
            .load()
            .unwrap_err()
    };
    assert_says(&message(Layout::Folder, r"c\d"), &[r"`c\d`", "0 groups"]);
    assert_says(&message(Layout::Folder, r"c(\d)"), &[r"`c(\d)`", "matches no file name", "a.png"]);
    assert_says(&message(Layout::Folder, r"c(\d"), &[r"`c(\d`", "unclosed group"]);
    assert_says(&message(Layout::Market1501, r"c(\d)"), &["only layout folder", "market1501"]);
}

#[test]
fn folders_without_identities_or_images_are_refused() {
    let flat = tree(&["a.png", "b.png"]);
    assert_says(&load(Layout::Folder, flat.path()).unwrap_err(), &["one folder per identity"]);
    let empty = tempfile::tempdir().unwrap();
    assert_says(&load(Layout::Folder, empty.path()).unwrap_err(), &["holds no images"]);
    assert_says(
        &load(Layout::Folder, &empty.path().join("gone")).unwrap_err(),
        &["gone` does not exist"],
    );
    let junk = tree(&["train/-1/a.png"]);
    assert_says(&load(Layout::Folder, junk.path()).unwrap_err(), &["all images are junk"]);
    let source = DatasetSource { holdout: -0.1, ..DatasetSource::new(Layout::Folder, flat.path()) };
    write_png(&flat.path().join("1/a.png"), 0);
    assert_says(&source.load().unwrap_err(), &["holdout -0.1"]);
}

fn manifest_tree(name: &str, content: &str) -> (TempDir, PathBuf) {
    let dir = tree(&["img/a.png", "img/b.png", "img/c d.png"]);
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    (dir, path)
}

#[test]
fn a_csv_manifest_lists_images_in_order() {
    let content = "\u{feff}split, path, pid, camid, note\ntrain, img/b.png, 7, 3, x\n\
                   query, img/a.png, 8, -1, \ngallery,\"img/c d.png\", 8, , y\n";
    let (dir, path) = manifest_tree("manifest.csv", content);
    let dataset = load(Layout::Manifest, dir.path()).unwrap();
    assert_eq!(summary(&dataset.train), [("b.png".into(), 7, Some(3))]);
    assert_eq!(summary(&dataset.query), [("a.png".into(), 8, None)]);
    assert_eq!(summary(&dataset.gallery), [("c d.png".into(), 8, None)]);
    assert!(dataset.gallery[0].path.is_file());
    assert_eq!(load(Layout::Manifest, &path).unwrap().query, dataset.query);
    assert_eq!(Layout::detect(dir.path()).unwrap(), Layout::Manifest);
}

#[test]
fn a_jsonl_manifest_may_name_identities() {
    let rows = [
        r#"{"path": "img/a.png", "pid": "hat", "split": "train"}"#,
        "",
        r#"{"path": "img/b.png", "pid": 7, "camid": "door", "split": "gallery", "more": 1}"#,
    ];
    let (_dir, path) = manifest_tree("list.jsonl", &rows.join("\n"));
    let dataset = load(Layout::Manifest, &path).unwrap();
    assert_eq!(dataset.pid_names.get(&Pid(2)).map(String::as_str), Some("hat"));
    assert_eq!(
        (dataset.train[0].pid, dataset.gallery[0].camid),
        (Pid(2), Some(CamId(2_717_234_985)))
    );
    assert_odd(&dataset, &["query: no images"]);
}

#[test]
fn broken_manifest_rows_are_named_by_line() {
    let head = "path,pid,split\nimg/a.png,1,train\n";
    for (name, content, parts) in [
        ("m.csv", format!("{head}img/b.png,1,test\n"), ["line 3", "unknown split `test`"]),
        ("m.csv", format!("{head}img/x.png,1,query\n"), ["line 3", "img/x.png` is no file"]),
        ("m.csv", format!("{head}img/b.png,1\n"), ["line 3", "2 fields"]),
        ("m.csv", format!("{head}img/b.png,,query\n"), ["line 3", "pid is empty"]),
        ("m.csv", "path,pid\n".into(), ["line 1", "header must name path, pid, split"]),
        ("m.csv", "path,pid,split\n".into(), ["m.csv", "no rows"]),
        ("m.jsonl", "{\"path\": \"img/a.png\"}\n".into(), ["line 1", "missing field `pid`"]),
        (
            "m.jsonl",
            "\n{\"path\": \"a\", \"pid\": 1.5, \"split\": \"x\"}\n".into(),
            ["line 2", "integers or texts"],
        ),
        ("m.jsonl", "path,pid\n".into(), ["line 1", "expected"]),
    ] {
        let (_dir, path) = manifest_tree(name, &content);
        assert_says(&load(Layout::Manifest, &path).unwrap_err(), &parts);
    }
}

#[test]
fn odd_files_and_lists_are_reported() {
    let rows =
        ["img/a.png,1,train", "img/a.png,1,train", "img/b.png,1,query", "img/c d.png,2,gallery"];
    let content = format!("path,pid,split\n{}\n", rows.join("\n"));
    let (dir, path) = manifest_tree("m.csv", &content);
    fs::write(dir.path().join("img/b.png"), "").unwrap();
    fs::write(dir.path().join("img/c d.png"), "text").unwrap();
    fs::rename(dir.path().join("img/a.png"), dir.path().join("img/a.jpg")).unwrap();
    fs::write(&path, content.replace("a.png", "a.jpg")).unwrap();
    let mut dataset = load(Layout::Manifest, &path).unwrap();
    assert_odd(&dataset, &["paths listed more than once", "a.jpg"]);
    assert_odd(&dataset, &["pids both in train and in query or gallery", "1 (1)"]);
    assert_odd(&dataset, &["query: images without a match", "b.png"]);
    dataset.oddities = inspect_files(&dataset);
    assert_odd(&dataset, &["train: files whose extension is not that of their format", "a.jpg"]);
    assert_odd(&dataset, &["query: empty files", "b.png"]);
    assert_odd(&dataset, &["gallery: files that are no known image format", "c d.png"]);
}

#[test]
fn layouts_are_recognised_or_refused() {
    assert_eq!("DukeMTMC-reID".parse::<Layout>().unwrap(), Layout::Dukemtmcreid);
    assert_eq!("market1501".parse::<Layout>().unwrap(), Layout::Market1501);
    assert_says(&"mars".parse::<Layout>().unwrap_err(), &["unknown layout `mars`", "manifest"]);
    assert_eq!(Layout::detect(tree(&["1/a.png"]).path()).unwrap(), Layout::Folder);
    let empty = tempfile::tempdir().unwrap();
    assert_says(&Layout::detect(empty.path()).unwrap_err(), &["no known layout", "manifest"]);
    assert_says(&Layout::detect(&empty.path().join("gone")).unwrap_err(), &["does not exist"]);
    let text = empty.path().join("notes.txt");
    fs::write(&text, "x").unwrap();
    assert_says(&Layout::detect(&text).unwrap_err(), &["notes.txt", "no known layout"]);
}

#[test]
fn the_table_has_a_row_for_each_split() {
    let dataset = load(Layout::Market1501, tree(&MARKET).path()).unwrap();
    let rows: Vec<_> =
        dataset.table().iter().map(|r| (r.split, r.identities, r.images, r.cameras)).collect();
    assert_eq!(rows, [(Split::Train, 1, 2, 2), (Split::Query, 2, 2, 2), (Split::Gallery, 3, 3, 2)]);
}
