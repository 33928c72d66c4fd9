use centroids::core::rerank::{self, augment_gallery, expand_queries};
use centroids::core::{CameraRule, Embeddings, Expansion, KReciprocal, Metric, Unit};
use serde_json::{Value, json as value};

use crate::catalogue::{Shared, centroids, json, succeed};

fn sets() -> [Embeddings; 2] {
    ["query", "gallery"].map(|split| Embeddings::load(&Shared::get().embeddings(split)).unwrap())
}

/// `evaluate` on the shared files.
fn arguments(more: &[&str]) -> Vec<String> {
    let files = ["query", "gallery"].map(|split| Shared::get().embeddings(split));
    let given = ["evaluate", "--query", files[0].to_str().unwrap(), "--gallery"];
    let words = given.into_iter().chain([files[1].to_str().unwrap()]);
    words.chain(more.iter().copied()).map(str::to_owned).collect()
}

fn reports(more: &[&str]) -> Vec<Value> {
    json(arguments(more))["results"].as_array().unwrap().clone()
}

#[test]
fn rerank_is_the_library_s_and_says_so() {
    let [query, gallery] = sets();
    let (metric, cameras) = (Metric::default(), CameraRule::Cross);
    let found = reports(&["--cameras", "cross", "--rerank", "7,3,0.25"]);
    let settings = KReciprocal { k1: 7, k2: 3, lambda: 0.25 };
    assert_eq!(found.len(), Unit::ALL.len());
    for (report, &unit) in found.iter().zip(Unit::ALL) {
        let wanted = rerank::evaluate(&query, &gallery, unit, cameras, &metric, &settings).unwrap();
        let mut wanted = value!(wanted);
        wanted["reranked"] = value!({ "k1": 7, "k2": 3, "lambda": 0.25 });
        assert_eq!(report, &wanted);
    }
    assert_eq!(reports(&["--rerank"]), reports(&["--rerank", "20,6,0.3"]));
    assert_ne!(reports(&["--rerank"])[0]["mAP"], reports(&[])[0]["mAP"]);
    let text = String::from_utf8(succeed(arguments(&["--rerank"])).stdout).unwrap();
    let line = "Refined: re-ranked (k1 20, k2 6, lambda 0.3). Not comparable with plain rankings.";
    assert!(text.contains(line) && text.contains("whatever their camera"), "{text}");
}

#[test]
fn expansions_chain_and_are_named() {
    let [query, gallery] = sets();
    let (metric, cameras) = (Metric::default(), CameraRule::Market);
    let (four, two) =
        (Expansion { neighbours: 4, alpha: 3.0 }, Expansion { neighbours: 2, alpha: 0.0 });
    let gallery = augment_gallery(&gallery, cameras, &metric, &two).unwrap();
    let query = expand_queries(&query, &gallery, cameras, &metric, &four).unwrap();
    let flags = ["--unit", "instance", "--query-expansion", "4,3", "--dba", "2"];
    let report = &reports(&flags)[0];
    let plain =
        centroids::core::evaluate(&query, &gallery, Unit::Instance, cameras, &metric).unwrap();
    assert_eq!(report["mAP"], plain.map);
    assert_eq!(report["query_expansion"], value!({ "neighbours": 4, "alpha": 3.0 }));
    assert_eq!(report["dba"], value!({ "neighbours": 2, "alpha": 0.0 }));
    assert!(report.get("reranked").is_none());
    let both = &reports(&[&flags[..], &["--rerank"]].concat())[0];
    let settings = KReciprocal::default();
    let reranked =
        rerank::evaluate(&query, &gallery, Unit::Instance, cameras, &metric, &settings).unwrap();
    assert_eq!(both["mAP"], reranked.map);
}

#[test]
fn what_cannot_be_refined_is_refused() {
    let refused = |more: &[&str], parts: &[&str]| {
        let output = centroids(arguments(more)).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    for flag in [&["--rerank"][..], &["--query-expansion", "3"], &["--dba", "3"]] {
        refused(&[flag, &["--preset", "paper"]].concat(), &[flag[0], "--preset"]);
        refused(&[flag, &["--visualize", "pictures"]].concat(), &[flag[0], "--visualize"]);
    }
    refused(&["--rerank", "0,6,0.3"], &["--rerank", "`k1` is 0"]);
    refused(&["--rerank", "20,6"], &["three numbers"]);
    refused(&["--rerank", "20,6,NaN"], &["`lambda` is NaN"]);
    refused(&["--query-expansion", "x"], &["N is `x`"]);
    refused(&["--dba", "3,-1"], &["`alpha` is -1"]);
}
