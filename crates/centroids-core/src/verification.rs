//! Verification: are these two images of the same identity? Every pair of a query and a gallery
//! unit is a trial, genuine if the pids are equal.

mod image_pairs;

use rayon::prelude::*;
use serde::Serialize;

use crate::candidates::Candidates;
use crate::comparison::Comparison;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::Pid;
use crate::protocol::{CameraRule, Metric, Unit};
use crate::roc::{AtRate, ImpostorCounter, Roc, RocPoint};

/// False positive rates at which verification is reported unless others are asked for.
pub const VERIFICATION_RATES: [f64; 4] = [1e-4, 1e-3, 1e-2, 1e-1];

/// Points of the curve in a [`VerificationReport`], at most (about).
const DRAWN: usize = 200;

/// The curve of all pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// What a query is compared with: each image, each identity's nearest image or its centroid.
    pub unit: Unit,
    /// Which pairs do not count.
    pub cameras: CameraRule,
    /// Genuine pairs against impostors.
    pub roc: Roc,
}

/// A [`Verification`] in figures, as JSON holds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerificationReport {
    /// What a query is compared with.
    pub unit: Unit,
    /// Which pairs do not count.
    pub cameras: CameraRule,
    /// Pairs of one identity.
    pub genuine_pairs: u64,
    /// Pairs of two identities.
    pub impostor_pairs: u64,
    /// Area under the curve.
    pub auc: f64,
    /// Equal error rate.
    pub eer: f64,
    /// TPR and FNMR at each rate asked for; a rate that so few impostors cannot measure has none.
    pub at: Vec<AtRate>,
    /// The curve, thinned for drawing.
    pub roc: Vec<RocPoint>,
}

impl Verification {
    /// The figures, with the true positive rates at these false positive rates.
    pub fn report(&self, rates: &[f64]) -> VerificationReport {
        VerificationReport {
            unit: self.unit,
            cameras: self.cameras,
            genuine_pairs: self.roc.genuine(),
            impostor_pairs: self.roc.impostors(),
            auc: self.roc.auc(),
            eer: self.roc.eer(),
            at: self.roc.at_rates(rates),
            roc: self.roc.points(DRAWN),
        }
    }
}

/// Compares every query with every gallery unit that counts for it; junk (pid −1) is in no pair.
///
/// With [`Unit::Centroid`] a pair is a query and the mean of those images of an identity that count
/// for the query, so that verification against centroids stands beside that against images. Pairs of
/// different units do not compare in number, and with few identities not in kind either: a centroid
/// pair is one of as many as there are identities.
///
/// Exact: the order of the distances is that of [`rank`](crate::rank()), in `f64`. The pairs are never
/// kept: memory is that of ranking, and some 50 bytes for each genuine pair.
///
/// # Errors
/// [`Error::DimensionMismatch`]; [`Error::NoPairs`] without a genuine pair or without an impostor.
pub fn verify(
    query: &Embeddings,
    gallery: &Embeddings,
    unit: Unit,
    cameras: CameraRule,
    metric: &Metric,
) -> Result<Verification, Error> {
    let comparison = Comparison { query, gallery, unit, cameras, metric };
    comparison.check()?;
    let queries: Vec<usize> =
        (0..query.len()).filter(|&row| query.pids()[row] != Pid::JUNK).collect();
    let genuine = genuine_distances(&comparison, &queries);
    let genuine_pairs = genuine.len() as u64;
    let counter = ImpostorCounter::new(genuine);
    match unit {
        Unit::Instance => image_pairs::count(&comparison, &queries, &counter),
        Unit::Nearest | Unit::Centroid => count_identities(&comparison, &queries, &counter),
    }
    if genuine_pairs == 0 || counter.impostors() == 0 {
        return Err(Error::NoPairs { genuine: genuine_pairs, impostors: counter.impostors() });
    }
    Ok(Verification { unit, cameras, roc: counter.finish(genuine_pairs) })
}

/// Counts the queries' impostor pairs with identities.
fn count_identities(comparison: &Comparison<'_>, queries: &[usize], counter: &ImpostorCounter) {
    comparison.each(queries, |seen| {
        let own = comparison.query.pids()[seen.query];
        for (&distance, &pid) in seen.distances.iter().zip(seen.candidates.pids()) {
            if pid != own && distance != f64::INFINITY {
                counter.add(distance);
            }
        }
    });
}

