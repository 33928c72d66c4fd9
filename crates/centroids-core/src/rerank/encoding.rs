//! k-reciprocal encodings: which vectors are near each vector and find it near in turn, as weights.

use rayon::prelude::*;

use super::KReciprocal;
use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::nearest::{Neighbour, Surroundings};

/// A row of `V`, which is 0 where nothing is listed: columns ascending, weights above 0.
pub(super) type Encoding = Box<[(u32, f64)]>;

/// `V'` (11) of every vector of `set`; `all` has them as candidates, in order.
pub(super) fn encode(
    all: &Candidates<'_>,
    set: &Embeddings,
    around: &Surroundings,
    settings: &KReciprocal,
) -> Vec<Encoding> {
    let nearest = &around.nearest;
    let rows = || (0..nearest.len()).into_par_iter();
    let wide = |row| reciprocal(nearest, row, settings.k1);
    let narrow: Vec<Vec<u32>> =
        rows().map(|row| reciprocal(nearest, row, settings.half_k1())).collect();
    let weigh = |row| {
        let distances = Distances { all, set, row, known: &nearest[row] };
        weights(&expanded(&wide(row), &narrow), around.farthest[row], distances)
    };
    let encodings: Vec<Encoding> = rows().map(weigh).collect();
    if settings.k2 == 1 {
        return encodings;
    }
    let sums = || (vec![0.0; nearest.len()], Vec::new());
    let mean = |(sums, touched): &mut (Vec<f64>, Vec<u32>), row: usize| {
        let averaged = &nearest[row][..settings.k2.min(nearest[row].len())];
        mean(averaged.iter().map(|near| &encodings[near.row as usize]), sums, touched)
    };
    rows().map_init(sums, mean).collect()
}

/// R(p,k) (3): by distance.
fn reciprocal(nearest: &[Vec<Neighbour>], row: usize, k: usize) -> Vec<u32> {
    let first = |row: usize| &nearest[row][..(k + 1).min(nearest[row].len())];
    let returns =
        |near: &&Neighbour| first(near.row as usize).iter().any(|back| back.row as usize == row);
    first(row).iter().filter(returns).map(|near| near.row).collect()
}

/// R*(p) (4), ascending: `wide` is R(p,k1), `narrow` has R(q,k1/2) of every q.
fn expanded(wide: &[u32], narrow: &[Vec<u32>]) -> Vec<u32> {
    let mut sorted = wide.to_vec();
    sorted.sort_unstable();
    let mut expanded = sorted.clone();
    for other in wide.iter().map(|&row| &narrow[row as usize]) {
        let shared = other.iter().filter(|row| sorted.binary_search(row).is_ok()).count();
        if 3 * shared > 2 * other.len() {
            expanded.extend_from_slice(other);
        }
    }
    expanded.sort_unstable();
    expanded.dedup();
    expanded
}

/// Distances of one vector to any.
struct Distances<'a> {
    all: &'a Candidates<'a>,
    set: &'a Embeddings,
    row: usize,
    /// Those that were computed before.
    known: &'a [Neighbour],
}

/// V(p) (7), divided by its sum.
fn weights(members: &[u32], farthest: f64, distances: Distances<'_>) -> Encoding {
    let Distances { all, set, row, known } = distances;
    let mut vector = Vec::new();
    let mut weight = |&member: &u32| {
        let known = known.iter().find(|near| near.row == member);
        let distance = known.map(|near| near.distance).unwrap_or_else(|| {
            if vector.is_empty() {
                vector = all.metric().prepared(set.row(row));
            }
            all.distance(&vector, member as usize)
        });
        (member, (-relative(distance, farthest)).exp())
    };
    let mut weights: Encoding = members.iter().map(&mut weight).collect();
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    weights.iter_mut().for_each(|(_, weight)| *weight /= sum);
    weights
}

/// (1): a distance over the largest one.
pub(super) fn relative(distance: f64, farthest: f64) -> f64 {
    if farthest > 0.0 { distance / farthest } else { 0.0 }
}

/// The mean of encodings, added up in order. `sums` is 0 everywhere, before and after.
fn mean<'a>(
    encodings: impl ExactSizeIterator<Item = &'a Encoding>,
    sums: &mut [f64],
    touched: &mut Vec<u32>,
) -> Encoding {
    let count = encodings.len() as f64;
    for &(column, weight) in encodings.flatten() {
        let sum = &mut sums[column as usize];
        if *sum == 0.0 {
            touched.push(column);
        }
        *sum += weight;
    }
    touched.sort_unstable();
    let take = |column| (column, std::mem::take(&mut sums[column as usize]) / count);
    touched.drain(..).map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbours by hand: only the order matters.
    fn lists(rows: &[&[u32]]) -> Vec<Vec<Neighbour>> {
        let near = |&row: &u32| Neighbour { distance: 0.0, row };
        rows.iter().map(|row| row.iter().map(near).collect()).collect()
    }

    #[test]
    fn reciprocal_means_that_both_find_each_other() {
        let nearest = lists(&[&[0, 1, 2], &[1, 2, 0], &[2, 1, 0]]);
        assert_eq!(reciprocal(&nearest, 0, 1), [0]); // 1 prefers 2.
        assert_eq!(reciprocal(&nearest, 1, 1), [1, 2]);
        assert_eq!(reciprocal(&nearest, 0, 2), [0, 1, 2]);
        assert_eq!(reciprocal(&nearest, 0, 0), [0]);
    }

    #[test]
    fn a_neighbourhood_joins_if_more_than_two_thirds_of_it_are_shared() {
        let narrow = [vec![0], vec![1, 0, 7], vec![2, 1, 0, 8]];
        // Of row 1, two of three are shared, not more; of row 2, three of four.
        assert_eq!(expanded(&[0, 2, 1], &narrow), [0, 1, 2, 8]);
        assert_eq!(expanded(&[], &narrow), [0_u32; 0]);
    }

    #[test]
    fn means_leave_their_sums_empty() {
        let rows: [Encoding; 2] = [[(1, 0.5), (3, 0.5)].into(), [(0, 0.25), (3, 0.75)].into()];
        let (mut sums, mut touched) = (vec![0.0; 4], Vec::new());
        let mean = mean(rows.iter(), &mut sums, &mut touched);
        assert_eq!(mean[..], [(0, 0.125), (1, 0.25), (3, 0.625)]);
        assert!(sums == [0.0; 4] && touched.is_empty());
    }
}
