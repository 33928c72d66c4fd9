use std::fs;
use std::path::{Path, PathBuf};

use centroids_core::{CentroidOf, Embeddings, Metric, Pid, Unit, centroids, search};
use serde_json::Value;

use crate::golden::{self, count, list, number, text};

/// A ranked list: row or name, and distance.
type Ranked<T> = Vec<(T, f64)>;

fn pair(folder: &Path, output: &Value) -> Embeddings {
    let file = text(output, "file");
    // Under any other names the pair must be put together as the reference names it.
    let together = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        fs::copy(folder.join(from), together.path().join(to)).unwrap();
    };
    copy(file, "embeddings.npy");
    copy(text(output, "paths_file"), "paths.npy");
    Embeddings::load(&together.path().join("embeddings.npy")).unwrap()
}

fn find_output<'a>(manifest: &'a Value, name: &str) -> &'a Value {
    list(manifest, "outputs").iter().find(|output| text(output, "name") == name).unwrap()
}

/// Query vectors are stored without paths: the manifest has them.
fn queries(folder: &Path, file: &str, paths: &[String]) -> Embeddings {
    let together = tempfile::tempdir().unwrap();
    let path: PathBuf = together.path().join("embeddings.npy");
    let n = paths.len();
    let named = Embeddings::new(1, vec![0.0; n], vec![Pid(0); n], vec![None; n], paths.to_vec());
    named.unwrap().save(&path).unwrap();
    fs::copy(folder.join(file), &path).unwrap();
    Embeddings::load(&path).unwrap()
}

fn ranked<T: Clone>(result: &Value, key: &str, item: impl Fn(&Value) -> T) -> Ranked<T> {
    let items = list(result, key).iter().map(item);
    let distances = list(result, "distances").iter();
    items.zip(distances.map(|distance| distance.as_f64().unwrap())).collect()
}

/// Distances within the tolerance, and the same order unless the reference's own is in doubt.
fn assert_ranked<T: PartialEq + std::fmt::Debug>(
    case: &Case<'_>,
    found: &Ranked<T>,
    expected: &Ranked<T>,
) {
    assert_eq!(found.len(), expected.len(), "{}", case.of);
    for (found, expected) in found.iter().zip(expected) {
        assert!(!case.order_is_certain || found.0 == expected.0, "{found:?}: {expected:?}");
        let error = (found.1 - expected.1).abs();
        assert!(error <= case.tolerance, "{found:?} instead of {expected:?} in {}", case.of);
    }
}

/// Searches of one stored case: its query vectors, and how many results.
fn for_each_query(check: impl Fn(&Case<'_>, &[f32], &Value)) {
    let Some(folder) = golden::folder("inference") else {
        return;
    };
    let manifest = golden::manifest(&folder);
    for case in list(&manifest, "similar") {
        let results = case["results"].as_object().unwrap();
        let mut paths: Vec<String> = results.keys().cloned().collect();
        paths.sort();
        let case = Case {
            metric: golden::metric(case, "normalize_features"),
            k: match count(case, "topk") {
                0 => usize::MAX,
                k => k,
            },
            tolerance: number(case, "distance_tolerance"),
            order_is_certain: number(case, "smallest_relative_gap") > 1e-5,
            of: text(case, "gallery"),
            images: pair(&folder, find_output(&manifest, "embeddings")),
            rows: pair(&folder, find_output(&manifest, text(case, "gallery"))),
        };
        let mut files = vec!["query_embeddings_raw.npy"];
        if case.metric.normalize {
            files.push("query_embeddings_normalised.npy");
        }
        for file in files {
            let vectors = queries(&folder, file, &paths);
            for (row, path) in paths.iter().enumerate() {
                check(&case, vectors.row(row), &results[path]);
            }
        }
    }
}

struct Case<'a> {
    metric: Metric,
    k: usize,
    tolerance: f64,
    order_is_certain: bool,
    /// Which output was searched.
    of: &'a str,
    /// The image embeddings.
    images: Embeddings,
    /// The rows that were searched.
    rows: Embeddings,
}

#[test]
fn pairs_are_read_as_they_were_written() {
    let Some(folder) = golden::folder("inference") else {
        return;
    };
    let manifest = golden::manifest(&folder);
    for output in list(&manifest, "outputs") {
        let set = pair(&folder, output);
        let paths: Vec<&str> = list(output, "paths").iter().map(|p| p.as_str().unwrap()).collect();
        assert_eq!(set.paths(), paths);
        let shape = list(output, "shape").iter().map(|size| size.as_u64().unwrap() as usize);
        assert_eq!(shape.collect::<Vec<_>>(), [set.len(), set.dim()]);
    }
}

#[test]
fn similar_rows_are_found_in_the_reference_s_order() {
    for_each_query(|case, query, expected| {
        let hits = search(query, None, &case.rows, case.k, Unit::Instance, &case.metric).unwrap();
        let found = hits.iter().map(|hit| (hit.example, hit.distance)).collect();
        let expected = ranked(expected, "indices", |index| index.as_u64().unwrap() as usize);
        assert_ranked(case, &found, &expected);
    });
}

#[test]
fn identities_are_found_from_their_images() {
    for_each_query(|case, query, expected| {
        if case.of != "centroids" {
            return;
        }
        let hits = search(query, None, &case.images, case.k, Unit::Centroid, &case.metric).unwrap();
        let found = hits.iter().map(|hit| (name(&case.images, hit.pid), hit.distance)).collect();
        let expected = ranked(expected, "paths", |path| path.as_str().unwrap().to_owned());
        assert_ranked(case, &found, &expected);
    });
}

#[test]
fn centroids_are_the_reference_s() {
    let Some(folder) = golden::folder("inference") else {
        return;
    };
    let manifest = golden::manifest(&folder);
    let atol = number(&manifest["tolerance"], "embeddings_atol");
    let means = centroids(&pair(&folder, find_output(&manifest, "embeddings")), CentroidOf::Raw);
    let stored = pair(&folder, find_output(&manifest, "centroids"));
    assert_eq!(means.len(), stored.len());
    for (row, pid) in means.pids().iter().enumerate() {
        let same_name = |path: &String| *path == name(&means, *pid);
        let stored_row = stored.row(stored.paths().iter().position(same_name).unwrap());
        let errors = means.row(row).iter().zip(stored_row).map(|(a, b)| f64::from((a - b).abs()));
        assert!(errors.fold(0.0, f64::max) <= atol, "centroid of {}", name(&means, *pid));
    }
}

fn name(set: &Embeddings, pid: Pid) -> String {
    set.pid_names().get(&pid).cloned().unwrap_or_else(|| pid.to_string())
}
