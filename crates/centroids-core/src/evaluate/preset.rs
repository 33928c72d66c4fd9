//! The reference's camera-aware centroid evaluation (`modelling/bases.py`,
//! `validation_create_centroids`), as meant and as published.

use std::collections::{BTreeMap, BTreeSet};

use super::pass::{Followed, Pass, by_rule};
use super::score::QueryScore;
use crate::candidates::Candidates;
use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::ids::{CamId, Pid};
use crate::protocol::{Metric, Preset};

type Cameras = BTreeSet<Option<CamId>>;

/// Scores of the given queries, and how many centroids there are.
pub(super) fn score(
    query: &Embeddings,
    gallery: &Embeddings,
    preset: Preset,
    metric: &Metric,
    rows: &[usize],
) -> (Vec<Option<QueryScore>>, usize) {
    let believed = match preset {
        Preset::Paper => gallery.camids().to_vec(),
        Preset::PaperAsPublished => cameras_from_wrong_list(query, gallery),
    };
    let (centroids, cameras_of) = centroids_with_cameras(query, gallery, &believed, metric);
    let units = centroids.len();
    let pass = Pass::new(query, gallery, metric, centroids, false);
    let begin = |row: usize| {
        let camid = query.camids()[row];
        let counts = |&own: &usize| camid.is_none() || !cameras_of[own].contains(&camid);
        Followed::new(pass.keys(row, pass.own(row).filter(counts)), by_rule(|_| None))
    };
    let end = |_, seen: Followed| QueryScore::from_wrong_before(seen.before);
    (pass.follow(rows, begin, end), units)
}

/// The published fault: gallery image `j` is taken to come from the camera of entry `j` of the list
/// `[query; gallery]`. Junk is in neither list, as the datasets are read without it.
fn cameras_from_wrong_list(query: &Embeddings, gallery: &Embeddings) -> Vec<Option<CamId>> {
    let without_junk = |set: &Embeddings| -> Vec<usize> {
        (0..set.len()).filter(|&row| set.pids()[row] != Pid::JUNK).collect()
    };
    let rows = without_junk(gallery);
    let queries = without_junk(query).into_iter().map(|row| query.camids()[row]);
    let wrong_list = queries.chain(rows.iter().map(|&row| gallery.camids()[row]));
    let mut believed = gallery.camids().to_vec();
    for (&row, camid) in rows.iter().zip(wrong_list) {
        believed[row] = camid;
    }
    believed
}

/// The centroids, each the mean of a pid's images from other cameras than one of its queries', ordered by pid and query camera, each with the cameras its images are believed to
/// come from.
fn centroids_with_cameras<'a>(
    query: &Embeddings,
    gallery: &'a Embeddings,
    believed: &[Option<CamId>],
    metric: &'a Metric,
) -> (Candidates<'a>, Vec<Cameras>) {
    let query_cameras = query_cameras_by_pid(query);
    let mut centroids = Candidates::new(gallery, metric);
    let mut cameras_of: Vec<Cameras> = Vec::new();
    for (pid, rows) in rows_by_pid(gallery.pids()) {
        let first_of_pid = cameras_of.len();
        for &left_out in query_cameras.get(&pid).into_iter().flatten() {
            let others = rows.iter().copied().filter(|&row| !CamId::same(left_out, believed[row]));
            let others: Vec<usize> = others.collect();
            let cameras: Cameras = others.iter().map(|&row| believed[row]).collect();
            if !others.is_empty() && !cameras_of[first_of_pid..].contains(&cameras) {
                centroids.push(pid, &others);
                cameras_of.push(cameras);
            }
        }
    }
    (centroids, cameras_of)
}

fn query_cameras_by_pid(query: &Embeddings) -> BTreeMap<Pid, Cameras> {
    let mut cameras: BTreeMap<Pid, Cameras> = BTreeMap::new();
    for (&pid, &camid) in query.pids().iter().zip(query.camids()) {
        cameras.entry(pid).or_default().insert(camid);
    }
    cameras
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One-dimensional images: (value, pid, camera).
    fn set(images: &[(f32, i64, u32)]) -> Embeddings {
        Embeddings::new(
            1,
            images.iter().map(|image| image.0).collect(),
            images.iter().map(|image| Pid(image.1)).collect(),
            images.iter().map(|image| Some(CamId(image.2))).collect(),
            vec![String::new(); images.len()],
        )
        .unwrap()
    }

    fn cameras(camids: &[u32]) -> Cameras {
        camids.iter().map(|&camid| Some(CamId(camid))).collect()
    }

    #[test]
    fn one_centroid_per_query_camera_and_set_of_cameras() {
        let query = set(&[(0.0, 5, 0), (0.0, 5, 1), (0.0, 5, 3), (0.0, 5, 4), (0.0, 6, 2)]);
        let gallery = set(&[
            (1.0, 5, 0),
            (2.0, 5, 1),
            (4.0, 6, 2), // only from its query's camera: no centroid
            (8.0, 9, 0), // no query: dropped
            (16.0, -1, 0),
        ]);
        let metric = Metric::default();
        let (centroids, cameras_of) =
            centroids_with_cameras(&query, &gallery, gallery.camids(), &metric);
        assert_eq!(centroids.pids(), [Pid(5), Pid(5), Pid(5)]);
        // Cameras 3 and 4 took none of the images: their centroids are the same one.
        assert_eq!(cameras_of, [cameras(&[1]), cameras(&[0]), cameras(&[0, 1])]);
        assert_eq!(centroids.rows(2), [0, 1]);
    }

    #[test]
    fn the_published_fault_reads_cameras_of_the_wrong_list() {
        let query = set(&[(0.0, 5, 7), (0.0, -1, 6), (0.0, 5, 8)]);
        let gallery = set(&[(1.0, 5, 0), (1.0, -1, 1), (2.0, 5, 2), (3.0, 5, 3)]);
        let believed = cameras_from_wrong_list(&query, &gallery);
        // The list without junk is 7, 8, 0, 2, 3; the gallery images without junk take 7, 8, 0.
        assert_eq!(believed, [7, 1, 8, 0].map(|camid| Some(CamId(camid))));
    }
}
