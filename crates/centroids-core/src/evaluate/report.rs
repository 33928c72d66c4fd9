//! The result of an evaluation.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::score::{DEEPEST, QueryScore};
use crate::protocol::{CameraRule, Preset, Unit};

/// The ranks that are shown unless others are asked for.
pub const SHOWN_RANKS: [usize; 5] = [1, 5, 10, 20, 50];

/// Metrics of a query set against a gallery, as fractions 0..1.
///
/// Serialises to `{"unit","cameras","preset","mAP","mINP","rank":{"1",…},"precision":{"1",…},
/// "recall":{"1",…},"r_precision","map_at_r","valid_queries","skipped_queries","gallery_units"}`.
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
    /// Mean over the valid queries of the share of relevant candidates among the first R, where R
    /// are relevant to the query.
    pub r_precision: f64,
    /// MAP@R: mean of the sum of precisions at relevant ranks up to R, over R (Musgrave et al. 2020,
    /// arXiv 2003.08505).
    pub map_at_r: f64,
    /// AP of each query in order; `None` = skipped, as nothing relevant was left.
    pub average_precision: Vec<Option<f64>>,
    /// INP of each query in order.
    pub inverse_negative_penalty: Vec<Option<f64>>,
    /// Rank of the first relevant candidate of each query in order, from 1.
    pub first_rank: Vec<Option<usize>>,
    /// Queries that count.
    pub valid_queries: usize,
    /// Queries without anything relevant to find.
    pub skipped_queries: usize,
    /// Images or identities ranked, before camera rules leave some out for a query.
    pub gallery_units: usize,
    /// The ranks at which JSON gives figures; [`SHOWN_RANKS`] unless set by
    /// [`with_shown_ranks`](Self::with_shown_ranks).
    pub shown_ranks: Vec<usize>,
    /// Of each valid query: the relevant ranks up to [`DEEPEST`], and how many are relevant.
    relevant: Vec<(Vec<u32>, usize)>,
}

impl Report {
    /// Averages the scores; `None` if no query is valid.
    pub(crate) fn new(
        unit: Unit,
        cameras: CameraRule,
        preset: Option<Preset>,
        by_query: Vec<Option<QueryScore>>,
        gallery_units: usize,
    ) -> Option<Self> {
        let valid = by_query.iter().flatten().count();
        if valid == 0 {
            return None;
        }
        let mean = |value: fn(&QueryScore) -> f64| {
            by_query.iter().flatten().map(value).sum::<f64>() / valid as f64
        };
        Some(Self {
            unit,
            cameras,
            preset,
            map: mean(|score| score.average_precision),
            minp: mean(|score| score.inverse_negative_penalty),
            r_precision: mean(|score| score.r_precision),
            map_at_r: mean(|score| score.map_at_r),
            average_precision: each(&by_query, |score| score.average_precision),
            inverse_negative_penalty: each(&by_query, |score| score.inverse_negative_penalty),
            first_rank: each(&by_query, |score| score.first_rank),
            valid_queries: valid,
            skipped_queries: by_query.len() - valid,
            gallery_units,
            shown_ranks: SHOWN_RANKS.to_vec(),
            relevant: by_query.into_iter().flatten().map(|it| (it.ranks, it.relevant)).collect(),
        })
    }

    /// Chooses the ranks at which JSON gives figures.
    #[must_use]
    pub fn with_shown_ranks(self, shown_ranks: Vec<usize>) -> Self {
        Self { shown_ranks, ..self }
    }

    /// Rank-k: the share of valid queries with something relevant among the first `k`, for any `k`.
    pub fn rank(&self, k: usize) -> f64 {
        let found = self.first_rank.iter().flatten().filter(|&&first| first <= k).count();
        found as f64 / self.valid_queries as f64
    }

    /// The CMC curve: rank-1 to rank-`depth`. Beyond the size of the gallery it is 1.
    pub fn cmc(&self, depth: usize) -> Vec<f64> {
        let mut found_at = vec![0_usize; depth + 1];
        for first in self.first_rank.iter().flatten() {
            found_at[(*first).min(depth + 1) - 1] += 1;
        }
        let mut found = 0;
        let mut cumulative = |at_rank: &usize| {
            found += at_rank;
            found as f64 / self.valid_queries as f64
        };
        found_at[..depth].iter().map(&mut cumulative).collect()
    }

    /// Precision@k: mean share of relevant candidates among the first `k`; fewer candidates than `k`
    /// count as wrong ones.
    ///
    /// # Panics
    /// If `k` is not within 1..=[`Report::DEEPEST`].
    pub fn precision(&self, k: usize) -> f64 {
        self.mean_found(k, |found, _| found / k as f64)
    }

