//! The metrics of one query, from the ranks of what is relevant.

use serde::{Deserialize, Serialize};

use crate::ids::Pid;

/// Relevant ranks are kept to this one, for precision and recall.
pub(super) const DEEPEST: usize = 1000;

/// Metrics of one query that has something relevant to find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct QueryScore {
    /// Mean precision at the ranks of the relevant candidates.
    pub(crate) average_precision: f64,
    /// Number of relevant candidates / rank of the last of them (INP).
    pub(crate) inverse_negative_penalty: f64,
    /// Rank of the first relevant candidate, from 1.
    pub(crate) first_rank: usize,
    /// Share of relevant candidates among the first R, where R candidates are relevant.
    pub(crate) r_precision: f64,
    /// Sum of precisions at relevant ranks up to R, over R (Musgrave et al. 2020, arXiv 2003.08505).
    pub(crate) map_at_r: f64,
    /// Number of relevant candidates, R.
    pub(crate) relevant: usize,
    /// Their ranks up to [`DEEPEST`], ascending.
    pub(crate) ranks: Vec<u32>,
}

impl QueryScore {
    /// Scores a query that looks for `wanted` among candidates with these pids, in the order of
    /// (distance, index); infinitely distant ones do not count. `None` if nothing is relevant.
    pub(crate) fn of_pid(distances: &[f64], pids: &[Pid], wanted: Pid) -> Option<Self> {
        let mut relevant: Vec<(f64, usize)> = Vec::new();
        let mut wrong: Vec<(f64, usize)> = Vec::new();
        for (index, (&distance, &pid)) in distances.iter().zip(pids).enumerate() {
            let kind = if pid == wanted { &mut relevant } else { &mut wrong };
            if distance != f64::INFINITY {
                kind.push((distance, index));
            }
        }
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        relevant.sort_unstable_by(order);
        wrong.sort_unstable_by(order);
        let before = |own: &(f64, usize)| wrong.partition_point(|it| order(it, own).is_lt()) as u32;
        Self::from_wrong_before(relevant.iter().map(before))
    }

    /// Scores relevant candidates, nearest first, each given by how many wrong ones precede it.
    pub(super) fn from_wrong_before(wrong: impl IntoIterator<Item = u32>) -> Option<Self> {
        let ranks: Vec<u32> =
            wrong.into_iter().zip(1..).map(|(wrong, found)| wrong + found).collect();
        let (&first, &last, relevant) = (ranks.first()?, ranks.last()?, ranks.len());
        let (mut precisions, mut precisions_to_r, mut found_to_r) = (0.0, 0.0, 0);
        for (&rank, found) in ranks.iter().zip(1..) {
            precisions += f64::from(found) / f64::from(rank);
            if rank as usize <= relevant {
                (precisions_to_r, found_to_r) = (precisions, found);
            }
        }
        let count = relevant as f64;
        let shallow = ranks.iter().take_while(|&&rank| rank as usize <= DEEPEST);
        Some(Self {
            average_precision: precisions / count,
            inverse_negative_penalty: count / f64::from(last),
            first_rank: first as usize,
            r_precision: f64::from(found_to_r) / count,
            map_at_r: precisions_to_r / count,
            relevant,
            ranks: shallow.copied().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores candidates (distance, whether relevant).
    fn score(candidates: &[(f64, bool)]) -> Option<QueryScore> {
        let distances: Vec<f64> = candidates.iter().map(|(distance, _)| *distance).collect();
        let pids: Vec<Pid> = candidates.iter().map(|(_, own)| Pid(i64::from(*own))).collect();
        QueryScore::of_pid(&distances, &pids, Pid(1))
    }

    #[test]
    fn precision_is_averaged_over_the_relevant_ranks() {
        // Order: wrong, relevant, relevant, wrong, relevant → precisions 1/2, 2/3, 3/5.
        let order = [(0.5, true), (0.1, false), (0.3, true), (0.2, true), (0.4, false)];
        let score = score(&order).unwrap();
        let precisions = (1.0 / 2.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0;
        assert!((score.average_precision - precisions).abs() < 1e-15);
        assert_eq!(score.inverse_negative_penalty, 3.0 / 5.0);
        assert_eq!((score.first_rank, score.relevant), (2, 3));
        assert_eq!(score.ranks, [2, 3, 5]);
        // Of the first three, two are relevant.
        assert_eq!(score.r_precision, 2.0 / 3.0);
        assert!((score.map_at_r - (1.0 / 2.0 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
    }

    #[test]
    fn equal_distances_rank_by_index() {
        assert_eq!(score(&[(1.0, true), (1.0, false)]).unwrap().first_rank, 1);
        assert_eq!(score(&[(1.0, false), (1.0, true)]).unwrap().first_rank, 2);
    }

    #[test]
    fn what_is_left_out_takes_no_rank() {
        assert_eq!(score(&[(f64::INFINITY, false), (0.2, true)]).unwrap().first_rank, 1);
        let found = score(&[(f64::INFINITY, true), (0.2, true), (0.1, false)]).unwrap();
        assert_eq!((found.first_rank, found.relevant), (2, 1));
    }

    #[test]
    fn deep_ranks_count_but_are_not_kept() {
        let score = QueryScore::from_wrong_before([0, 2000]).unwrap();
        assert_eq!((score.ranks, score.relevant), (vec![1], 2));
        assert_eq!(score.inverse_negative_penalty, 2.0 / 2002.0);
    }

    #[test]
    fn nothing_relevant_is_no_score() {
        assert_eq!(score(&[(0.1, false), (f64::INFINITY, true)]), None);
        assert_eq!(score(&[]), None);
    }
}
