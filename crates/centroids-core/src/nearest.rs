//! The vectors nearest to each vector, and how far its farthest is: exact, from tiles.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::protocol::Metric;
use crate::tiles::Tile;

/// A vector near another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Neighbour {
    /// Exact.
    pub(crate) distance: f64,
    /// Which candidate.
    pub(crate) row: u32,
}

impl Neighbour {
    /// By distance, then position.
    fn order(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.row.cmp(&other.row))
    }
}

/// What lies around every vector of a set.
pub(crate) struct Surroundings {
    /// Nearest first, itself among them; fewer than asked for if there are not as many.
    pub(crate) nearest: Vec<Vec<Neighbour>>,
    /// The largest distance of each.
    pub(crate) farthest: Vec<f64>,
}

/// Looks around every vector of `set`; `all` has them as candidates, in order.
pub(crate) fn surroundings(all: &Candidates<'_>, set: &Embeddings, k: usize) -> Surroundings {
    let rows: Vec<usize> = (0..set.len()).collect();
    let mut states: Vec<_> = rows.iter().map(|_| (Least::new(k), Least::new(1))).collect();
    all.each_tile(set, &rows, &mut states, |(near, far), tile| {
        near.see::<1>(tile, |_| true, |open| exact(all, set, tile.query, open));
        far.see::<-1>(tile, |_| true, |open| negated(exact(all, set, tile.query, open)));
    });
    let found = states.into_par_iter().enumerate().map(|(row, (near, far))| {
        let farthest = far.finish(|open| negated(exact(all, set, row, open)));
        let nearest = near.finish(|open| exact(all, set, row, open));
        (nearest, farthest.first().map_or(0.0, |far| -far.distance))
    });
    let (nearest, farthest) = found.unzip();
    Surroundings { nearest, farthest }
}

/// The `k` candidates nearest to each of the given rows of `query`, among those that it `admits`:
/// asked for (row of the query, candidate). `[rows.len()][≤ k]`, nearest first.
pub(crate) fn nearest(
    candidates: &Candidates<'_>,
    query: &Embeddings,
    rows: &[usize],
    k: usize,
    admits: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<Vec<Neighbour>> {
    let mut states: Vec<_> = rows.iter().map(|_| Least::new(k)).collect();
    candidates.each_tile(query, rows, &mut states, |near, tile| {
        let admits = |candidate| admits(tile.query, candidate);
        near.see::<1>(tile, admits, |open| exact(candidates, query, tile.query, open));
    });
    let states = states.into_par_iter().zip(rows);
    states.map(|(near, &row)| near.finish(|open| exact(candidates, query, row, open))).collect()
}

/// Every vector of `set` as a candidate of its own, junk too.
pub(crate) fn all_rows<'a>(set: &'a Embeddings, metric: &'a Metric) -> Candidates<'a> {
    rows_from(set, 0, metric)
}

/// The vectors of `set` from `start` on as candidates.
pub(crate) fn rows_from<'a>(
    set: &'a Embeddings,
    start: usize,
    metric: &'a Metric,
) -> Candidates<'a> {
    let mut rows = Candidates::images(set, metric, |_| false);
    (start..set.len()).for_each(|row| rows.push(set.pids()[row], &[row]));
    rows
}

/// Exact distances of a row of `query` to the candidates named.
fn exact(
    candidates: &Candidates<'_>,
    query: &Embeddings,
    row: usize,
    open: &[(f32, u32)],
) -> Vec<Neighbour> {
    let metric = candidates.metric();
    let vector = metric.prepared(query.row(row));
    let mut other = vec![0.0; query.dim()];
    let distance = |&(_, row): &(f32, u32)| {
        candidates.write_vector(candidates.rows(row as usize), &mut other);
        Neighbour { distance: metric.distance.between_prepared(&vector, &other), row }
    };
    open.iter().map(distance).collect()
}

fn negated(mut found: Vec<Neighbour>) -> Vec<Neighbour> {
    found.iter_mut().for_each(|found| found.distance = -found.distance);
    found
}

/// The least of a stream of keys that are known about only.
struct Least {
    k: usize,
    /// About which key, and whose: all that may be among the least.
    open: Vec<(f32, u32)>,
    /// `k` keys are about this or less.
    kth: f32,
    /// No key was farther than this from the exact one.
    error: f64,
}

impl Least {
    /// Keys beyond `k` that may stay open before exact ones are asked for.
    const ROOM: usize = 32;

    fn new(k: usize) -> Self {
        Self { k, open: Vec::new(), kth: f32::INFINITY, error: 0.0 }
    }

