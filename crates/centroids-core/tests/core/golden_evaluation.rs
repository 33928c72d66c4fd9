use centroids_core::{
    CamId, CameraRule, CentroidOf, ClassSums, Embeddings, Metric, Pid, Preset, Report, Unit,
    centroids, evaluate, evaluate_preset,
};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::golden::{self, Tensors, count, list, number, text};

/// Runs `check` on every set: its manifest entry, tensors, query and gallery.
fn for_each_set(check: impl Fn(&Set<'_>)) {
    let Some(folder) = golden::folder("evaluation") else {
        return;
    };
    let manifest = golden::manifest(&folder);
    for entry in list(&manifest, "entries") {
        let bytes = std::fs::read(folder.join(text(entry, "file"))).unwrap();
        let tensors = Tensors(SafeTensors::deserialize(&bytes).unwrap());
        let (pids, camids) = (tensors.i64("pids"), tensors.i64("camids"));
        let all = golden::embeddings(tensors.f32("embeddings"), &pids, &camids);
        let queries = count(entry, "num_query");
        check(&Set {
            entry,
            tolerance: &manifest["tolerance"],
            query: all.select(&(0..queries).collect::<Vec<_>>()),
            gallery: all.select(&(queries..all.len()).collect::<Vec<_>>()),
            tensors,
        });
    }
}

struct Set<'a> {
    entry: &'a Value,
    tolerance: &'a Value,
    tensors: Tensors<'a>,
    query: Embeddings,
    gallery: Embeddings,
}

impl Set<'_> {
    /// The reference's mode in our words. The extension is handled apart.
    fn evaluate(&self, mode: &str, metric: &Metric) -> Option<Report> {
        let (query, gallery) = (&self.query, &self.gallery);
        let report = match mode {
            "instance" => evaluate(query, gallery, Unit::Instance, CameraRule::Market, metric),
            "centroid_legacy" => evaluate_preset(query, gallery, Preset::PaperAsPublished, metric),
            "centroid_correct" => evaluate_preset(query, gallery, Preset::Paper, metric),
            "centroid_camera_unaware" => {
                evaluate(query, gallery, Unit::Centroid, CameraRule::Any, metric)
            }
            "centroid_correct_with_distractors" => return None,
            other => panic!("unknown mode {other}"),
        };
        Some(report.unwrap())
    }

    fn close(&self, what: &str, found: f64, expected: f64, of: &str) {
        let tolerance = number(self.tolerance, of);
        assert!((found - expected).abs() <= tolerance, "{what}: {found} instead of {expected}");
    }

    fn name(&self, result: &Value) -> String {
        format!("{} {}", text(self.entry, "name"), text(result, "ap_tensor"))
    }

    /// Compares AP per query; the golden NaN is our `None`.
    fn check_average_precision(&self, result: &Value, found: &[Option<f64>]) {
        let expected = self.tensors.f64(text(result, "ap_tensor"));
        assert_eq!(found.len(), expected.len(), "{}", self.name(result));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let what = format!("{} AP of query {i}", self.name(result));
            assert_eq!(found.is_none(), expected.is_nan(), "{what}: skipped?");
            if let Some(found) = found {
                self.close(&what, *found, expected, "ap");
            }
        }
    }

    fn check_report(&self, result: &Value, report: &Report) {
        let name = self.name(result);
        self.check_average_precision(result, &report.average_precision);
        self.close(&format!("{name} mAP"), report.map, number(result, "mAP"), "mAP");
        assert_eq!(report.valid_queries, count(result, "valid_queries"), "{name}");
        assert_eq!(report.valid_queries + report.skipped_queries, self.query.len(), "{name}");
        assert_eq!(report.gallery_units, count(result, "gallery_rows_scored"), "{name}");
        let cmc = self.tensors.f32(text(result, "cmc_tensor"));
        assert_eq!(cmc.len(), count(result, "cmc_length"), "{name}");
        // A curve that ends early has found everything.
        let padded = cmc.iter().copied().map(f64::from).chain(std::iter::repeat(1.0));
        for (i, (found, expected)) in report.cmc(50).iter().zip(padded).enumerate() {
            self.close(&format!("{name} rank-{}", i + 1), *found, expected, "cmc");
        }
        for (k, expected) in result["top_k"].as_object().unwrap() {
            let found = report.rank(k.parse().unwrap());
            self.close(&format!("{name} top-{k}"), found, expected.as_f64().unwrap(), "top_k");
        }
    }

    /// The stored centroids of a mode, `[n, dim]`; of large sets only the first are stored.
    fn stored_centroids(&self, mode: &str) -> Option<Vec<f32>> {
        let names = self.tensors.0.names();
        let prefix = format!("{mode}.centroids");
        names.into_iter().find(|name| name.starts_with(&prefix)).map(|name| self.tensors.f32(name))
    }

    fn assert_centroid(&self, what: &str, found: impl Iterator<Item = f64>, expected: &[f32]) {
        for (found, expected) in found.zip(expected) {
            self.close(what, found, f64::from(*expected), "centroids");
        }
    }
}

#[test]
fn every_mode_gives_the_reference_s_metrics() {
    for_each_set(|set| {
        for result in list(set.entry, "results") {
            let metric = golden::metric(result, "feat_norm");
            if let Some(report) = set.evaluate(text(result, "mode"), &metric) {
                set.check_report(result, &report);
            }
        }
    });
}

