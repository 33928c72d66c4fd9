//! Jaccard distances of encodings, through an inverted index: only what shares a neighbour is
//! touched, for everything else the distance is 1.

use super::KReciprocal;
use super::encoding::{Encoding, relative};

/// Encodings by column.
pub(super) struct InvertedIndex {
    /// Entries of all columns, one after the other: row and weight, rows ascending.
    entries: Vec<(u32, f64)>,
    /// Column `i` ends at `ends[i]`.
    ends: Vec<usize>,
    rows: usize,
}

/// How much one encoding shares with each of the rows of an index.
pub(super) struct Overlaps {
    /// `[rows]`: Σ min of both, 0 for most.
    sums: Vec<f64>,
    /// The rows that are not 0.
    touched: Vec<u32>,
}

impl InvertedIndex {
    /// Turns `encodings`, which have columns below `columns`.
    pub(super) fn new(encodings: &[Encoding], columns: usize) -> Self {
        let mut ends = vec![0; columns + 1];
        for &(column, _) in encodings.iter().flatten() {
            ends[column as usize + 1] += 1;
        }
        for column in 0..columns {
            ends[column + 1] += ends[column];
        }
        // `ends[i]` is where column `i` starts, and moves to where it ends while entries are placed.
        let mut entries = vec![(0, 0.0); ends[columns]];
        for (row, encoding) in encodings.iter().enumerate() {
            for &(column, weight) in encoding {
                let end = &mut ends[column as usize];
                entries[*end] = (row as u32, weight);
                *end += 1;
            }
        }
        Self { entries, ends, rows: encodings.len() }
    }

    /// The rows that have a weight in this column.
    fn column(&self, column: u32) -> &[(u32, f64)] {
        let column = column as usize;
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.entries[start..self.ends[column]]
    }

    /// Room for [`overlaps`](Self::overlaps).
    pub(super) fn room(&self) -> Overlaps {
        Overlaps { sums: vec![0.0; self.rows], touched: Vec::new() }
    }

    /// Replaces what is in `overlaps` by those of `encoding`, summed by ascending column.
    pub(super) fn overlaps(&self, encoding: &Encoding, overlaps: &mut Overlaps) {
        let Overlaps { sums, touched } = overlaps;
        touched.drain(..).for_each(|row| sums[row as usize] = 0.0);
        for &(column, weight) in encoding {
            for &(row, other) in self.column(column) {
                let sum = &mut sums[row as usize];
                if *sum == 0.0 {
                    touched.push(row);
                }
                *sum += weight.min(other);
            }
        }
    }
}

impl Overlaps {
    /// Jaccard distance (10) to a row. Both encodings have sum 1, so Σ max = 2 − Σ min.
    pub(super) fn distance(&self, row: usize) -> f64 {
        let shared = self.sums[row];
        1.0 - shared / (2.0 - shared)
    }

    /// The rows that share something, ascending.
    pub(super) fn rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = self.touched.iter().map(|&row| row as usize).collect();
        rows.sort_unstable();
        rows
    }
}

/// One query's distances after re-ranking, as far as they are not plain ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Reranked {
    /// The largest original distance to any query or gallery vector.
    pub farthest: f64,
    /// Gallery rows, ascending, that share a neighbour with the query, and their Jaccard distances.
    /// All others have 1.
    pub jaccard: Vec<(usize, f64)>,
}

impl Reranked {
    /// `d*` (12) of a gallery row, given its original distance under the same metric.
    pub fn distance(&self, settings: &KReciprocal, row: usize, original: f64) -> f64 {
        let found = self.jaccard.binary_search_by_key(&row, |near| near.0);
        let jaccard = found.map_or(1.0, |place| self.jaccard[place].1);
        settings.blend(jaccard, relative(original, self.farthest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_weight_over_all_weight() {
        let rows: [Encoding; 3] =
            [[(0, 0.5), (2, 0.5)].into(), [(1, 1.0)].into(), [(2, 0.25), (3, 0.75)].into()];
        let index = InvertedIndex::new(&rows, 4);
        let mut overlaps = index.room();
        for _ in 0..2 {
            index.overlaps(&rows[0], &mut overlaps);
            let distances = [0, 1, 2].map(|row| overlaps.distance(row));
            assert_eq!(distances, [0.0, 1.0, 1.0 - 0.25 / 1.75]);
            assert_eq!(overlaps.rows(), [0, 2]);
        }
        index.overlaps(&Encoding::default(), &mut overlaps);
        assert_eq!((overlaps.distance(0), overlaps.rows()), (1.0, vec![]));
    }

    #[test]
    fn what_is_not_listed_has_a_jaccard_distance_of_one() {
        let settings = KReciprocal { lambda: 0.25, ..KReciprocal::default() };
        let reranked = Reranked { farthest: 4.0, jaccard: vec![(3, 0.5)] };
        assert_eq!(reranked.distance(&settings, 3, 2.0), 0.5 * 0.75 + 0.5 * 0.25);
        assert_eq!(reranked.distance(&settings, 4, 2.0), 0.75 + 0.5 * 0.25);
    }
}
