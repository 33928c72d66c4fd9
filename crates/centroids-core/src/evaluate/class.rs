//! Ranking identities: each by its nearest image or by its mean.

use std::collections::BTreeMap;

use super::score::{QueryScore, Standing};
use super::{Scores, score_all, score_queries};
use crate::candidates::Candidates;
use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::ids::{CamId, Pid};
use crate::protocol::{CameraRule, Metric};

/// Each identity is as near as the nearest of its images that count.
pub(super) fn score_nearest(
    query: &Embeddings,
    gallery: &Embeddings,
    cameras: CameraRule,
    metric: &Metric,
) -> Scores {
    let images = Candidates::images(gallery, metric, |_| true);
    let pids: Vec<Pid> = rows_by_pid(gallery.pids()).into_keys().collect();
    let class_of: BTreeMap<Pid, usize> = pids.iter().copied().zip(0..).collect();
    let class_of: Vec<usize> = images.pids().iter().map(|pid| class_of[pid]).collect();
    let by_query = score_all(query, &images, |i, distances| {
        let mut nearest = vec![f64::INFINITY; pids.len()];
        for (image, &distance) in distances.iter().enumerate() {
            let class = class_of[image];
            let camid = gallery.camids()[images.rows(image)[0]];
            if cameras.allows(query.camids()[i], camid, pids[class] == query.pids()[i]) {
                nearest[class] = nearest[class].min(distance);
            }
        }
        score_classes(&nearest, &pids, query.pids()[i])
    });
    Scores { by_query, gallery_units: pids.len() }
}

/// Each identity is as near as the mean of its images that count.
///
/// Under [`CameraRule::Cross`] the images that count depend on the query's camera alone, so queries
/// are grouped by camera and share its centroids. Under [`CameraRule::Market`] only the query's own
/// identity loses images, and only its centroid is made anew.
pub(super) fn score_centroids(
    query: &Embeddings,
    gallery: &Embeddings,
    cameras: CameraRule,
    metric: &Metric,
) -> Scores {
    let mut by_query = vec![None; query.len()];
    for (without, queries) in queries_by_left_out_camera(query, cameras) {
        let keep = |row: usize| !CamId::same(without, gallery.camids()[row]);
        let means = Candidates::means(gallery, metric, keep);
        let scores = score_queries(query, &queries, &means, |i, distances| {
            if cameras == CameraRule::Market {
                leave_out_own_camera(query, i, gallery, &means, metric, distances);
            }
            score_classes(distances, means.pids(), query.pids()[i])
        });
        for (i, score) in scores {
            by_query[i] = score;
        }
    }
    Scores { by_query, gallery_units: rows_by_pid(gallery.pids()).len() }
}

/// The queries for which the same camera is left out of every identity.
fn queries_by_left_out_camera(
    query: &Embeddings,
    cameras: CameraRule,
) -> BTreeMap<Option<CamId>, Vec<usize>> {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (i, &camid) in query.camids().iter().enumerate() {
        let left_out = if cameras == CameraRule::Cross { camid } else { None };
        groups.entry(left_out).or_default().push(i);
    }
    groups
}

/// Replaces the distance to the query's own identity by that to the mean of its images from other
/// cameras; infinite if there is none.
fn leave_out_own_camera(
    query: &Embeddings,
    i: usize,
    gallery: &Embeddings,
    means: &Candidates<'_>,
    metric: &Metric,
    distances: &mut [f64],
) {
    let Ok(own) = means.pids().binary_search(&query.pids()[i]) else {
        return;
    };
    let camid = query.camids()[i];
    let all = means.rows(own).iter().copied();
    let rest: Vec<usize> = all.filter(|&row| !CamId::same(camid, gallery.camids()[row])).collect();
    distances[own] = match rest.len() {
        0 => f64::INFINITY,
        len if len == means.rows(own).len() => distances[own],
        _ => means.distance_to_mean(&metric.prepared(query.row(i)), &rest),
    };
}

/// Scores one distance per identity; infinite ones have no image that counts.
fn score_classes(distances: &[f64], pids: &[Pid], wanted: Pid) -> Option<QueryScore> {
    QueryScore::new(distances, |class| {
        if distances[class] == f64::INFINITY {
            Standing::LeftOut
        } else if pids[class] == wanted {
            Standing::Relevant
        } else {
            Standing::Wrong
        }
    })
}
