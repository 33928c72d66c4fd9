//! How far figures would move with other queries: resampling the queries (Efron 1979).
//!
//! The queries of a test set are one draw of all that might have been asked. A replicate draws as
//! many of them again, with replacement, and takes the means; the middle 95 % of the replicates are
//! the percentile interval. Two models answer the same queries, so their difference is resampled by
//! query too (paired), which takes out that some queries are hard for both. Nothing is stratified,
//! and the gallery is held fixed.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Error;
use crate::per_query::{Figure, PerQuery, QueryResult};

/// Share of the replicates within an interval.
pub const CONFIDENCE_LEVEL: f64 = 0.95;

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// How often; 1000 are usual.
    pub replicates: usize,
    /// The same seed draws the same queries, on any number of threads.
    pub seed: u64,
}

/// Where a figure lies in 95 % of the replicates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

/// A figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Which.
    pub figure: Figure,
    /// Its value over all queries.
    pub value: f64,
    /// The middle 95 % of the replicates.
    #[serde(flatten)]
    pub interval: Interval,
}

/// A figure of two models over the same queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Which.
    pub figure: Figure,
    /// Of the first model.
    pub a: f64,
    /// Of the second.
    pub b: f64,
    /// `a − b`.
    pub difference: f64,
    /// The middle 95 % of the differences; where it holds 0, the queries do not tell the models
    /// apart.
    #[serde(flatten)]
    pub interval: Interval,
    /// Share of replicates in which `a` is greater than `b`; equal is not greater.
    pub share_a_greater: f64,
}

/// Two models under one protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedComparison {
    /// Queries with a result of both, over which everything here is taken.
    pub queries: usize,
    /// Queries of the first model that the second has no result for.
    pub only_a: usize,
    /// The other way round.
    pub only_b: usize,
    /// In the order asked for.
    pub figures: Vec<Difference>,
}

/// Intervals of figures over these queries, all from the same draws. Of one query an interval has no
/// width; it says nothing then.
///
/// # Panics
/// Without queries or replicates.
pub fn intervals(
    results: &[QueryResult],
    figures: &[Figure],
    bootstrap: &Bootstrap,
) -> Vec<Estimate> {
    let values = table(figures, results, |figure, result| figure.of(result));
    let replicates = replicates(&values, figures.len(), bootstrap);
    let estimate = |(i, &figure): (usize, &Figure)| {
        let means = replicates.iter().map(|means| means[i]);
        Estimate { figure, value: mean(&values, figures.len(), i), interval: middle(means) }
    };
    figures.iter().enumerate().map(estimate).collect()
}

/// Compares two models by the queries that both have results for, matched by path.
///
/// # Errors
/// [`Error::OtherProtocol`] where the figures mean different things, [`Error::QueryTwice`],
/// [`Error::NoCommonQuery`].
///
/// # Panics
/// Without replicates.
pub fn compare_paired(
    a: &PerQuery,
    b: &PerQuery,
    figures: &[Figure],
    bootstrap: &Bootstrap,
) -> Result<PairedComparison, Error> {
    if !a.is_comparable(b) {
        return Err(Error::OtherProtocol { ours: a.protocol(), theirs: b.protocol() });
    }
    let (of_a, of_b) = (by_path(&a.per_query)?, by_path(&b.per_query)?);
    let pairs: Vec<_> = of_a.iter().filter_map(|(path, a)| Some((*a, *of_b.get(path)?))).collect();
    if pairs.is_empty() {
        let example = |of: &PerQuery| of.per_query.first().map(|result| result.query.clone());
        return Err(Error::NoCommonQuery { ours: example(a), theirs: example(b) });
    }
    let values = table(figures, &pairs, |figure, (a, b)| figure.of(a) - figure.of(b));
    let replicates = replicates(&values, figures.len(), bootstrap);
    let over = |of: &dyn Fn(&(&QueryResult, &QueryResult)) -> f64| {
        pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
    };
    let difference = |(i, &figure): (usize, &Figure)| {
        let differences = replicates.iter().map(|means| means[i]);
        let greater = differences.clone().filter(|difference| *difference > 0.0).count();
        Difference {
            figure,
            a: over(&|(a, _)| figure.of(a)),
            b: over(&|(_, b)| figure.of(b)),
            difference: mean(&values, figures.len(), i),
            interval: middle(differences),
            share_a_greater: greater as f64 / replicates.len() as f64,
        }
    };
    Ok(PairedComparison {
        queries: pairs.len(),
        only_a: of_a.len() - pairs.len(),
        only_b: of_b.len() - pairs.len(),
        figures: figures.iter().enumerate().map(difference).collect(),
    })
}

