//! Better rankings from the neighbourhoods of their vectors: k-reciprocal re-ranking, query
//! expansion and augmentation of the gallery.
//!
//! # Re-ranking
//!
//! Two images are likely of one identity if they have the same neighbours (Zhong, Zheng, Cao, Li,
//! *Re-ranking person re-identification with k-reciprocal encoding*, CVPR 2017). Equation numbers
//! are the paper's. Of all `N` vectors, queries and gallery together:
//!
//! ```text
//! d(p,g)    distance over the largest distance of p                       (1)
//! N(p,k)    the k + 1 vectors nearest to p, itself included               (2)
//! R(p,k)    those of N(p,k) that have p in their N(·,k)                   (3)
//! R*(p)     R(p,k1) and each R(q,k1/2), q ∈ R(p,k1), of which more than
//!           two thirds are in R(p,k1)                                     (4)
//! V(p)      weights exp(-d(p,g)) of g ∈ R*(p), of sum 1                   (7)
//! V'(p)     mean of V over the k2 vectors nearest to p                    (11)
//! J(p,g)    1 - Σ min(V'(p), V'(g)) / Σ max(V'(p), V'(g))                 (10)
//! d*(p,g)   (1 - λ) J(p,g) + λ d(p,g)                                     (12)
//! ```
//!
//! Where paper and published code differ this follows the code, whose figures are the ones quoted:
//! `N` counts the vector itself, "more than" in (4) stands for "at least", `k1/2` rounds halves to
//! even, the weights have sum 1 (so that the sum of maxima is 2 minus that of minima), and squared
//! distances are divided by each vector's largest. Equal distances are ordered by position, queries
//! first; if all of a vector's distances are 0, so they stay.
//!
//! The published code holds several `N × N` matrices. Here rows of `V` are sparse, `J` is found
//! through an inverted index and is 1 for whatever shares no neighbour, and `d` comes in tiles, so
//! memory grows with `N · k`. Sums run in the order of the dense form, all in `f64`: the results are
//! the same numbers, on any number of threads.
//!
//! # Cameras
//!
//! Neighbourhoods ignore cameras, as in published code; what does not count for a query is left out
//! when its final list is ranked, and junk (pid −1) takes no part at all. So an image that does not
//! count still has a say in `J`. For identities under [`CameraRule::Cross`] there is no such effect:
//! each camera gets a re-ranking of its own, with centroids that leave its images out.
//!
//! Expansion must not smuggle in what the rule forbids either; see [`expand_queries`] and
//! [`augment_gallery`].

mod encoding;
mod expansion;
mod jaccard;
mod ranking;

use serde::Serialize;

use crate::comparison::Comparison;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::evaluate::{Report, no_valid_query};
use crate::protocol::{CameraRule, Metric, Unit};
use crate::search::{RankedQuery, Ranking};
use ranking::{Groups, Reranking};

pub use expansion::{Expansion, augment_gallery, expand_queries};
pub use jaccard::Reranked;

/// Settings of k-reciprocal re-ranking. The default is the paper's for person re-identification.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KReciprocal {
    /// Neighbours among which reciprocal ones are sought; 1 at least.
    pub k1: usize,
    /// Neighbours whose encodings are averaged; 1 leaves each as it is.
    pub k2: usize,
    /// Share of the original distance, 0 to 1. 1 is the plain ranking.
    pub lambda: f64,
}

impl Default for KReciprocal {
    fn default() -> Self {
        Self { k1: 20, k2: 6, lambda: 0.3 }
    }
}

impl KReciprocal {
    /// # Errors
    /// [`Error::BadSetting`] names the setting that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        for (name, k) in [("k1", self.k1), ("k2", self.k2)] {
            if k == 0 {
                return Err(Error::BadSetting { name, found: "0".into(), wanted: "1 or more" });
            }
        }
        if (0.0..=1.0).contains(&self.lambda) {
            return Ok(());
        }
        let found = self.lambda.to_string();
        Err(Error::BadSetting { name: "lambda", found, wanted: "0 to 1" })
    }

    /// `k1 / 2` as the published code rounds it.
    fn half_k1(&self) -> usize {
        (self.k1 as f64 / 2.0).round_ties_even() as usize
    }

    /// (12), from the Jaccard distance and the original one over the largest.
    fn blend(&self, jaccard: f64, original: f64) -> f64 {
        jaccard * (1.0 - self.lambda) + original * self.lambda
    }
}