/// The extension adds to `paper`, for each pid without a query, one centroid of all its images. So
/// does a made-up query of that pid from an unknown camera; its own score is not looked at.
#[test]
fn the_paper_preset_extends_to_distractors() {
    for_each_set(|set| {
        let has_no_query = |row: &usize| !set.query.pids().contains(&set.gallery.pids()[*row]);
        let distractors: Vec<usize> = (0..set.gallery.len()).filter(has_no_query).collect();
        let mut values = set.query.values().to_vec();
        let mut pids: Vec<i64> = set.query.pids().iter().map(|pid| pid.0).collect();
        let camids = set.query.camids().iter();
        let mut camids: Vec<i64> = camids.map(|c| c.map_or(-1, |c| i64::from(c.0))).collect();
        for row in distractors {
            values.extend(set.gallery.row(row));
            pids.push(set.gallery.pids()[row].0);
            camids.push(-1);
        }
        let query = golden::embeddings(values, &pids, &camids);
        for result in list(set.entry, "results") {
            if text(result, "mode") == "centroid_correct_with_distractors" {
                let metric = golden::metric(result, "feat_norm");
                let report = evaluate_preset(&query, &set.gallery, Preset::Paper, &metric).unwrap();
                assert_eq!(report.gallery_units, count(result, "gallery_rows_scored"));
                let of_real_queries = &report.average_precision[..set.query.len()];
                set.check_average_precision(result, of_real_queries);
            }
        }
    });
}

/// The published fault depends on the order of the gallery, what was meant does not.
#[test]
fn only_the_published_preset_depends_on_the_order() {
    for_each_set(|set| {
        let order = set.tensors.i64("gallery_permutation");
        let order: Vec<usize> = order.into_iter().map(|row| row as usize).collect();
        let permuted = set.gallery.select(&order);
        let expected = &set.entry["order_dependence"];
        let presets = [(Preset::PaperAsPublished, "legacy_mAP"), (Preset::Paper, "correct_mAP")];
        for (preset, key) in presets {
            let report = evaluate_preset(&set.query, &permuted, preset, &Metric::default());
            set.close(key, report.unwrap().map, number(expected, key), "mAP");
        }
    });
}

/// Tolerances as the manifest words them: relative to `|q|² + |g|²`, or absolute for cosine.
#[test]
fn distances_are_the_reference_s() {
    for_each_set(|set| {
        for result in list(set.entry, "results") {
            let mode = text(result, "mode");
            let stored = text(result, "ap_tensor").replace(".ap", ".distances");
            if !set.tensors.has(&stored) {
                continue;
            }
            let metric = golden::metric(result, "feat_norm");
            let rows = match mode {
                "instance" => set.gallery.values().to_vec(),
                _ => set.stored_centroids(mode).unwrap(),
            };
            let n = rows.len() / set.gallery.dim();
            let rows = golden::embeddings(rows, &vec![0; n], &vec![0; n]);
            let unit = |set: &Embeddings| {
                if metric.normalize { set.to_normalized() } else { set.clone() }
            };
            let (query, rows) = (unit(&set.query), unit(&rows));
            for (at, expected) in set.tensors.f32(&stored).into_iter().enumerate() {
                let (q, g) = (query.row(at / n), rows.row(at % n));
                let squared = |row: &[f32]| row.iter().map(|x| f64::from(x * x)).sum::<f64>();
                let tolerance = match text(result, "distance") {
                    "euclidean" => 2e-6 * (squared(q) + squared(g)),
                    _ => 1e-6,
                };
                let found = metric.distance.between(q, g);
                let error = (found - f64::from(expected)).abs();
                assert!(error <= tolerance, "{stored} at {at}: {found} instead of {expected}");
            }
        }
    });
}

#[test]
fn centroids_of_all_cameras_are_the_reference_s() {
    for_each_set(|set| {
        let mode = "centroid_camera_unaware";
        let means = centroids(&set.gallery, CentroidOf::Raw);
        let pids: Vec<i64> = means.pids().iter().map(|pid| pid.0).collect();
        assert_eq!(pids, set.tensors.i64(&format!("{mode}.centroid_pids")));
        let stored = set.stored_centroids(mode).unwrap();
        for (row, expected) in stored.chunks(means.dim()).enumerate() {
            let found = means.row(row).iter().copied().map(f64::from);
            set.assert_centroid(&format!("centroid {row}"), found, expected);
        }
    });
}

/// Each stored camera-safe centroid is the subtraction of some query camera of its pid.
#[test]
fn camera_safe_centroids_are_the_reference_s() {
    for_each_set(|set| {
        let mode = "centroid_correct";
        let sums = ClassSums::of(&set.gallery, CentroidOf::Raw);
        let pids = set.tensors.i64(&format!("{mode}.centroid_pids"));
        let camera_bits = set.tensors.i64(&format!("{mode}.centroid_camera_bits"));
        let stored = set.stored_centroids(mode).unwrap();
        for (row, expected) in stored.chunks(set.gallery.dim()).enumerate() {
            let (pid, bits) = (Pid(pids[row]), camera_bits[row]);
            let made_for = |camera: &CamId| cameras_without(&set.gallery, pid, *camera) == bits;
            let queries = set.query.pids().iter().zip(set.query.camids());
            let cameras = queries.filter(|(query, _)| **query == pid).filter_map(|(_, c)| *c);
            let camera = cameras.into_iter().find(made_for).unwrap();
            let found = sums.centroid(pid, Some(camera)).unwrap();
            set.assert_centroid(&format!("{pid} without {camera}"), found.into_iter(), expected);
        }
    });
}

/// Bit set of the cameras of a pid's images, but one.
fn cameras_without(gallery: &Embeddings, pid: Pid, camera: CamId) -> i64 {
    let images = gallery.pids().iter().zip(gallery.camids());
    let cameras = images.filter(|(other, _)| **other == pid).filter_map(|(_, camid)| *camid);
    cameras.filter(|other| *other != camera).fold(0, |bits, camid| bits | 1 << camid.0)
}