fn by_path(results: &[QueryResult]) -> Result<BTreeMap<&str, &QueryResult>, Error> {
    let mut by_path = BTreeMap::new();
    for result in results {
        if by_path.insert(result.query.as_str(), result).is_some() {
            return Err(Error::QueryTwice { query: result.query.clone() });
        }
    }
    Ok(by_path)
}

/// What each query adds to each figure: `[queries, figures]`.
fn table<Q>(figures: &[Figure], queries: &[Q], of: impl Fn(Figure, &Q) -> f64) -> Vec<f64> {
    queries.iter().flat_map(|query| figures.iter().map(|&figure| of(figure, query))).collect()
}

/// Mean of one column.
fn mean(values: &[f64], figures: usize, figure: usize) -> f64 {
    let column = values.iter().skip(figure).step_by(figures);
    column.clone().sum::<f64>() / column.len() as f64
}

/// The means of every replicate: `[replicates][figures]`.
fn replicates(values: &[f64], figures: usize, bootstrap: &Bootstrap) -> Vec<Vec<f64>> {
    assert!(!values.is_empty() && bootstrap.replicates > 0, "nothing to resample");
    let queries = values.len() / figures;
    let replicate = |number: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(bootstrap.seed);
        rng.set_stream(number as u64);
        let mut sums = vec![0.0; figures];
        for _ in 0..queries {
            let query = rng.random_range(0..queries);
            let drawn = &values[query * figures..][..figures];
            sums.iter_mut().zip(drawn).for_each(|(sum, value)| *sum += value);
        }
        sums.iter().map(|sum| sum / queries as f64).collect()
    };
    (0..bootstrap.replicates).into_par_iter().map(replicate).collect()
}

/// The middle [`CONFIDENCE_LEVEL`] of the values.
fn middle(values: impl Iterator<Item = f64>) -> Interval {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE_LEVEL) / 2.0;
    Interval { low: quantile(&sorted, tail), high: quantile(&sorted, 1.0 - tail) }
}

