//! The nearest images or identities of one vector.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::{CamId, Pid};
use crate::protocol::{Metric, Unit};

/// One result of a [`search`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// From 1.
    pub rank: usize,
    /// Identity of what was found.
    pub pid: Pid,
    /// Distance to the image, the nearest image or the centroid, depending on the unit.
    pub distance: f64,
    /// Gallery row to show: the image found, or the identity's image nearest to the query.
    pub example: usize,
}

/// The `k` candidates nearest to `query` (`[dim]`), nearest first; fewer if there are no more. Equal
/// distances are ordered by gallery row, for identities by pid.
///
/// With `camera`, images from that camera are ignored (the rule
/// [`Cross`](crate::CameraRule::Cross)), so centroids are those of the remaining images. Junk
/// (pid −1) is never found.
///
/// # Errors
/// [`Error::DimensionMismatch`]; [`Error::NotFinite`] if the query holds NaN or infinity.
pub fn search(
    query: &[f32],
    camera: Option<CamId>,
    gallery: &Embeddings,
    k: usize,
    unit: Unit,
    metric: &Metric,
) -> Result<Vec<Hit>, Error> {
    check_query(query, gallery.dim())?;
    let keep = |row: usize| !CamId::same(camera, gallery.camids()[row]);
    let vector = metric.prepared(query);
    let hits = match unit {
        Unit::Instance => nearest(hits(&Candidates::images(gallery, metric, keep), &vector), k),
        Unit::Nearest => {
            let images = hits(&Candidates::images(gallery, metric, keep), &vector);
            nearest(nearest_of_each_pid(images), k)
        }
        Unit::Centroid => {
            let means = Candidates::means(gallery, metric, keep);
            let mut hits = nearest(hits(&means, &vector), k);
            for hit in &mut hits {
                hit.example = nearest_image(gallery, metric, &vector, keep, hit.pid);
            }
            hits
        }
    };
    Ok(hits)
}

fn check_query(query: &[f32], dim: usize) -> Result<(), Error> {
    if query.len() != dim {
        return Err(Error::DimensionMismatch { query: query.len(), gallery: dim });
    }
    match query.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(column) => {
            let path = "the query".to_owned();
            Err(Error::NotFinite { row: 0, path, column, value: query[column] })
        }
    }
}

/// Every candidate in tie order, not yet ranked, shown by the first of its rows.
fn hits(candidates: &Candidates<'_>, vector: &[f64]) -> Vec<Hit> {
    let distances = candidates.distances_to(vector).into_iter().enumerate();
    let hit = |(i, distance)| Hit {
        rank: 0,
        pid: candidates.pids()[i],
        distance,
        example: candidates.rows(i)[0],
    };
    distances.map(hit).collect()
}

/// The `k` nearest with their ranks; equal distances keep their order.
fn nearest(mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
    hits.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    hits.truncate(k);
    for (hit, rank) in hits.iter_mut().zip(1..) {
        hit.rank = rank;
    }
    hits
}

/// One hit per identity, ascending by pid: its nearest image, the first of equally near ones.
fn nearest_of_each_pid(images: Vec<Hit>) -> Vec<Hit> {
    let mut by_pid: BTreeMap<Pid, Hit> = BTreeMap::new();
    for image in images {
        let nearest = by_pid.entry(image.pid).or_insert(image);
        if image.distance < nearest.distance {
            *nearest = image;
        }
    }
    by_pid.into_values().collect()
}

/// Gallery row of the kept image of `pid` that is nearest to the query.
fn nearest_image(
    gallery: &Embeddings,
    metric: &Metric,
    vector: &[f64],
    keep: impl Fn(usize) -> bool,
    pid: Pid,
) -> usize {
    let of_pid = |row: usize| gallery.pids()[row] == pid && keep(row);
    let images = hits(&Candidates::images(gallery, metric, of_pid), vector);
    nearest(images, 1)[0].example
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centroid::CentroidOf;
    use crate::distance::Distance;

    const RAW: Metric = Metric {
        distance: Distance::SquaredEuclidean,
        normalize: false,
        centroid_of: CentroidOf::Raw,
    };

    /// One-dimensional images (value, pid, camera).
    fn gallery() -> Embeddings {
        let images = [(1.0, 5, 0), (9.0, 5, 1), (3.0, 6, 1), (3.0, 4, 0), (0.0, -1, 1)];
        Embeddings::new(
            1,
            images.iter().map(|image| image.0).collect(),
            images.iter().map(|image| Pid(image.1)).collect(),
            images.iter().map(|image| Some(CamId(image.2))).collect(),
            vec![String::new(); images.len()],
        )
        .unwrap()
    }

    fn found(unit: Unit, camera: Option<u32>, k: usize) -> Vec<(i64, f64, usize)> {
        let hits = search(&[0.0], camera.map(CamId), &gallery(), k, unit, &RAW).unwrap();
        assert!(hits.iter().zip(1..).all(|(hit, rank)| hit.rank == rank));
        hits.iter().map(|hit| (hit.pid.0, hit.distance, hit.example)).collect()
    }

    #[test]
    fn images_are_ordered_by_distance_then_row() {
        let all = [(5, 1.0, 0), (6, 9.0, 2), (4, 9.0, 3), (5, 81.0, 1)];
        assert_eq!(found(Unit::Instance, None, 9), all);
        assert_eq!(found(Unit::Instance, None, 2), all[..2]);
        assert_eq!(found(Unit::Instance, Some(0), 9), [(6, 9.0, 2), (5, 81.0, 1)]);
    }

    #[test]
    fn identities_are_ordered_by_distance_then_pid() {
        assert_eq!(found(Unit::Nearest, None, 9), [(5, 1.0, 0), (4, 9.0, 3), (6, 9.0, 2)]);
        assert_eq!(found(Unit::Nearest, Some(1), 9), [(5, 1.0, 0), (4, 9.0, 3)]);
    }

    #[test]
    fn centroids_are_those_of_the_images_that_count() {
        assert_eq!(found(Unit::Centroid, None, 9), [(4, 9.0, 3), (6, 9.0, 2), (5, 25.0, 0)]);
        assert_eq!(found(Unit::Centroid, Some(0), 9), [(6, 9.0, 2), (5, 81.0, 1)]);
    }

    #[test]
    fn a_query_that_cannot_be_compared_is_refused() {
        let error = |query: &[f32]| {
            search(query, None, &gallery(), 1, Unit::Instance, &RAW).unwrap_err().to_string()
        };
        assert!(error(&[1.0, 2.0]).starts_with("query has 2 dimensions but gallery has 1"));
        assert!(error(&[f32::INFINITY]).starts_with("embedding 0 (the query) holds inf"));
    }

    #[test]
    fn an_empty_gallery_has_no_hits() {
        let empty = gallery().select(&[]);
        assert_eq!(search(&[0.0], None, &empty, 5, Unit::Centroid, &RAW).unwrap(), []);
    }
}
