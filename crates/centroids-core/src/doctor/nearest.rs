//! The nearest candidates of each query, exactly, without the matrix of all distances.

use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::tiles::Tile;

/// A candidate and how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Near {
    pub(super) distance: f64,
    pub(super) candidate: usize,
}

/// The `k` nearest of the admitted candidates for each of the given rows of `query`, by (distance,
/// candidate): `[queries.len()][≤ k]`. `admits` is asked for (row of the query, candidate).
pub(super) fn nearest(
    candidates: &Candidates<'_>,
    query: &Embeddings,
    queries: &[usize],
    k: usize,
    admits: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<Vec<Near>> {
    let mut found: Vec<Vec<Near>> = vec![Vec::new(); queries.len()];
    candidates.each_tile(query, queries, &mut found, |found, tile| {
        let possible = possible(found, tile, k, &admits);
        if possible.is_empty() {
            return;
        }
        let vector = candidates.metric().prepared(query.row(tile.query));
        found.extend(possible.into_iter().map(|candidate| Near {
            distance: candidates.distance(&vector, candidate),
            candidate,
        }));
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.candidate.cmp(&b.candidate)));
        found.truncate(k);
    });
    found
}

/// Candidates of a tile that the error bound lets be among the `k` nearest so far.
fn possible(
    found: &[Near],
    tile: &Tile<'_>,
    k: usize,
    admits: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    let of_full = |last: &Near| tile.bounds(last.distance)[1];
    let limit = k.checked_sub(1).and_then(|last| found.get(last)).map_or(f32::INFINITY, of_full);
    // Negated, so that NaN, about which nothing is known, stays possible.
    let beyond = |near: f32, limit: f32| near > limit;
    let near = |candidate: usize| tile.near[candidate - tile.candidates.start];
    let mut possible: Vec<usize> = tile
        .candidates
        .clone()
        .filter(|&candidate| !beyond(near(candidate), limit) && admits(tile.query, candidate))
        .collect();
    if k == 0 || possible.len() <= k {
        return if k == 0 { Vec::new() } else { possible };
    }
    // The k-th of them is at most this far, so whatever is surely farther is not among the nearest.
    let order = |a: &usize, b: &usize| near(*a).total_cmp(&near(*b));
    let kth = near(*possible.select_nth_unstable_by(k - 1, order).1);
    let limit = tile.bounds(f64::from(kth) + tile.error)[1];
    possible.retain(|&candidate| !beyond(near(candidate), limit));
    possible
}