/// Linear between the two nearest values, as NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{CameraRule, Unit};

    const THOUSAND: Bootstrap = Bootstrap { replicates: 1000, seed: 1 };

    fn result(query: &str, ap: f64, first_rank: usize) -> QueryResult {
        QueryResult {
            query: query.to_owned(),
            average_precision: ap,
            inverse_negative_penalty: ap / 2.0,
            first_rank,
        }
    }

    fn model(results: &[(&str, f64)]) -> PerQuery {
        PerQuery {
            unit: Unit::Centroid,
            cameras: CameraRule::Market,
            preset: None,
            gallery_units: 9,
            per_query: results.iter().map(|&(query, ap)| result(query, ap, 1)).collect(),
        }
    }

    #[test]
    fn two_queries_have_three_possible_means() {
        let queries = [result("a", 0.0, 7), result("b", 1.0, 1)];
        let figures = Figure::all(&[1, 10]);
        let found = intervals(&queries, &figures, &THOUSAND);
        let of = |figure| found.iter().find(|estimate| estimate.figure == figure).unwrap();
        // 0, ½ and 1 with probabilities ¼, ½ and ¼: both ends are within 2.5 %.
        let whole = Interval { low: 0.0, high: 1.0 };
        assert_eq!((of(Figure::Map).value, of(Figure::Map).interval), (0.5, whole));
        assert_eq!(of(Figure::Rank(1)).interval, whole);
        assert_eq!(of(Figure::Rank(10)).interval, Interval { low: 1.0, high: 1.0 });
        assert_eq!(of(Figure::Minp).interval, Interval { low: 0.0, high: 0.5 });
        let values = table(&figures, &queries, |figure, query| figure.of(query));
        let means = replicates(&values, figures.len(), &THOUSAND);
        let half = means.iter().filter(|means| means[0] == 0.5).count();
        assert!((420..580).contains(&half), "{half} of 1000, expected 500");
    }

    #[test]
    fn intervals_cover_the_truth_about_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let covered = (0..200).filter(|&trial| {
            let ranks = (0..100).map(|_| if rng.random_bool(0.7) { 1 } else { 2 });
            let queries: Vec<_> = ranks.map(|rank| result("", 0.0, rank)).collect();
            let bootstrap = Bootstrap { replicates: 300, seed: trial };
            let Interval { low, high } =
                intervals(&queries, &[Figure::Rank(1)], &bootstrap)[0].interval;
            (low..=high).contains(&0.7)
        });
        let covered = covered.count();
        // 190 expected; the percentile interval of 100 queries is a little narrow.
        assert!((178..200).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn the_same_seed_draws_the_same_queries() {
        let queries: Vec<_> = (0..50).map(|i| result("", f64::from(i), 1)).collect();
        let map = |seed| {
            let bootstrap = Bootstrap { replicates: 100, seed };
            intervals(&queries, &[Figure::Map], &bootstrap)[0].interval
        };
        assert_eq!(map(3), map(3));
        assert_ne!(map(3), map(4));
    }

    #[test]
    fn models_are_compared_by_the_queries_of_both() {
        let a = model(&[("w", 0.1), ("x", 0.5), ("y", 0.9), ("z", 0.7)]);
        let b = model(&[("z", 0.6), ("y", 0.8), ("x", 0.4), ("v", 1.0)]);
        let found = compare_paired(&a, &b, &[Figure::Map, Figure::Rank(1)], &THOUSAND).unwrap();
        assert_eq!((found.queries, found.only_a, found.only_b), (3, 1, 1));
        let [map, rank] = found.figures.as_slice() else { panic!("two figures") };
        assert!((map.a - 0.7).abs() < 1e-12 && (map.b - 0.6).abs() < 1e-12);
        // Always better by the same: the difference is certain though both figures vary much.
        assert!((map.interval.low - 0.1).abs() < 1e-12 && (map.interval.high - 0.1).abs() < 1e-12);
        assert_eq!(map.share_a_greater, 1.0);
        assert_eq!((rank.difference, rank.share_a_greater), (0.0, 0.0), "equal is not greater");
        let back = compare_paired(&b, &a, &[Figure::Map], &THOUSAND).unwrap();
        assert_eq!(back.figures[0].share_a_greater, 0.0);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let a = model(&[("x", 0.5)]);
        let error = |b: &PerQuery| {
            compare_paired(&a, b, &[Figure::Map], &THOUSAND).unwrap_err().to_string()
        };
        let other = PerQuery { cameras: CameraRule::Any, ..a.clone() };
        assert_eq!(
            error(&other),
            "figures of centroid under market over 9 gallery units do not compare with those of \
             centroid under any over 9 gallery units: evaluate both alike"
        );
        assert!(
            error(&PerQuery { gallery_units: 8, ..a.clone() }).contains("over 8 gallery units")
        );
        assert_eq!(
            error(&model(&[("y", 0.5)])),
            "no query is in both evaluations (`x` here, `y` there): evaluate the same query images"
        );
        assert!(error(&model(&[("x", 0.5), ("x", 0.5)])).starts_with("query `x` is there twice"));
        assert!(error(&model(&[])).contains("(`x` here, none there)"));
    }
}