    /// Takes what a tile has, as keys of the given sign; `exact` gives exact keys.
    fn see<const SIGN: i32>(
        &mut self,
        tile: &Tile<'_>,
        admits: impl Fn(usize) -> bool,
        exact: impl Fn(&[(f32, u32)]) -> Vec<Neighbour>,
    ) {
        const LANES: usize = 32;
        let error = if tile.error.is_finite() { tile.error } else { f64::INFINITY };
        self.error = self.error.max(error);
        let key = |near: f32| if SIGN < 0 { -near } else { near };
        for (start, lanes) in tile.candidates.clone().step_by(LANES).zip(tile.near.chunks(LANES)) {
            let limit = self.limit();
            // All lanes at once, as few pass. What cannot be compared is not beyond.
            if lanes.iter().fold(true, |all, &near| all & (key(near) > limit)) {
                continue;
            }
            for (candidate, near) in (start..).zip(lanes.iter().copied().map(key)) {
                if near > limit || !admits(candidate) {
                    continue;
                }
                self.open.push((near, candidate as u32));
                if self.open.len() >= 2 * (self.k + Self::ROOM) {
                    self.prune(&exact);
                }
            }
        }
    }

    /// Keys above this are not among the least: `k` others are smaller even if both err.
    fn limit(&self) -> f32 {
        ((f64::from(self.kth) + 2.0 * self.error) as f32).next_up()
    }

    /// Forgets what is not among the least; where that is not enough, by exact keys.
    fn prune(&mut self, exact: impl Fn(&[(f32, u32)]) -> Vec<Neighbour>) {
        if self.k == 0 {
            return self.open.clear();
        }
        if self.open.len() <= self.k {
            return;
        }
        let kth = self.open.select_nth_unstable_by(self.k - 1, |a, b| a.0.total_cmp(&b.0)).1;
        self.kth = kth.0;
        let limit = self.limit();
        let is_beyond = |key: f32| key > limit;
        self.open.retain(|open| !is_beyond(open.0));
        if self.open.len() > self.k + Self::ROOM {
            let least = least(exact(&self.open), self.k);
            self.open = least.iter().map(|found| (found.distance as f32, found.row)).collect();
            self.kth = least[self.k - 1].distance as f32;
        }
    }

    /// The `k` least, or all if there are fewer, in order.
    fn finish(mut self, exact: impl Fn(&[(f32, u32)]) -> Vec<Neighbour>) -> Vec<Neighbour> {
        self.prune(&exact);
        least(exact(&self.open), self.k)
    }
}

fn least(mut found: Vec<Neighbour>, k: usize) -> Vec<Neighbour> {
    found.sort_unstable_by(Neighbour::order);
    found.truncate(k);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    /// Vectors of two small whole numbers: full of equal distances.
    fn grid(n: usize, scale: f32) -> Embeddings {
        let values = (0..2 * n).map(|i| ((i * i + i / 7) % 5) as f32 * scale).collect();
        let (pids, paths) = (vec![Pid::JUNK; n], vec![String::new(); n]);
        Embeddings::new(2, values, pids, vec![None; n], paths).unwrap()
    }

    fn sorted(all: &Candidates<'_>, set: &Embeddings, row: usize) -> Vec<Neighbour> {
        let everyone: Vec<_> = (0..set.len() as u32).map(|row| (0.0, row)).collect();
        least(exact(all, set, row, &everyone), set.len())
    }

    #[test]
    fn equal_distances_come_in_order_however_many_there_are() {
        // The second scale is beyond single precision, so nothing but exact distances decides.
        for scale in [1.0, 1e25] {
            let metric = Metric { normalize: false, ..Metric::default() };
            let set = grid(5000, scale);
            let all = all_rows(&set, &metric);
            let few = set.select(&[0, 1, 2, 3]);
            let found = nearest(&all, &few, &[0, 1, 2, 3], 40, |_, _| true);
            for (row, found) in found.iter().enumerate() {
                assert_eq!(found[..], sorted(&all, &set, row)[..40]);
            }
        }
    }

    #[test]
    fn the_farthest_is_exact_and_small_sets_are_whole() {
        let metric = Metric { normalize: false, ..Metric::default() };
        let set = grid(9, 0.3);
        let all = all_rows(&set, &metric);
        let found = surroundings(&all, &set, 20);
        for row in 0..set.len() {
            let sorted = sorted(&all, &set, row);
            assert_eq!(found.farthest[row], sorted[8].distance);
            assert_eq!(found.nearest[row], sorted);
        }
    }

    #[test]
    fn only_those_admitted_are_found() {
        let metric = Metric { normalize: false, ..Metric::default() };
        let set = grid(300, 1.0);
        let all = all_rows(&set, &metric);
        let odd = |query: usize, row: usize| (query + row) % 2 == 1;
        let rows: Vec<usize> = (0..set.len()).collect();
        for (row, found) in nearest(&all, &set, &rows, 3, odd).iter().enumerate() {
            let mut wanted = sorted(&all, &set, row);
            wanted.retain(|found| odd(row, found.row as usize));
            assert_eq!(found[..], wanted[..3]);
        }
        assert!(nearest(&all, &set, &rows, 0, odd).iter().all(Vec::is_empty));
    }
}
