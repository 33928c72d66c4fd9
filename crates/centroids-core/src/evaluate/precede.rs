//! Counting what precedes: the ranks of relevant candidates without sorting anything else.

use std::ops::Range;

use super::score::QueryScore;
use crate::tiles::{Bounds, Tile};

/// Where a candidate stands in the order of a query: by distance, then by place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) distance: f64,
    pub(super) place: usize,
}

impl Key {
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.place.cmp(&other.place))
    }

    fn precedes(&self, other: &Self) -> bool {
        self.order(other).is_lt()
    }
}

/// Adds to `before[k]` how many candidates of the tile precede `keys[k]`; keys are ascending.
///
/// `exact` is asked where the tile's bound leaves the order open; it has no key for a candidate that
/// does not count, whose `near` must be infinite.
pub(super) fn count_preceding(
    tile: &Tile<'_>,
    keys: &[Key],
    before: &mut [u32],
    exact: impl Fn(usize) -> Option<Key>,
) {
    let bounds: Vec<Bounds> = keys.iter().map(|key| tile.bounds(key.distance)).collect();
    let Some(farthest) = bounds.last() else { return };
    let mut first_followed = vec![0; keys.len() + 1];
    for (&near, candidate) in tile.near.iter().zip(tile.candidates.clone()) {
        if farthest.is_before(near) {
            continue;
        }
        let mut followed = bounds.partition_point(|bounds| !bounds.is_after(near));
        if followed > 0 && bounds[followed - 1].leaves_open(near) {
            let Some(key) = exact(candidate) else { continue };
            followed = keys.partition_point(|other| !key.precedes(other));
        }
        first_followed[followed] += 1;
    }
    let mut preceding = 0;
    for (before, first_followed) in before.iter_mut().zip(first_followed) {
        preceding += first_followed;
        *before += preceding;
    }
}

/// How many classes precede one of them, each being as near as its nearest candidate.
#[derive(Clone, Debug)]
pub(super) struct ClassCount {
    /// What they are compared with: its place is a class. `None`: there is nothing to find.
    pub(super) limit: Option<Key>,
    pub(super) before: u32,
    /// Whether the last class seen, which may go on in the next block, is counted.
    counted_last: bool,
}

impl ClassCount {
    pub(super) fn new(limit: Option<Key>) -> Self {
        Self { limit, before: 0, counted_last: false }
    }

    /// How the query scores for that class.
    pub(super) fn score(&self) -> Option<QueryScore> {
        QueryScore::from_wrong_before(self.limit.map(|_| self.before))
    }

    /// Counts the classes of a tile: the first of them is number `first`, and each is a range of
    /// candidates with the least `near` among those.
    ///
    /// `exact` is asked for the least exact distance of the candidates in a range that count and
    /// do not lie beyond the bounds; infinite if there is none.
    pub(super) fn see(
        &mut self,
        tile: &Tile<'_>,
        first: usize,
        classes: &[(Range<usize>, f32)],
        exact: impl Fn(Range<usize>, Bounds) -> f64,
    ) {
        let Some(limit) = self.limit else { return };
        let bounds = tile.bounds(limit.distance);
        for (place, (range, near)) in (first..).zip(classes) {
            let goes_on = range.start < tile.candidates.start;
            let counted = goes_on && self.counted_last;
            let here = range.start.max(tile.candidates.start)..range.end.min(tile.candidates.end);
            let precedes = bounds.is_after(*near)
                || bounds.leaves_open(*near)
                    && Key { distance: exact(here, bounds), place }.precedes(&limit);
            self.before += u32::from(precedes && !counted);
            self.counted_last = precedes || counted;
        }
    }
}
