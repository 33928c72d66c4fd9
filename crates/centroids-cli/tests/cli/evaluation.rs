use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::catalogue::{Shared, centroids, json};

fn evaluate<'a>(more: &[&'a str], sets: &'a [String; 2]) -> Vec<&'a str> {
    [&["evaluate", "--query", &sets[0], "--gallery", &sets[1]][..], more].concat()
}

fn sets() -> [String; 2] {
    ["query", "gallery"].map(|split| Shared::get().embeddings(split).to_str().unwrap().to_owned())
}

#[test]
fn ranks_are_chosen_and_precision_is_shown() {
    let sets = sets();
    let said = json(evaluate(&["--unit", "instance", "--ranks", "3,2,3,2000"], &sets));
    let report = &said["results"][0];
    let ranks = |figure: &str| -> Vec<String> {
        report[figure].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(ranks("rank"), ["2", "2000", "3"]);
    assert_eq!(ranks("precision"), ["2", "3"], "known up to 1000");
    let value = |figure: &str, k: &str| report[figure][k].as_f64().unwrap();
    assert_eq!(value("rank", "2000"), 1.0);
    assert!(value("precision", "2") <= value("rank", "2"));
    assert!(value("recall", "2") <= value("recall", "3"));
    assert!(report["map_at_r"].as_f64() <= report["r_precision"].as_f64());

    let shown = centroids(evaluate(&["--ranks", "7", "--precision"], &sets)).assert().success();
    let shown = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    assert!(
        shown.contains("rank-7") && shown.contains("P@7") && shown.contains("MAP@R"),
        "{shown}"
    );
    assert!(!shown.contains("rank-5"), "{shown}");
    centroids(evaluate(&["--ranks", "0"], &sets)).assert().code(2);
}

#[test]
fn the_report_is_one_file_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let sets = sets();
    let said = json(evaluate(&["--report", page.to_str().unwrap()], &sets));
    let html = fs::read_to_string(&page).unwrap();
    let percent = |report: &Value| format!("{:.2}%", 100.0 * report["mAP"].as_f64().unwrap());
    for report in said["results"].as_array().unwrap() {
        assert!(html.contains(&percent(report)), "{report}");
    }
    for part in [
        "CMC: Images",
        "CMC: Identities",
        "AP of queries: instance",
        "<h2>ROC",
        "seconds per query",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.matches("data:image/png;base64,").count() > 10);
    assert!(!html.contains("src=\"h") && !html.contains("href="), "nothing from elsewhere");
    assert!(html.contains("not comparable with figures of images"));

    let refused = |path: &Path| {
        let arguments = ["--report", path.to_str().unwrap()];
        let refused = centroids(evaluate(&arguments, &sets)).assert().code(1);
        String::from_utf8(refused.get_output().stderr.clone()).unwrap()
    };
    assert!(refused(&folder.path().join("page.pdf")).contains("must end in .html"));
    assert!(refused(&folder.path().join("none/page.html")).contains("does not exist"));
}
