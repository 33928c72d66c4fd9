use std::collections::HashSet;

use centroids_core::{CamId, Distance, Metric, Pid, Unit};
use centroids_store::{Answer, Filter, Gallery, SearchOptions, Selection};

use super::*;
use crate::support::{Numbers, add, member};

const DIM: usize = 16;

/// Identities of four images from two cameras.
fn filled(settings: &Settings, pids: i64) -> Fresh {
    let fresh = Fresh::new(settings);
    let mut numbers = Numbers(21);
    let members: Vec<_> = (0..4 * pids)
        .map(|i| {
            let camera = Some(i as u32 % 2);
            member(&format!("{i}"), i / 4, camera, &numbers.vector(DIM))
        })
        .collect();
    add(&fresh.gallery, &members);
    fresh
}

fn queries() -> Vec<Vec<f32>> {
    (0..40).map(|seed| Numbers(seed).vector(DIM)).collect()
}

fn ask(gallery: &EmbeddedGallery, options: &SearchOptions) -> Vec<Answer> {
    let queries = queries();
    let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
    gallery.search(&queries, options).unwrap()
}

/// The share of the exact hits that is found; what is found has its exact distance.
fn recall(found: &[Answer], exact: &[Answer]) -> f64 {
    let (mut right, mut all) = (0, 0);
    for (found, exact) in found.iter().zip(exact) {
        let pids: HashSet<Pid> = found.hits.iter().map(|hit| hit.pid).collect();
        assert_eq!((found.hits.len(), pids.len()), (exact.hits.len(), exact.hits.len()));
        for hit in &exact.hits {
            let same = found.hits.iter().find(|found| found.pid == hit.pid);
            assert!(same.is_none_or(|same| same.distance == hit.distance));
            right += usize::from(same.is_some());
            all += 1;
        }
    }
    right as f64 / all as f64
}

#[test]
fn nearly_all_that_is_near_is_found_at_its_exact_distance() {
    for (distance, normalize, sub_centroids) in [
        (Distance::SquaredEuclidean, true, 1),
        (Distance::SquaredEuclidean, false, 1),
        (Distance::Cosine, true, 2),
    ] {
        let metric = Metric { distance, normalize, ..Metric::default() };
        let settings = Settings { sub_centroids, ..Settings::new(DIM) }.with_metric(metric);
        let fresh = filled(&settings, 3000);
        let gallery = open(&fresh, Some(100)).unwrap();
        let options = SearchOptions { k: 10, ..SearchOptions::default() };
        let found = recall(&ask(&gallery, &options), &ask(&fresh.gallery, &options));
        let report = gallery.approximation().unwrap();
        assert!(found >= 0.95 && report.recall >= 0.95, "{found} {report:?}");
        // Random images of one identity often have two looks.
        assert_eq!(report.rows > 3000, sub_centroids > 1);
        assert!(report.rows >= 3000 && report.sample > 90 && report.neighbours == 10);
        assert_eq!(fresh.gallery.approximation(), None);
    }
}

/// The graph follows the file, and is made anew when little of it is left.
#[test]
fn what_comes_is_found_and_what_goes_is_not() {
    let fresh = filled(&Settings::new(DIM), 2000);
    let gallery = open(&fresh, Some(0)).unwrap();
    let query = Numbers(1).vector(DIM);
    let first = || {
        let found = gallery.search(&[&query], &SearchOptions::default()).unwrap();
        assert!(gallery.approximation().is_some());
        found[0].hits[0].pid
    };
    let before = first();
    add(&fresh.gallery, &[member("new", 5000, None, &query)]);
    assert_eq!(first(), Pid(5000));
    fresh.gallery.remove(&Selection::Classes(vec![Pid(5000)])).unwrap();
    assert_eq!(first(), before);
    assert_eq!(gallery.approximation().unwrap().rows, 2000);
    let half = (0..1000).map(Pid).collect();
    fresh.gallery.remove(&Selection::Classes(half)).unwrap();
    let options = SearchOptions { k: 5, ..SearchOptions::default() };
    assert!(recall(&ask(&gallery, &options), &ask(&fresh.gallery, &options)) > 0.95);
    assert_eq!(gallery.approximation().unwrap().rows, 1000);
}

#[test]
fn searches_that_a_graph_does_not_serve_are_exact() {
    let fresh = filled(&Settings::new(DIM), 500);
    let gallery = open(&fresh, Some(0)).unwrap();
    let filter = Filter::default().and("none", serde_json::Value::Null).unwrap();
    for options in [
        SearchOptions { without_camera: Some(CamId(1)), ..SearchOptions::default() },
        SearchOptions { filter, ..SearchOptions::default() },
        SearchOptions { unit: Unit::Nearest, ..SearchOptions::default() },
        SearchOptions { k: 400, ..SearchOptions::default() },
    ] {
        ask(&gallery, &SearchOptions::default());
        assert!(gallery.approximation().is_some());
        assert_eq!(ask(&gallery, &options), ask(&fresh.gallery, &options));
        assert_eq!(gallery.approximation(), None);
    }
    let above = open(&fresh, Some(500)).unwrap();
    ask(&above, &SearchOptions::default());
    assert_eq!(above.approximation(), None);
}
