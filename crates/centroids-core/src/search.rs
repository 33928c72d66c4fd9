//! The nearest images or identities: of every query of an evaluation, or of one vector.

use serde::Serialize;

use crate::comparison::{Compared, Comparison};
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::evaluate::QueryScore;
use crate::ids::{CamId, Pid};
use crate::protocol::{CameraRule, Metric, Unit};

/// One result of [`rank`] or [`search`].
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

/// What [`rank`] looks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranking {
    /// Hits per query; fewer if there are no more.
    pub k: usize,
    /// What is ranked.
    pub unit: Unit,
    /// Which images do not count for a query.
    pub cameras: CameraRule,
    /// How vectors are compared.
    pub metric: Metric,
}

/// One query with what was found for it.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedQuery {
    /// Row of the query.
    pub query: usize,
    /// Nearest first; what does not count for the query takes no rank.
    pub hits: Vec<Hit>,
    /// AP of the whole ranking; `None` if there is nothing relevant to find.
    pub average_precision: Option<f64>,
    /// Rank of the first relevant candidate, which may be beyond the hits.
    pub first_rank: Option<usize>,
}

/// The candidates nearest to each of the given rows of `query`, in the order of `queries`: the same
/// rankings that [`evaluate`](crate::evaluate()) scores. Equal distances are ordered by gallery row,
/// for identities by pid. Junk (pid −1) is never found.
///
/// Exact: distances in `f64`, queries in blocks, on all threads.
///
/// # Errors
/// [`Error::DimensionMismatch`].
///
/// # Panics
/// If a row is not below `query.len()`.
pub fn rank(
    query: &Embeddings,
    queries: &[usize],
    gallery: &Embeddings,
    ranking: &Ranking,
) -> Result<Vec<RankedQuery>, Error> {
    let Ranking { k, unit, cameras, metric } = ranking;
    let comparison = Comparison { query, gallery, unit: *unit, cameras: *cameras, metric };
    comparison.check()?;
    Ok(comparison.each(queries, |seen| {
        let wanted = query.pids()[seen.query];
        let score = QueryScore::of_pid(seen.distances, seen.candidates.pids(), wanted);
        RankedQuery {
            query: seen.query,
            hits: hits(&comparison, seen, *k),
            average_precision: score.as_ref().map(|score| score.average_precision),
            first_rank: score.as_ref().map(|score| score.first_rank),
        }
    }))
}

/// The `k` candidates nearest to one vector (`[dim]`), as [`rank`] orders them.
///
/// With `camera`, images from that camera are ignored (the rule
/// [`Cross`](crate::CameraRule::Cross)), so centroids are those of the remaining images.
///
/// # Errors
/// [`Error::DimensionMismatch`]; [`Error::NotFinite`] if the vector holds NaN or infinity.
pub fn search(
    query: &[f32],
    camera: Option<CamId>,
    gallery: &Embeddings,
    k: usize,
    unit: Unit,
    metric: &Metric,
) -> Result<Vec<Hit>, Error> {
    if query.len() != gallery.dim() {
        return Err(Error::DimensionMismatch { query: query.len(), gallery: gallery.dim() });
    }
    let path = "the query".to_owned();
    let query =
        Embeddings::new(query.len(), query.into(), vec![Pid::JUNK], vec![camera], vec![path])?;
    let ranking = Ranking { k, unit, cameras: CameraRule::Cross, metric: *metric };
    Ok(rank(&query, &[0], gallery, &ranking)?.swap_remove(0).hits)
}

/// The `k` nearest that count, by (distance, candidate).
fn hits(comparison: &Comparison<'_>, seen: &Compared<'_>, k: usize) -> Vec<Hit> {
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    let candidates = seen.distances.iter().copied().zip(0..);
    let mut found: Vec<_> = candidates.filter(|found| found.0 != f64::INFINITY).collect();
    if k < found.len() {
        found.select_nth_unstable_by(k, order);
        found.truncate(k);
    }
    found.sort_unstable_by(order);
    let vector = comparison.metric.prepared(comparison.query.row(seen.query));
    let hit = |((distance, candidate), rank)| Hit {
        rank,
        pid: seen.candidates.pids()[candidate],
        distance,
        example: example(comparison, seen, candidate, &vector),
    };
    found.into_iter().zip(1..).map(hit).collect()
}

/// The candidate's image nearest to the query, among those that count; the first of equally near
/// ones.
fn example(
    comparison: &Comparison<'_>,
    seen: &Compared<'_>,
    candidate: usize,
    vector: &[f64],
) -> usize {
    let rows = seen.candidates.rows(candidate);
    if let [only] = *rows {
        return only;
    }
    let distance = |row: usize| {
        let image = comparison.metric.prepared(comparison.gallery.row(row));
        comparison.metric.distance.between_prepared(vector, &image)
    };
    let counting = rows.iter().copied().filter(|&row| comparison.counts(seen.query, row));
    let nearest = counting.map(|row| (distance(row), row)).min_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map_or(rows[0], |(_, row)| row)
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
    fn rankings_leave_out_what_the_rule_says_and_are_scored_whole() {
        let row = |row: usize| gallery().select(&[row]);
        let first = |row: &Embeddings, unit, cameras| {
            let ranking = Ranking { k: 2, unit, cameras, metric: RAW };
            let mut ranked = rank(row, &[0], &gallery(), &ranking).unwrap();
            let RankedQuery { hits, average_precision, first_rank, .. } = ranked.swap_remove(0);
            let rows = hits.iter().map(|hit| hit.example).collect::<Vec<_>>();
            (rows, average_precision, first_rank)
        };
        // Row 1 (9.0, pid 5, camera 1) finds 3.0 twice and then its own identity at 1.0.
        let market = first(&row(1), Unit::Instance, CameraRule::Market);
        assert_eq!(market, (vec![2, 3], Some(1.0 / 3.0), Some(3)));
        let any = first(&row(1), Unit::Instance, CameraRule::Any);
        assert_eq!(any, (vec![1, 2], Some((1.0 + 2.0 / 4.0) / 2.0), Some(1)));
        // Its own camera leaves 1.0 of the identity: farther than 3.0, and shown by that image.
        let ranking =
            Ranking { k: 9, unit: Unit::Centroid, cameras: CameraRule::Market, metric: RAW };
        let hits = rank(&row(1), &[0], &gallery(), &ranking).unwrap().swap_remove(0).hits;
        let shown: Vec<_> = hits.iter().map(|hit| (hit.pid.0, hit.distance, hit.example)).collect();
        assert_eq!(shown, [(4, 36.0, 3), (6, 36.0, 2), (5, 64.0, 0)]);
        // Pid 6 has no image of another camera.
        let alone = first(&row(2), Unit::Nearest, CameraRule::Market);
        assert_eq!((alone.1, alone.2), (None, None));
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
