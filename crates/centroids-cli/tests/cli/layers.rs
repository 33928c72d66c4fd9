use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate must not depend on directly (design: one straight line of
/// crates, the store beside it).
const FORBIDDEN: [(&str, &[&str]); 6] = [
    (
        "centroids-core",
        &[
            "burn",
            "image",
            "clap",
            "tokio",
            "indicatif",
            "centroids-data",
            "centroids-model",
            "centroids-store",
            "centroids",
        ],
    ),
    (
        "centroids-store",
        &["burn", "image", "clap", "indicatif", "centroids-data", "centroids-model", "centroids"],
    ),
    (
        "centroids-data",
        &["burn", "clap", "tokio", "indicatif", "centroids-model", "centroids-store", "centroids"],
    ),
    ("centroids-model", &["clap", "tokio", "indicatif", "centroids-store", "centroids"]),
    ("centroids", &["burn", "clap", "indicatif", "tokio", "axum"]),
    (
        "centroids-cli",
        &["burn", "centroids-core", "centroids-data", "centroids-model", "centroids-store"],
    ),
];

#[test]
fn the_crates_stand_in_one_line() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let dependencies = |package: &Value| -> BTreeSet<String> {
        let all = package["dependencies"].as_array().unwrap().iter();
        // What a feature brings is that feature's own affair: object stores want tokio.
        let always = |dependency: &&Value| dependency["optional"] == false;
        let normal = all.filter(always).filter(|dependency| dependency["kind"].is_null());
        normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
    };
    let of: BTreeMap<&str, BTreeSet<String>> = packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), dependencies(package)))
        .collect();
    for (name, forbidden) in FORBIDDEN {
        for other in forbidden {
            assert!(!of[name].contains(*other), "{name} must not depend on {other}");
        }
    }
    // Its parts count as Burn too: burn-flex, burn-autodiff.
    let names_burn = |name: &&str| of[name].iter().any(|other| other.starts_with("burn"));
    assert_eq!(of.keys().copied().filter(names_burn).collect::<Vec<_>>(), ["centroids-model"]);
}