/// Evaluates like [`evaluate`](crate::evaluate()), with every query's candidates re-ranked.
///
/// [`Unit::Instance`] ranks images by `d*`, [`Unit::Nearest`] identities by their image of smallest
/// `d*`. For [`Unit::Centroid`] the gallery's vectors are the identities' means, kept in `f32`;
/// under [`CameraRule::Market`] the query's own mean has all its images in `J`, and only those that
/// count in the original distance. With λ = 1 all rankings are the plain ones.
///
/// # Errors
/// As [`evaluate`](crate::evaluate()); [`Error::BadSetting`].
pub fn evaluate(
    query: &Embeddings,
    gallery: &Embeddings,
    unit: Unit,
    cameras: CameraRule,
    metric: &Metric,
    settings: &KReciprocal,
) -> Result<Report, Error> {
    settings.check()?;
    let comparison = Comparison { query, gallery, unit, cameras, metric };
    comparison.check()?;
    let rows: Vec<usize> = (0..query.len()).collect();
    let groups = Groups { comparison, settings };
    let by_query = groups.each(&rows, |seen| seen.score())?;
    let report = Report::new(unit, cameras, None, by_query, groups.gallery_units());
    report.ok_or_else(|| no_valid_query(query.pids(), gallery.pids()))
}

/// Ranks like [`rank`](crate::rank()), with candidates re-ranked: the lists that [`evaluate`]
/// scores. The distance of a hit is `d*`. All of `query` takes part in the neighbourhoods, whichever
/// rows are ranked.
///
/// # Errors
/// [`Error::DimensionMismatch`], [`Error::BadSetting`].
///
/// # Panics
/// If a row is not below `query.len()`.
pub fn rank(
    query: &Embeddings,
    queries: &[usize],
    gallery: &Embeddings,
    ranking: &Ranking,
    settings: &KReciprocal,
) -> Result<Vec<RankedQuery>, Error> {
    settings.check()?;
    let Ranking { k, unit, cameras, metric } = ranking;
    let comparison = Comparison { query, gallery, unit: *unit, cameras: *cameras, metric };
    comparison.check()?;
    Groups { comparison, settings }.each(queries, |seen| seen.ranked(*k))
}

/// The Jaccard distances of every query to the gallery's images, without the ones: what re-ranking
/// finds out, in the form in which it is small.
///
/// # Errors
/// [`Error::DimensionMismatch`], [`Error::BadSetting`].
pub fn distances(
    query: &Embeddings,
    gallery: &Embeddings,
    metric: &Metric,
    settings: &KReciprocal,
) -> Result<Vec<Reranked>, Error> {
    settings.check()?;
    let (unit, cameras) = (Unit::Instance, CameraRule::Any);
    let comparison = Comparison { query, gallery, unit, cameras, metric };
    comparison.check()?;
    let images = ranking::units(&comparison, None);
    let joint = ranking::joint(&comparison, &images)?;
    Ok(Reranking::new(&joint, query.len(), metric, settings).jaccard_to(&images))
}

/// The distances of all vectors to each other, in tiles that nobody looks at: what re-ranking of
/// images takes apart from its own work, for benchmarks.
#[doc(hidden)]
pub fn product_alone(
    query: &Embeddings,
    gallery: &Embeddings,
    metric: &Metric,
) -> Result<(), Error> {
    let (unit, cameras) = (Unit::Instance, CameraRule::Any);
    let comparison = Comparison { query, gallery, unit, cameras, metric };
    comparison.check()?;
    let joint = ranking::joint(&comparison, &ranking::units(&comparison, None))?;
    let rows: Vec<usize> = (0..joint.len()).collect();
    let (all, mut states) = (crate::nearest::all_rows(&joint, metric), vec![(); rows.len()]);
    all.each_tile(&joint, &rows, &mut states, |(), tile| {
        std::hint::black_box(&tile.near);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let error =
            |k1, k2, lambda| KReciprocal { k1, k2, lambda }.check().unwrap_err().to_string();
        assert_eq!(error(0, 6, 0.3), "`k1` is 0: it must be 1 or more");
        assert_eq!(error(20, 0, 0.3), "`k2` is 0: it must be 1 or more");
        assert_eq!(error(20, 6, 1.5), "`lambda` is 1.5: it must be 0 to 1");
        assert_eq!(error(20, 6, f64::NAN), "`lambda` is NaN: it must be 0 to 1");
        KReciprocal::default().check().unwrap();
    }

    #[test]
    fn halves_are_rounded_to_even() {
        let half = |k1| KReciprocal { k1, ..KReciprocal::default() }.half_k1();
        assert_eq!([1, 2, 3, 4, 5, 20].map(half), [0, 1, 2, 2, 2, 10]);
    }
}
