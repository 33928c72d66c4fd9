//! The rows that can be among the nearest of one query.

use std::collections::HashSet;

/// Gathers rows of the highest scores, with a margin for their rounding: the best row of each of the
/// `k` groups that are best by exact scores is among them. A group is an identity, or a row by itself.
pub(super) struct Nearest {
    k: usize,
    /// Exact scores differ from the given ones by no more.
    error: f32,
    /// Below it a row can no longer be among the best.
    threshold: f32,
    found: Vec<(f32, usize)>,
    /// Length of `found` at which it is looked through.
    full: usize,
}

impl Nearest {
    pub(super) fn new(k: usize, error: f32) -> Self {
        let full = k.saturating_mul(2).saturating_add(64);
        Self { k, error, threshold: f32::NEG_INFINITY, found: Vec::new(), full }
    }

    /// Whether a row of this score is of interest.
    #[inline]
    pub(super) fn wants(&self, score: f32) -> bool {
        score >= self.threshold
    }

    /// Takes a row; `group` tells rows' groups.
    pub(super) fn offer(&mut self, score: f32, row: usize, group: impl Fn(usize) -> i64) {
        self.found.push((score, row));
        if self.found.len() >= self.full {
            self.sift(group);
            self.full = self.full.max(2 * self.found.len());
        }
    }

    /// Adds what another has found.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.threshold = self.threshold.max(other.threshold);
        self.found.extend(other.found);
        self
    }

    /// The rows that can be among the best.
    pub(super) fn finish(mut self, group: impl Fn(usize) -> i64) -> Vec<usize> {
        self.sift(group);
        self.found.into_iter().map(|(_, row)| row).collect()
    }

    /// Raises the threshold to what the `k`-th best group allows and drops what is below.
    fn sift(&mut self, group: impl Fn(usize) -> i64) {
        self.found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut groups = HashSet::new();
        let last = self.found.iter().find(|(_, row)| {
            groups.insert(group(*row));
            groups.len() == self.k
        });
        if let Some((score, _)) = last {
            self.threshold = self.threshold.max(score - 2.0 * self.error);
        }
        self.found.retain(|(score, _)| *score >= self.threshold);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(mut nearest: Nearest, scores: &[f32], group: impl Fn(usize) -> i64) -> Vec<usize> {
        for (row, &score) in scores.iter().enumerate() {
            if nearest.wants(score) {
                nearest.offer(score, row, &group);
            }
        }
        nearest.finish(group)
    }

    #[test]
    fn what_rounding_could_lift_is_kept() {
        let scores = [0.5, 0.1, 0.48, 0.3, 0.45];
        let single = |row: usize| row as i64;
        assert_eq!(rows(Nearest::new(1, 0.0), &scores, single), [0]);
        assert_eq!(rows(Nearest::new(1, 0.0125), &scores, single), [0, 2]);
        assert_eq!(rows(Nearest::new(9, 0.0), &scores, single).len(), 5);
        // Of rows 0 and 2 in one group, the second best group is that of row 4.
        assert_eq!(
            rows(Nearest::new(2, 0.0), &scores, |row| (row % 2 * row + row / 4) as i64),
            [0, 2, 4]
        );
    }

    proptest! {
        #[test]
        fn the_best_of_the_k_best_groups_is_never_lost(
            scores in prop::collection::vec(0_u8..40, 0..600), k in 1_usize..12, cut in 0_usize..600,
        ) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let group = |row: usize| (row % 37) as i64;
            let cut = cut.min(scores.len());
            let mut halves = [Nearest::new(k, 0.0), Nearest::new(k, 0.0)];
            for (row, &score) in scores.iter().enumerate() {
                let half = &mut halves[usize::from(row >= cut)];
                if half.wants(score) {
                    half.offer(score, row, group);
                }
            }
            let [first, second] = halves;
            let found = first.merge(second).finish(group);
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
            let mut groups = HashSet::new();
            let best: Vec<usize> =
                order.into_iter().filter(|&row| groups.insert(group(row))).take(k).collect();
            for row in best {
                prop_assert!(found.contains(&row), "{row} of {found:?}");
            }
        }
    }
}
