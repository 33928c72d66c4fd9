use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::catalogue::{Shared, centroids, everything, json, pictures, succeed};

/// DeepFashion's lists and, of its pictures, drawn ones under the real names: two items per subset.
fn deepfashion(root: &Path) {
    let mut picture = pictures(&Shared::get().catalogue().join("query")).into_iter();
    let mut boxes = "12\nimage_name clothes_type source_type x_1 y_1 x_2 y_2\n".to_owned();
    let mut pairs = "6\nimage_pair_name_1 image_pair_name_2 item_id evaluation_status\n".to_owned();
    for (i, subset) in ["train", "train", "val", "val", "test", "test"].iter().enumerate() {
        let item = format!("img/CLOTHING/Blouse/id_{i:08}");
        fs::create_dir_all(root.join(&item)).unwrap();
        for (file, source) in [("comsumer_01.jpg", 2), ("shop_01.jpg", 1)] {
            fs::copy(picture.next().unwrap(), root.join(&item).join(file)).unwrap();
            boxes += &format!("{item}/{file} 1 {source} 002 003 020 030\n");
        }
        pairs += &format!("{item}/comsumer_01.jpg {item}/shop_01.jpg id_{i:08} {subset}\n");
    }
    for (list, text) in
        [("Anno/list_bbox_consumer2shop.txt", boxes), ("Eval/list_eval_partition.txt", pairs)]
    {
        fs::create_dir_all(root.join(list).parent().unwrap()).unwrap();
        fs::write(root.join(list), text).unwrap();
    }
}

fn street2shop(root: &Path) {
    fs::create_dir_all(root.join("meta/json")).unwrap();
    fs::create_dir_all(root.join("photos")).unwrap();
    let categories = [
        "bags",
        "belts",
        "dresses",
        "eyewear",
        "footwear",
        "hats",
        "leggings",
        "outerwear",
        "pants",
        "skirts",
        "tops",
    ];
    for kind in ["train_pairs", "test_pairs", "retrieval"] {
        for category in categories {
            let text = match (kind, category) {
                ("train_pairs", "hats") => {
                    r#"[{"photo": 1, "product": 5,
                         "bbox": {"width": 8, "top": 1, "height": 9, "left": 2}}]"#
                }
                ("test_pairs", "hats") => r#"[{"photo": 2, "product": 6}]"#,
                ("retrieval", "hats") => {
                    r#"[{"photo": 3, "product": 5}, {"photo": 4, "product": 6}]"#
                }
                _ => "[]",
            };
            fs::write(root.join(format!("meta/json/{kind}_{category}.json")), text).unwrap();
        }
    }
    let from = pictures(&Shared::get().catalogue().join("query"));
    for (number, picture) in (1..=4).zip(from) {
        fs::copy(picture, root.join(format!("photos/{number:09}.jpg"))).unwrap();
    }
}

/// The content of every file below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = everything(folder).into_iter().filter(|name| folder.join(name).is_file());
    files.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// One line on stderr that holds all `parts`, and no result.