/// Distances of the queries to their own identities, in no order.
fn genuine_distances(comparison: &Comparison<'_>, queries: &[usize]) -> Vec<f64> {
    let Comparison { query, gallery, unit, metric, .. } = *comparison;
    let images = Candidates::images(gallery, metric, |_| true);
    let means = Candidates::means(gallery, metric, |_| true);
    let of_query = |&i: &usize| -> Vec<f64> {
        let Ok(own) = means.pids().binary_search(&query.pids()[i]) else {
            return Vec::new();
        };
        let vector = metric.prepared(query.row(i));
        let rows = means.rows(own).iter().copied();
        let counting: Vec<usize> = rows.filter(|&row| comparison.counts(i, row)).collect();
        let each = counting.iter().map(|row| images.distance_to_mean(&vector, &[*row]));
        match unit {
            Unit::Instance => each.collect(),
            Unit::Nearest => each.reduce(f64::min).into_iter().collect(),
            Unit::Centroid if counting.is_empty() => Vec::new(),
            Unit::Centroid => vec![means.distance_to_mean(&vector, &counting)],
        }
    };
    queries.par_iter().flat_map_iter(of_query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centroid::CentroidOf;
    use crate::distance::Distance;
    use crate::ids::CamId;

    const RAW: Metric = Metric {
        distance: Distance::SquaredEuclidean,
        normalize: false,
        centroid_of: CentroidOf::Raw,
    };

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

    #[test]
    fn every_pair_that_counts_is_a_trial() {
        let query = set(&[(0.0, 5, 0), (9.0, -1, 0)]);
        let gallery = set(&[(1.0, 5, 0), (2.0, 5, 1), (4.0, 5, 1), (3.0, 6, 0), (0.0, -1, 1)]);
        let of = |unit, rule| {
            let found = verify(&query, &gallery, unit, rule, &RAW).unwrap().roc;
            (found.genuine(), found.impostors(), found.auc())
        };
        // Genuine 4 and 16 around the impostor at 9; the image of the query's own camera is out.
        assert_eq!(of(Unit::Instance, CameraRule::Market), (2, 1, 0.5));
        assert_eq!(of(Unit::Instance, CameraRule::Any), (3, 1, 2.0 / 3.0));
        // The mean of 2 and 4 is at 3, where the impostor is too.
        assert_eq!(of(Unit::Centroid, CameraRule::Market), (1, 1, 0.5));
        assert_eq!(of(Unit::Nearest, CameraRule::Market), (1, 1, 1.0));
        let error = verify(&query, &gallery, Unit::Instance, CameraRule::Cross, &RAW);
        assert_eq!(
            error.unwrap_err().to_string(),
            "verification needs pairs of one identity and pairs of two, but 2 and 0 count under \
             this camera rule"
        );
    }

    /// Many dimensions, where products round; repeated images, whose distances tie.
    #[test]
    fn products_count_as_single_distances_do() {
        let mut state = 5_u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        let mut set = |n: usize, repeated: usize| {
            let values: Vec<f32> = (0..(n - repeated) * 300).map(|_| number()).collect();
            let values = [&values[..repeated * 300], &values].concat();
            let (pids, cameras) = ((0..n).map(|i| Pid(i as i64 * 7 % 11)), 0..n as u32);
            let cameras = cameras.map(|i| Some(CamId(i % 3))).collect();
            Embeddings::new(300, values, pids.collect(), cameras, vec![String::new(); n]).unwrap()
        };
        let (query, gallery) = (set(150, 20), set(1100, 40));
        for distance in [Distance::SquaredEuclidean, Distance::Cosine] {
            let metric = Metric { distance, ..RAW };
            let comparison = Comparison {
                query: &query,
                gallery: &gallery,
                unit: Unit::Instance,
                cameras: CameraRule::Market,
                metric: &metric,
            };
            let queries: Vec<usize> = (0..query.len()).collect();
            let genuine = genuine_distances(&comparison, &queries);
            let by = |count: fn(&Comparison<'_>, &[usize], &ImpostorCounter)| {
                let counter = ImpostorCounter::new(genuine.clone());
                count(&comparison, &queries, &counter);
                counter.finish(genuine.len() as u64)
            };
            assert_eq!(by(image_pairs::count), by(count_identities));
        }
    }

    #[test]
    fn rates_that_cannot_be_measured_are_null() {
        let gallery = [(0.0, 5, 1), (1.0, 6, 1), (2.0, 7, 1)];
        let found =
            verify(&set(&[(0.0, 5, 0)]), &set(&gallery), Unit::Instance, CameraRule::Any, &RAW);
        let json = serde_json::to_value(found.unwrap().report(&[0.4, 0.5])).unwrap();
        assert_eq!(json["at"][0], serde_json::json!({ "rate": 0.4, "point": null }));
        let point = serde_json::json!({ "threshold": 0.0, "fpr": 0.0, "tpr": 1.0, "fnr": 0.0 });
        assert_eq!(json["at"][1], serde_json::json!({ "rate": 0.5, "point": point }));
        assert_eq!((&json["auc"], &json["eer"]), (&1.0.into(), &0.0.into()));
        assert_eq!(json["roc"].as_array().unwrap().len(), 3);
    }
}
