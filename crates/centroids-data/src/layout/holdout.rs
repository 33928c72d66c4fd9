//! Train, query and gallery of a set that has no splits.

use std::collections::{BTreeMap, BTreeSet};

use centroids_core::Pid;
use rand::seq::SliceRandom as _;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::random_stream::{Purpose, random_stream};
use crate::record::ImageRecord;

/// Divides identity-disjointly: `share` of the identities, drawn always alike, becomes query and
/// gallery.
///
/// Of each held-out identity the first image of every camera is a query and the rest is gallery;
/// where that would leave no gallery image, or cameras are unknown, only its first image is a
/// query. An identity with a single image is gallery.
pub(super) fn divide(
    records: Vec<ImageRecord>,
    share: f64,
    into: &mut Dataset,
) -> Result<(), Error> {
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::Holdout { holdout: share });
    }
    let mut test: BTreeMap<Pid, Vec<ImageRecord>> = BTreeMap::new();
    let held_out = draw(&records, share);
    for record in records {
        match held_out.contains(&record.pid) {
            true => test.entry(record.pid).or_default().push(record),
            false => into.train.push(record),
        }
    }
    for images in test.into_values() {
        let (query, gallery) = queries_of(images);
        into.query.extend(query);
        into.gallery.extend(gallery);
    }
    Ok(())
}

fn draw(records: &[ImageRecord], share: f64) -> BTreeSet<Pid> {
    let pids: BTreeSet<Pid> = records.iter().map(|record| record.pid).collect();
    let mut pids: Vec<Pid> = pids.into_iter().filter(|pid| *pid != Pid::JUNK).collect();
    pids.shuffle(&mut random_stream(0, Purpose::Holdout, 0, 0));
    let wanted = (pids.len() as f64 * share).round() as usize;
    // A share strictly between none and all gives both sides something as soon as there are two
    // identities.
    let inner = 0.0 < share && share < 1.0 && pids.len() >= 2;
    let wanted = if inner { wanted.clamp(1, pids.len() - 1) } else { wanted };
    pids.into_iter().take(wanted).collect()
}

fn queries_of(images: Vec<ImageRecord>) -> (Vec<ImageRecord>, Vec<ImageRecord>) {
    let mut cameras = BTreeSet::new();
    let (query, gallery): (Vec<_>, Vec<_>) =
        images.into_iter().partition(|image| cameras.insert(image.camid));
    match (query.len(), gallery.is_empty()) {
        (1, true) => (gallery, query),
        (_, true) => {
            let mut query = query;
            let gallery = query.split_off(1);
            (query, gallery)
        }
        _ => (query, gallery),
    }
}

#[cfg(test)]
mod tests {
    use centroids_core::CamId;

    use super::*;

    fn record(pid: i64, name: &str, camera: Option<u32>) -> ImageRecord {
        ImageRecord { path: name.into(), pid: Pid(pid), camid: camera.map(CamId) }
    }

    fn names(records: &[ImageRecord]) -> Vec<&str> {
        records.iter().map(|record| record.path.to_str().unwrap()).collect()
    }

    #[test]
    fn the_first_image_of_each_camera_is_a_query() {
        let images = [("a", 0), ("b", 0), ("c", 1), ("d", 1)];
        let (query, gallery) = queries_of(images.map(|(n, c)| record(1, n, Some(c))).to_vec());
        assert_eq!((names(&query), names(&gallery)), (vec!["a", "c"], vec!["b", "d"]));
    }

    #[test]
    fn one_image_a_camera_or_no_cameras_give_one_query() {
        let each_its_own = [("a", 0), ("b", 1), ("c", 2)].map(|(n, c)| record(1, n, Some(c)));
        let (query, gallery) = queries_of(each_its_own.to_vec());
        assert_eq!((names(&query), names(&gallery)), (vec!["a"], vec!["b", "c"]));
        let (query, gallery) = queries_of(["a", "b"].map(|n| record(1, n, None)).to_vec());
        assert_eq!((names(&query), names(&gallery)), (vec!["a"], vec!["b"]));
        let (query, gallery) = queries_of(vec![record(1, "a", None)]);
        assert_eq!((names(&query), names(&gallery)), (vec![], vec!["a"]));
    }

    #[test]
    fn shares_are_kept_and_never_empty_a_side() {
        let records: Vec<_> = (1..=10).map(|pid| record(pid, "a", None)).collect();
        for (share, wanted) in [(0.0, 0), (0.01, 1), (0.3, 3), (0.99, 9), (1.0, 10)] {
            assert_eq!(draw(&records, share).len(), wanted, "share {share}");
        }
        assert!(divide(records, 1.5, &mut Dataset::default()).is_err());
    }
}