fn refused(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = centroids(arguments).arg("-q").assert().code(code).get_output().clone();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(code == 2 || text.trim_end().lines().count() == 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn the_options_of_the_reference_do_the_same_as_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let source = Shared::get().catalogue().join("query");
    let source = source.to_str().unwrap();
    let ours = json(["data", "prepare", "jpg", source, &path("ours"), "--threads", "3"]);
    let (from, to) = ("--source-dir-path", "--target-dir-path");
    let theirs = path("theirs");
    succeed(["data", "prepare", "jpg", from, source, to, &theirs, "--num-threads", "1"]);
    assert!(contents(&folder.path().join("ours")) == contents(&folder.path().join("theirs")));
    assert_eq!((&ours["converted"], &ours["failed"]), (&24.into(), &Value::Array(Vec::new())));

    for root in ["a", "b"] {
        deepfashion(&folder.path().join(root));
        street2shop(&folder.path().join(root));
    }
    let (a, b) = (path("a"), path("b"));
    succeed(["data", "prepare", "deepfashion", &a, "--target-image-size", "24", "32"]);
    let theirs = ["data", "prepare", "deepfashion", "--root-dir-path", &b, "--target-image-size"];
    succeed(theirs.into_iter().chain(["[24,", "32]"])); // as in the reference's readme
    let images = ["--images-dir", "photos", "--target-image-size", "24", "32"];
    succeed(["data", "prepare", "street2shop", &a].into_iter().chain(images));
    let theirs = ["--root-dir-path", &b, "--metadata-dir", "meta", "--save-dir", "meta_reid"];
    let theirs = theirs.into_iter().chain(["--train-json-path", "x", "--minimum-bbox-area", "1"]);
    succeed(["data", "prepare", "street2shop"].into_iter().chain(theirs).chain(images));
    assert!(contents(&folder.path().join("a")) == contents(&folder.path().join("b")));
}

#[test]
fn the_summary_counts_sets_and_says_where_everything_is() {
    let folder = tempfile::tempdir().unwrap();
    street2shop(folder.path());
    deepfashion(folder.path());
    fs::remove_file(folder.path().join("photos/000000002.jpg")).unwrap();
    fs::write(folder.path().join("photos/000000004.jpg"), "no picture").unwrap();
    let root = folder.path().to_str().unwrap();
    let prepare = ["data", "prepare", "street2shop", root, "--images-dir", "photos"];
    let value = json(prepare);
    let sets: Vec<_> = value["sets"].as_array().unwrap().iter().map(|set| &set["images"]).collect();
    assert_eq!(sets, [2, 0, 0]);
    let names = |key: &str| value[key].as_array().unwrap().clone();
    assert!(names("missing")[0].as_str().unwrap().ends_with("000000002.jpg"));
    assert!(names("broken")[0]["reason"].as_str().unwrap().contains("000000004.jpg"));
    for list in names("lists") {
        assert!(Path::new(list.as_str().unwrap()).is_file(), "{list}");
    }
    let output = succeed(prepare);
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (out, err) = (out.unwrap(), err.unwrap());
    assert!(out.contains("1 pictures missing, 1 broken, 0 boxes"), "{out}");
    assert!(err.contains("000000002.jpg") && err.contains("000000004.jpg"), "{err}");

    let value = json(["data", "prepare", "deepfashion", root]);
    let identities: Vec<_> =
        value["sets"].as_array().unwrap().iter().map(|set| &set["identities"]).collect();
    assert_eq!(identities, [2, 2, 2, 2, 4]);
    let crops = Path::new(value["images"].as_str().unwrap()).join("query");
    assert_eq!(pictures(&crops).len(), 2);
}

#[test]
fn an_interrupted_conversion_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&source).unwrap();
    let from = pictures(&Shared::get().catalogue().join("query"));
    for (i, picture) in (0..600).zip(from.iter().cycle()) {
        fs::hard_link(picture, source.join(format!("{i:04}.jpg"))).unwrap();
    }
    let child = std::process::Command::new(assert_cmd::cargo::cargo_bin("centroids"))
        .args(["data", "prepare", "jpg", "--json", "--threads", "1"])
        .args([&source, &target])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !target.join("0000.jpg").exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "no picture after a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["interrupted"], true);
    let begun = pictures(&target);
    assert!(begun.len() < 600);
    assert!(begun.iter().all(|path| path.extension().is_some_and(|kind| kind == "jpg")));

    let mut command = centroids(["data", "prepare", "jpg", "--json"]);
    let output = command.args([&source, &target]).assert().success().get_output().clone();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["converted"], &value["kept"]), (&600.into(), &begun.len().into()));
    assert_eq!(pictures(&target).len(), 600);
}

#[test]
fn strict_refuses_what_is_left_out_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    deepfashion(folder.path());
    let root = folder.path().to_str().unwrap();
    fs::remove_file(folder.path().join("img/CLOTHING/Blouse/id_00000000/shop_01.jpg")).unwrap();
    let prepare = ["data", "prepare", "deepfashion", root, "--strict"];
    refused(&prepare, 1, &["id_00000000", "1 pictures are missing"]);
    succeed(&prepare[..4]);

    let (from, to) = (folder.path().join("Anno"), folder.path().join("jpg"));
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let jpg = ["data", "prepare", "jpg", from, to, "--strict"];
    refused(&jpg, 1, &["1 files", "list_bbox_consumer2shop.txt"]);
    let output = succeed(&jpg[..5]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("1 files failed"));
}

#[test]
fn wrong_folders_and_sizes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    refused(&["data", "prepare", "deepfashion", root], 1, &["list_eval_partition.txt"]);
    refused(&["data", "prepare", "street2shop", root], 1, &["train_pairs_bags.json"]);
    refused(&["data", "prepare", "jpg", root, root], 1, &["holds no images"]);
    refused(&["data", "prepare", "jpg", root], 2, &["<TARGET>"]);
    for size in [["0", "9"], ["9", "99999"], ["9", "wide"]] {
        let mut arguments = vec!["data", "prepare", "deepfashion", root, "--target-image-size"];
        arguments.extend(size);
        refused(&arguments, 2, &["from 1 to 8192"]);
    }
    assert_eq!(everything(folder.path()), Vec::<PathBuf>::new());
}
