use std::fs;

use crate::catalogue::{Shared, centroids, json, pictures, succeed, synth};

#[test]
fn inspect_counts_and_names_what_is_odd() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    synth(&root);
    let plain = json([std::path::Path::new("data"), "inspect".as_ref(), &root]);
    assert_eq!(plain["layout"], "market1501");
    let train = &plain["splits"][0];
    assert_eq!((&train["identities"], &train["images"]), (&8.into(), &64.into()));

    fs::write(root.join("query/0099_c1s1_000001_00.jpg"), "no picture").unwrap();
    let output =
        succeed([std::path::Path::new("data"), "inspect".as_ref(), "--deep".as_ref(), &root]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("0099_c1s1_000001_00.jpg"), "{text}");
}

#[test]
fn synth_is_the_same_for_a_seed_and_keeps_foreign_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("again");
    synth(&root);
    let first = |root: &std::path::Path| pictures(&root.join("bounding_box_train")).remove(0);
    let shared = Shared::get().catalogue();
    assert_eq!(fs::read(first(&root)).unwrap(), fs::read(first(&shared)).unwrap());

    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "mine").unwrap();
    centroids(["data", "synth"]).arg(&foreign).assert().code(1);
    assert_eq!(fs::read_to_string(foreign.join("thesis.txt")).unwrap(), "mine");
}