    /// Recall@k: mean share of the relevant candidates that are among the first `k`. (What metric
    /// learning calls recall@k, finding any, is [`rank`](Self::rank).)
    ///
    /// # Panics
    /// If `k` is not within 1..=[`Report::DEEPEST`].
    pub fn recall(&self, k: usize) -> f64 {
        self.mean_found(k, |found, relevant| found / relevant)
    }

    /// Precision and recall are known to this rank.
    pub const DEEPEST: usize = DEEPEST;

    /// Mean over the queries of a value of (relevant among the first `k`, relevant).
    fn mean_found(&self, k: usize, value: impl Fn(f64, f64) -> f64) -> f64 {
        assert!((1..=DEEPEST).contains(&k), "precision and recall are known for 1 to {DEEPEST}");
        let of_query = |(ranks, relevant): &(Vec<u32>, usize)| {
            let found = ranks.partition_point(|&rank| rank as usize <= k);
            value(found as f64, *relevant as f64)
        };
        self.relevant.iter().map(of_query).sum::<f64>() / self.valid_queries as f64
    }
}

fn each<T>(by_query: &[Option<QueryScore>], value: fn(&QueryScore) -> T) -> Vec<Option<T>> {
    by_query.iter().map(|score| score.as_ref().map(value)).collect()
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
            precision: BTreeMap<usize, f64>,
            recall: BTreeMap<usize, f64>,
            r_precision: f64,
            map_at_r: f64,
            valid_queries: usize,
            skipped_queries: usize,
            gallery_units: usize,
        }
        let shown = |value: &dyn Fn(usize) -> f64, deepest: usize| {
            let ranks = self.shown_ranks.iter().copied().filter(|&k| k <= deepest);
            ranks.map(|k| (k, value(k))).collect()
        };
        let json = Json {
            unit: self.unit,
            cameras: self.cameras,
            preset: self.preset,
            map: self.map,
            minp: self.minp,
            rank: shown(&|k| self.rank(k), usize::MAX),
            precision: shown(&|k| self.precision(k), DEEPEST),
            recall: shown(&|k| self.recall(k), DEEPEST),
            r_precision: self.r_precision,
            map_at_r: self.map_at_r,
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

    /// A report of queries that find one relevant candidate each at these ranks, and of one that
    /// finds none.
    fn report(first_ranks: &[u32]) -> Option<Report> {
        let score = |&rank: &u32| QueryScore::from_wrong_before([rank - 1]);
        let mut scores: Vec<_> = first_ranks.iter().map(score).collect();
        scores.push(None);
        Report::new(Unit::Centroid, CameraRule::Market, Some(Preset::Paper), scores, 60)
    }

    #[test]
    fn cmc_counts_queries_found_up_to_each_rank() {
        let report = report(&[1, 4, 50, 51]).unwrap();
        assert_eq!([1, 3, 4, 49, 50].map(|k| report.rank(k)), [0.25, 0.25, 0.5, 0.5, 0.75]);
        assert_eq!(report.cmc(50)[47..], [0.5, 0.5, 0.75]);
        assert_eq!((report.rank(51), report.rank(9999)), (1.0, 1.0));
        assert_eq!((report.valid_queries, report.skipped_queries), (4, 1));
        assert_eq!(report.average_precision[3..], [Some(1.0 / 51.0), None]);
        assert_eq!(report.first_rank[3..], [Some(51), None]);
    }

    #[test]
    fn precision_and_recall_count_what_is_found() {
        // The first query has three relevant at ranks 1, 3, 6, the second one at rank 2.
        let scores = [vec![0, 1, 3], vec![1]].map(QueryScore::from_wrong_before).to_vec();
        let report = Report::new(Unit::Instance, CameraRule::Any, None, scores, 9).unwrap();
        assert_eq!(report.precision(3), (2.0 / 3.0 + 1.0 / 3.0) / 2.0);
        assert_eq!(report.recall(3), (2.0 / 3.0 + 1.0) / 2.0);
        assert_eq!(report.r_precision, (2.0 / 3.0 + 0.0) / 2.0);
        assert!((report.map_at_r - (1.0 + 2.0 / 3.0) / 3.0 / 2.0).abs() < 1e-15);
    }

    #[test]
    fn json_is_the_fixed_interface() {
        let report = report(&[1, 2]).unwrap().with_shown_ranks(vec![1, 2, 5000]);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"unit":"centroid","cameras":"market","preset":"paper","mAP":0.75,"mINP":0.75,"#
                .to_owned()
                + r#""rank":{"1":0.5,"2":1.0,"5000":1.0},"precision":{"1":0.5,"2":0.5},"#
                + r#""recall":{"1":0.5,"2":1.0},"r_precision":0.5,"map_at_r":0.5,"#
                + r#""valid_queries":2,"skipped_queries":1,"gallery_units":60}"#
        );
    }

    #[test]
    fn without_a_valid_query_there_is_no_report() {
        assert_eq!(report(&[]), None);
    }
}
