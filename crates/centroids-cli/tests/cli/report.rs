use std::fs;

use crate::catalogue::{Shared, centroids, json};

#[test]
fn a_run_is_one_page() {
    let shared = Shared::get();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("run.html");
    let run = shared.run();
    let said = json(["report", run.to_str().unwrap(), "--out", page.to_str().unwrap()]);
    assert_eq!(
        (said["missing"].as_array().unwrap().len(), &said["results"][2]["unit"]),
        (0, &"centroid".into())
    );
    let html = fs::read_to_string(&page).unwrap();
    for part in [
        "<title>Run run</title>",
        "2 epochs.",
        "num_instance = 2",
        "aria-label=\"Losses\"",
        "centroid triplet</span>",
        "aria-label=\"Learning rate\"",
        "Hardest queries: centroid",
        "aria-label=\"ROC\"",
        "Map: principal components",
        "Map: t-SNE",
        "<section id=\"s0\">",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let elsewhere = |start: &str| html.contains(&format!("{start}=\"http"));
    assert!(!elsewhere("src") && !elsewhere("href") && !html.contains("src=\"/"));
}

#[test]
fn what_is_no_run_and_what_is_no_page_is_said() {
    let shared = Shared::get();
    let (run, catalogue) = (shared.run(), shared.catalogue());
    for (arguments, says) in [
        ([catalogue.to_str().unwrap(), "--out", "x.html"], "is not the folder of a run"),
        ([run.to_str().unwrap(), "--out", "x.pdf"], "html"),
        ([run.to_str().unwrap(), "--out", "gone/x.html"], "gone"),
        ([run.to_str().unwrap(), "--dataset", "gone"], "gone"),
    ] {
        let failed = centroids(["report"].iter().chain(&arguments)).assert().failure();
        let error = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
    }
    assert!(!run.join("report.html").exists());
}
