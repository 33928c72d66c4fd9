//! The result of an evaluation.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::score::QueryScore;
use crate::protocol::{CameraRule, Preset, Unit};

/// The CMC curve is kept to this rank.
pub const MAX_RANK: usize = 50;

/// The ranks that JSON and tables show.
const SHOWN_RANKS: [usize; 5] = [1, 5, 10, 20, 50];

/// Metrics of a query set against a gallery, as fractions 0..1.
///
/// Serialises to `{"unit","cameras","preset","mAP","mINP","rank":{"1",…},"valid_queries",
/// "skipped_queries","gallery_units"}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was ranked. Figures of different units do not compare, see [`Unit`].
    pub unit: Unit,
    /// What was left out.
    pub cameras: CameraRule,
    /// The preset, if one was evaluated instead of a plain unit and rule.
    pub preset: Option<Preset>,
    /// Mean average precision over the valid queries.
    pub map: f64,
    /// Mean inverse negative penalty: mean of (number of relevant / rank of the last relevant),
    /// how much must be looked through to find all (Ye et al. 2021, arXiv 2001.04193).
    pub minp: f64,
    /// `cmc[k - 1]` is rank-k: the share of valid queries with something relevant among the first
    /// k. Of length [`MAX_RANK`], also for smaller galleries, where it ends in ones.
    pub cmc: Vec<f64>,
    /// AP of each query in order; `None` = skipped, as nothing relevant was left.
    pub average_precision: Vec<Option<f64>>,
    /// INP of each query in order.
    pub inverse_negative_penalty: Vec<Option<f64>>,
    /// Queries that count.
    pub valid_queries: usize,
    /// Queries without anything relevant to find.
    pub skipped_queries: usize,
    /// Images or identities ranked, before camera rules leave some out for a query.
    pub gallery_units: usize,
}

impl Report {
    /// Averages the scores; `None` if no query is valid.
    pub(crate) fn new(
        unit: Unit,
        cameras: CameraRule,
        preset: Option<Preset>,
        by_query: &[Option<QueryScore>],
        gallery_units: usize,
    ) -> Option<Self> {
        let valid: Vec<QueryScore> = by_query.iter().copied().flatten().collect();
        if valid.is_empty() {
            return None;
        }
        let mean = |value: fn(&QueryScore) -> f64| {
            valid.iter().map(value).sum::<f64>() / valid.len() as f64
        };
        let each = |value: fn(QueryScore) -> f64| -> Vec<Option<f64>> {
            by_query.iter().map(|score| score.map(value)).collect()
        };
        Some(Self {
            unit,
            cameras,
            preset,
            map: mean(|score| score.average_precision),
            minp: mean(|score| score.inverse_negative_penalty),
            cmc: cumulative_matches(&valid),
            average_precision: each(|score| score.average_precision),
            inverse_negative_penalty: each(|score| score.inverse_negative_penalty),
            valid_queries: valid.len(),
            skipped_queries: by_query.len() - valid.len(),
            gallery_units,
        })
    }

    /// Rank-k: the share of valid queries with something relevant among the first `k`.
    ///
    /// # Panics
    /// If `k` is not within 1..=[`MAX_RANK`].
    pub fn rank(&self, k: usize) -> f64 {
        assert!((1..=MAX_RANK).contains(&k), "rank-{k} is not kept: 1 to {MAX_RANK} are");
        self.cmc[k - 1]
    }
}

fn cumulative_matches(valid: &[QueryScore]) -> Vec<f64> {
    let mut found_at = [0; MAX_RANK + 1];
    for score in valid {
        found_at[score.first_rank.min(MAX_RANK + 1) - 1] += 1;
    }
    let found = found_at[..MAX_RANK].iter().scan(0, |found, at_rank| {
        *found += at_rank;
        Some(*found)
    });
    found.map(|found| f64::from(found) / valid.len() as f64).collect()
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json {
            unit: Unit,
            cameras: CameraRule,
            preset: Option<Preset>,
            #[serde(rename = "mAP")]
            map: f64,
            #[serde(rename = "mINP")]
            minp: f64,
            rank: BTreeMap<usize, f64>,
            valid_queries: usize,
            skipped_queries: usize,
            gallery_units: usize,
        }
        let json = Json {
            unit: self.unit,
            cameras: self.cameras,
            preset: self.preset,
            map: self.map,
            minp: self.minp,
            rank: SHOWN_RANKS.into_iter().map(|k| (k, self.rank(k))).collect(),
            valid_queries: self.valid_queries,
            skipped_queries: self.skipped_queries,
            gallery_units: self.gallery_units,
        };
        json.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first_ranks: &[usize]) -> Option<Report> {
        let score = |&first_rank: &usize| QueryScore {
            average_precision: 1.0 / first_rank as f64,
            inverse_negative_penalty: 0.5,
            first_rank,
        };
        let mut scores: Vec<_> = first_ranks.iter().map(score).map(Some).collect();
        scores.push(None);
        Report::new(Unit::Centroid, CameraRule::Market, Some(Preset::Paper), &scores, 60)
    }

    #[test]
    fn cmc_counts_queries_found_up_to_each_rank() {
        let report = report(&[1, 4, 50, 51]).unwrap();
        assert_eq!([1, 3, 4, 49, 50].map(|k| report.rank(k)), [0.25, 0.25, 0.5, 0.5, 0.75]);
        assert_eq!((report.valid_queries, report.skipped_queries), (4, 1));
        assert_eq!(report.average_precision[3..], [Some(1.0 / 51.0), None]);
    }

    #[test]
    fn json_is_the_fixed_interface() {
        let json = serde_json::to_string(&report(&[1, 2]).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"unit":"centroid","cameras":"market","preset":"paper","mAP":0.75,"mINP":0.5,"#
                .to_owned()
                + r#""rank":{"1":0.5,"5":1.0,"10":1.0,"20":1.0,"50":1.0},"#
                + r#""valid_queries":2,"skipped_queries":1,"gallery_units":60}"#
        );
    }

    #[test]
    fn without_a_valid_query_there_is_no_report() {
        assert_eq!(report(&[]), None);
    }
}
