use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::catalogue::{Shared, everything, json, pictures, succeed, synth, synth_command};

fn inspect(root: &Path, more: &[&str]) -> (Value, String) {
    let mut arguments = vec!["data", "inspect", root.to_str().unwrap()];
    arguments.extend(more);
    let text = succeed(&arguments).stdout;
    (json(arguments), String::from_utf8(text).unwrap())
}

/// The lines of the oddities, in JSON and in the text the same.
fn oddities((value, text): &(Value, String)) -> Vec<String> {
    let lines = value["oddities"].as_array().unwrap().iter();
    let lines: Vec<String> = lines.map(|line| line.as_str().unwrap().to_owned()).collect();
    for line in &lines {
        assert!(text.contains(line), "{line:?} is not in: {text}");
    }
    lines
}

#[test]
fn inspect_counts_identities_images_and_cameras() {
    let answer = inspect(&Shared::get().catalogue(), &["--deep"]);
    let (value, text) = &answer;
    assert_eq!(value["layout"], "market1501");
    // 8 and 6 products by 4 cameras, twice each; of a test product's two the first is the query.
    // The gallery has a pid 0 besides, for 60 distractors.
    let expected = [("train", 8, 8 * 8), ("query", 6, 6 * 4), ("gallery", 7, 6 * 4 + 60)];
    assert_eq!(value["splits"].as_array().unwrap().len(), expected.len());
    for (summary, (split, identities, images)) in
        value["splits"].as_array().unwrap().iter().zip(expected)
    {
        assert_eq!(summary["split"], split);
        assert_eq!(
            (&summary["identities"], &summary["images"]),
            (&identities.into(), &images.into())
        );
        assert_eq!(summary["cameras"], 4);
        let shown = |line: &&str| line.split_whitespace().next() == Some(split);
        let row: Vec<&str> = text.lines().find(shown).unwrap().split_whitespace().collect();
        assert_eq!(row[1..], [identities.to_string(), images.to_string(), "4".to_owned()]);
    }
}

#[test]
fn inspect_names_what_is_odd() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    synth(&root);
    let before = oddities(&inspect(&root, &["--deep"]));

    let picture = pictures(&root.join("query")).remove(0);
    let plant = |name: &str| fs::copy(&picture, root.join(name)).unwrap();
    fs::write(root.join("bounding_box_train/notes.txt"), "mine").unwrap();
    plant("bounding_box_train/.0001_c1s1_000009_00.jpg");
    plant("bounding_box_train/0900_c1s1_000001_00.jpg");
    plant("query/0001_c1s1_000001_00.jpg");
    plant("query/0099_c1s1_000001_00.jpg");
    plant("query/0012_c1s1_000077_00.png");
    fs::write(root.join("query/0012_c1s1_000078_00.jpg"), "no picture").unwrap();
    fs::write(root.join("query/0012_c1s1_000079_00.jpg"), "").unwrap();

    let of_records = [
        ("no images, left out", "notes.txt"),
        ("hidden", ".0001_c1s1_000009_00.jpg"),
        ("pids with one image", "900"),
        ("pids both in train and in query or gallery", "(1)"),
        ("without a match", "0099_c1s1_000001_00.jpg"),
    ];
    let of_files = [
        ("extension", "0012_c1s1_000077_00.png"),
        ("no known image format", "0012_c1s1_000078_00.jpg"),
        ("empty files", "0012_c1s1_000079_00.jpg"),
    ];
    let shallow = oddities(&inspect(&root, &[]));
    let deep = oddities(&inspect(&root, &["--deep"]));
    let names = |lines: &[String], (what, which): (&str, &str)| {
        lines.iter().any(|line| line.contains(what) && line.contains(which))
    };
    for oddity in of_records {
        assert!(names(&shallow, oddity) && names(&deep, oddity), "{oddity:?} in {deep:#?}");
        assert!(!names(&before, oddity), "{oddity:?} in {before:#?}");
    }
    for oddity in of_files {
        assert!(names(&deep, oddity) && !names(&shallow, oddity), "{oddity:?} in {deep:#?}");
        assert!(!names(&before, oddity), "{oddity:?} in {before:#?}");
    }
}

#[test]
fn inspect_reads_public_layouts_under_any_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("veri");
    for part in ["image_train", "image_query", "image_test"] {
        fs::create_dir_all(root.join(part)).unwrap();
        fs::write(root.join(part).join("0002_c002_00030600_0.jpg"), "").unwrap();
    }
    let (value, text) = inspect(&root, &[]);
    assert_eq!(
        (&value["layout"], value["splits"][0]["images"].as_u64()),
        (&"veri776".into(), Some(1))
    );
    assert!(text.contains("as veri776"), "{text}");
    assert_eq!(inspect(folder.path(), &["--layout", "VeRi-776"]).0["splits"], value["splits"]);

    let mut wrong = crate::catalogue::centroids(["data", "inspect", "--layout", "SOP"]);
    let output = wrong.arg(&root).assert().failure().get_output().stderr.clone();
    assert!(String::from_utf8(output).unwrap().contains("Ebay_train.txt"));
}

#[test]
fn synth_follows_from_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let (again, other) = (folder.path().join("again"), folder.path().join("other"));
    synth(&again);
    synth_command(&other).args(["--seed", "1"]).assert().success();
    let shared = Shared::get().catalogue();
    let files = everything(&shared);
    assert_eq!(everything(&again), files);
    assert_eq!(everything(&other), files);
    let (mut pictures, mut alike) = (0, 0);
    for file in files.iter().filter(|file| shared.join(file).is_file()) {
        let bytes = fs::read(shared.join(file)).unwrap();
        assert!(bytes == fs::read(again.join(file)).unwrap(), "{}", file.display());
        pictures += 1;
        alike += usize::from(bytes == fs::read(other.join(file)).unwrap());
    }
    assert_eq!((pictures, alike), (8 * 8 + 6 * 8 + 60 + 20, 0));
    assert_eq!(pictures_in(folder.path()), ["again", "other"], "nothing temporary is left");
}

fn pictures_in(folder: &Path) -> Vec<String> {
    let names = pictures(folder).into_iter();
    names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}
