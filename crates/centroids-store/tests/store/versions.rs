//! `data/version-1.gallery` was written by the first version of this crate and stays as it is: eight
//! members in four dimensions, one of them set aside, one relabelled, two of weight 2.

use std::path::{Path, PathBuf};

use centroids_core::{CamId, Pid};
use centroids_store::{
    Answer, EmbeddedGallery, Filter, Gallery, OpenOptions, SearchOptions, Selection,
};
use tempfile::TempDir;

use crate::support::{add, member};

/// A copy that may be changed.
fn copy() -> (TempDir, PathBuf) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/data/version-1.gallery");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.gallery");
    std::fs::copy(kept, &path).unwrap();
    (folder, path)
}

fn open(path: &Path) -> EmbeddedGallery {
    EmbeddedGallery::open(path, OpenOptions::default()).unwrap()
}

/// Identities with 2 − 2 × the cosine between query and centroid.
fn assert_found(answer: &Answer, expected: &[(i64, f64)]) {
    let pids: Vec<i64> = answer.hits.iter().map(|hit| hit.pid.0).collect();
    assert_eq!(pids, expected.iter().map(|(pid, _)| *pid).collect::<Vec<_>>());
    for (hit, (_, cosine)) in answer.hits.iter().zip(expected) {
        assert!((hit.distance - (2.0 - 2.0 * cosine)).abs() < 1e-6, "{hit:?}");
    }
}

#[test]
fn a_gallery_of_version_1_is_searched_and_changed() {
    let (_folder, path) = copy();
    let gallery = open(&path);
    let stats = gallery.stats().unwrap();
    assert_eq!((stats.classes, stats.members, stats.quarantined, stats.parts), (3, 7, 1, 5));
    let ask = |gallery: &EmbeddedGallery, options: &SearchOptions| {
        gallery.search(&[&[1.0, 0.0, 0.0, 0.0]], options).unwrap().remove(0)
    };
    let plain = SearchOptions::default();
    // Pid 1: (1, 0, 0, 0) + (0.8, 0.6, 0, 0) + 2 × (0.6, 0, 0.8, 0); the others are orthogonal.
    let whole = 3.0 / 11.92_f64.sqrt();
    assert_found(&ask(&gallery, &plain), &[(1, whole), (2, 0.0), (3, 0.0)]);
    let without = SearchOptions { without_camera: Some(CamId(0)), ..plain.clone() };
    assert_found(&ask(&gallery, &without), &[(1, 0.8), (2, 0.0), (3, 0.0)]);
    let filter = Filter::default().and("shop", "south".into()).unwrap();
    let south = SearchOptions { filter, ..plain.clone() };
    assert_found(&ask(&gallery, &south), &[(1, 0.6), (2, 0.0)]);
    assert!(gallery.verify(false).unwrap().sound());

    add(&gallery, &[member("new", 3, Some(2), &[2.0, 0.0, 0.0, 0.0])]);
    gallery.remove(&Selection::Classes(vec![Pid(1)])).unwrap();
    drop(gallery);
    let again = open(&path);
    assert_found(&ask(&again, &plain), &[(3, 0.5_f64.sqrt()), (2, 0.0)]);
    let verification = again.verify(false).unwrap();
    assert!(verification.sound() && verification.members == 6, "{verification:?}");
}
