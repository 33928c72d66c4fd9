//! The metrics of one query, from its distances.

use crate::ids::Pid;

/// What a candidate is to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The query's identity: to be found.
    Relevant,
    /// Another identity.
    Wrong,
    /// Does not count for this query, as if it were not there.
    LeftOut,
}

/// Metrics of one query that has something relevant to find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct QueryScore {
    /// Mean precision at the ranks of the relevant candidates.
    pub(crate) average_precision: f64,
    /// Number of relevant candidates / rank of the last of them (INP).
    pub(crate) inverse_negative_penalty: f64,
    /// Rank of the first relevant candidate, from 1.
    pub(crate) first_rank: usize,
}

impl QueryScore {
    /// Scores a query that looks for `wanted` among candidates with these pids; infinitely distant
    /// ones do not count.
    pub(crate) fn of_pid(distances: &[f64], pids: &[Pid], wanted: Pid) -> Option<Self> {
        Self::new(distances, |i| {
            if distances[i] == f64::INFINITY {
                Standing::LeftOut
            } else if pids[i] == wanted {
                Standing::Relevant
            } else {
                Standing::Wrong
            }
        })
    }

    /// Orders the candidates by (distance, index) and scores the ranks of the relevant ones; `None`
    /// if none is relevant.
    ///
    /// Nothing but those ranks is needed, so only the relevant candidates are sorted, and for each
    /// wrong one it is looked up which of them it precedes.
    pub(super) fn new(distances: &[f64], standing: impl Fn(usize) -> Standing) -> Option<Self> {
        let keyed = |kind: Standing| {
            let standing = &standing;
            let candidates = distances.iter().copied().enumerate();
            candidates.filter(move |&(i, _)| standing(i) == kind).map(|(i, distance)| (distance, i))
        };
        let precedes = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let mut relevant: Vec<_> = keyed(Standing::Relevant).collect();
        relevant.sort_unstable_by(precedes);
        let mut wrong_between = vec![0; relevant.len() + 1];
        for wrong in keyed(Standing::Wrong) {
            wrong_between[relevant.partition_point(|found| precedes(found, &wrong).is_lt())] += 1;
        }
        Self::from_gaps(&wrong_between[..relevant.len()])
    }

    /// `wrong_before[i]` wrong candidates lie between relevant candidate `i − 1` and `i`.
    fn from_gaps(wrong_before: &[usize]) -> Option<Self> {
        let first_rank = wrong_before.first()? + 1;
        let found = wrong_before.len() as f64;
        let (mut rank, mut precisions) = (0, 0.0);
        for (earlier, wrong) in wrong_before.iter().enumerate() {
            rank += wrong + 1;
            precisions += (earlier + 1) as f64 / rank as f64;
        }
        Some(Self {
            average_precision: precisions / found,
            inverse_negative_penalty: found / rank as f64,
            first_rank,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{LeftOut, Relevant, Wrong};
    use super::*;

    fn score(candidates: &[(f64, Standing)]) -> Option<QueryScore> {
        let distances: Vec<f64> = candidates.iter().map(|(distance, _)| *distance).collect();
        QueryScore::new(&distances, |i| candidates[i].1)
    }

    #[test]
    fn precision_is_averaged_over_the_relevant_ranks() {
        // Order: wrong, relevant, relevant, wrong, relevant → precisions 1/2, 2/3, 3/5.
        let order = [(0.5, Relevant), (0.1, Wrong), (0.3, Relevant), (0.2, Relevant), (0.4, Wrong)];
        let score = score(&order).unwrap();
        assert!(
            (score.average_precision - (1.0 / 2.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0).abs() < 1e-15
        );
        assert_eq!(score.inverse_negative_penalty, 3.0 / 5.0);
        assert_eq!(score.first_rank, 2);
    }

    #[test]
    fn equal_distances_rank_by_index() {
        assert_eq!(score(&[(1.0, Relevant), (1.0, Wrong)]).unwrap().first_rank, 1);
        assert_eq!(score(&[(1.0, Wrong), (1.0, Relevant)]).unwrap().first_rank, 2);
    }

    #[test]
    fn what_is_left_out_takes_no_rank() {
        assert_eq!(score(&[(0.1, LeftOut), (0.2, Relevant)]).unwrap().first_rank, 1);
    }

    #[test]
    fn nothing_relevant_is_no_score() {
        assert_eq!(score(&[(0.1, Wrong), (0.2, LeftOut)]), None);
        assert_eq!(score(&[]), None);
    }
}
