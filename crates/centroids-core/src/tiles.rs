//! Distances of many queries to many candidates, a tile at a time: products of unit vectors in
//! single precision, which is fast, with a bound on how far they are from the exact distances.
//!
//! Whoever looks at a tile decides what the bound leaves open by asking for the exact distance
//! ([`Candidates::distance`]), so that results are those of double precision. Memory is one block of
//! candidates, and per thread one tile: the matrix of all distances never exists.

use std::ops::Range;

use rayon::prelude::*;

use crate::candidates::Candidates;
use crate::distance::{Distance, length};
use crate::embeddings::Embeddings;

/// Candidates of a block: enough that reading the queries again for each block costs little, few
/// enough (32 MB of 2048-dimensional vectors) for any machine.
const BLOCK: usize = 4096;

/// Queries of a tile (4 MB): the product packs its block anew for each tile, which with 64 queries
/// took nearly as long as multiplying.
const TILE_QUERIES: usize = 256;

/// Products are summed in runs of this many dimensions: an error bound holds for any order of
/// summation, and grows with the length of a run.
const RUN: usize = 256;

/// Unit roundoff of `f32`.
const ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// One query beside consecutive candidates.
pub(crate) struct Tile<'t> {
    /// Row of the query.
    pub(crate) query: usize,
    /// The candidates.
    pub(crate) candidates: Range<usize>,
    /// `[candidates.len()]`: their distances to the query, about.
    pub(crate) near: &'t [f32],
    /// No entry of `near` is farther than this from the exact distance. Infinite or NaN, as `near`
    /// may be, where single precision cannot hold the vectors.
    pub(crate) error: f64,
}

impl Tile<'_> {
    /// Bounds around an exact distance: what is nearer than the first precedes it, what is farther
    /// than the second follows it, for certain.
    pub(crate) fn bounds(&self, distance: f64) -> [f32; 2] {
        let [low, high] = [distance - self.error, distance + self.error];
        [(low as f32).next_down(), (high as f32).next_up()]
    }
}

impl Candidates<'_> {
    /// Shows every tile to `see`, with what it keeps about the query: `states` is `[queries.len()]`.
    /// Candidates come in order, each block to all queries before the next; queries on all threads.
    pub(crate) fn each_tile<S: Send>(
        &self,
        query: &Embeddings,
        queries: &[usize],
        states: &mut [S],
        see: impl Fn(&mut S, &Tile<'_>) + Sync,
    ) {
        assert_eq!(queries.len(), states.len(), "one state per query");
        for block in self.blocks() {
            let panel = Panel::new(query.dim(), block.len(), |place, vector| {
                self.write_vector(self.rows(block.start + place), vector);
            });
            let rows = queries.par_chunks(TILE_QUERIES);
            rows.zip(states.par_chunks_mut(TILE_QUERIES)).for_each(|(rows, states)| {
                let queries = Panel::new(query.dim(), rows.len(), |place, vector| {
                    vector.copy_from_slice(&self.metric().prepared(query.row(rows[place])));
                });
                let mut near = vec![0.0; rows.len() * block.len()];
                queries.products(&panel, &mut near);
                let near = near.chunks_exact_mut(block.len());
                for (place, ((&query, state), near)) in
                    rows.iter().zip(states).zip(near).enumerate()
                {
                    let error =
                        panel.distances(self.metric().distance, queries.lengths[place], near);
                    see(state, &Tile { query, candidates: block.clone(), near, error });
                }
            });
        }
    }

    /// Consecutive candidates, cut between pids where a block can hold all candidates of one.
    fn blocks(&self) -> Vec<Range<usize>> {
        let mut blocks: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        while start < self.len() {
            let mut end = (start + BLOCK).min(self.len());
            if end < self.len() {
                let pid = self.pids()[end];
                let of_pid =
                    self.pids()[start..end].iter().rev().take_while(|&&p| p == pid).count();
                end = if of_pid < end - start { end - of_pid } else { end };
            }
            blocks.push(start..end);
            start = end;
        }
        blocks
    }
}

/// Vectors as the product takes them.
struct Panel {
    dim: usize,
    /// `[n, dim]`, each row of length 1 (or 0).
    unit: Vec<f32>,
    /// `[n]`: how long the vectors are.
    lengths: Vec<f64>,
}

impl Panel {
    /// Takes `n` vectors from `write`, which fills `[dim]`.
    fn new(dim: usize, n: usize, write: impl Fn(usize, &mut [f64]) + Sync) -> Self {
        let mut unit = vec![0.0; n * dim]; // [n, dim]
        let rows = unit.par_chunks_exact_mut(dim).enumerate().with_min_len(16);
        let lengths = rows.map_init(
            || vec![0.0; dim],
            |vector, (place, unit)| {
                write(place, vector);
                let length = length(vector);
                let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
                unit.iter_mut().zip(vector).for_each(|(unit, v)| *unit = (*v * scale) as f32);
                length
            },
        );
        let lengths = lengths.collect();
        Self { dim, unit, lengths }
    }

    /// Writes the cosine of each of these vectors with each of the others: `[n, others]`.
    fn products(&self, others: &Self, cosines: &mut [f32]) {
        let (rows, columns, dim) = (self.lengths.len(), others.lengths.len(), self.dim);
        assert!(self.unit.len() == rows * dim && others.unit.len() == columns * dim);
        assert!(cosines.len() == rows * columns);
        let stride = |count: usize| count.cast_signed();
        for start in (0..dim).step_by(RUN) {
            // SAFETY: all three matrices are as large as asserted; `start < dim` keeps the pointers
            // inside, and rows are read from there to the end of the run, which is within the row.
            unsafe {
                gemm::gemm(
                    rows,
                    columns,
                    RUN.min(dim - start),
                    cosines.as_mut_ptr(),
                    1,
                    stride(columns),
                    start > 0,
                    self.unit.as_ptr().add(start),
                    1,
                    stride(dim),
                    others.unit.as_ptr().add(start),
                    stride(dim),
                    1,
                    1.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        }
    }

    /// Turns the cosines of a vector of length `a` with these into distances; how wrong they may be.
    ///
    /// A sum of `m` products of unit vectors errs by at most `m` roundoffs in any order; the runs
    /// are then added up, and the vectors themselves were rounded.
    fn distances(&self, distance: Distance, a: f64, near: &mut [f32]) -> f64 {
        let longest = self.lengths.iter().copied().fold(0.0, f64::max);
        let sums = (self.dim.min(RUN) + self.dim / RUN + 8) as f64 * ROUNDOFF;
        match distance {
            Distance::SquaredEuclidean => {
                for (near, &b) in near.iter_mut().zip(&self.lengths) {
                    *near = ((a * a + b * b) as f32) - ((2.0 * a * b) as f32) * *near;
                }
                2.0 * a * longest * sums + 8.0 * ROUNDOFF * (a + longest).powi(2)
            }
            Distance::Cosine => {
                for (near, &b) in near.iter_mut().zip(&self.lengths) {
                    *near = (1.0 - (a * b) as f32 * *near).abs();
                }
                sums + 8.0 * ROUNDOFF
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centroid::CentroidOf;
    use crate::ids::Pid;
    use crate::protocol::Metric;

    /// Numbers without a pattern, the same every time.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1_u64 << 24) as f32) - 0.5
        };
        (0..count).map(next).collect()
    }

    fn set(n: usize, dim: usize, classes: usize, seed: u64, scale: f32) -> Embeddings {
        let values = numbers(n * dim, seed).into_iter().map(|value| value * scale).collect();
        let pids = (0..n).map(|row| Pid((row % classes) as i64)).collect();
        Embeddings::new(dim, values, pids, vec![None; n], vec![String::new(); n]).unwrap()
    }

    #[test]
    fn tiles_cover_all_pairs_within_their_bound() {
        for (dim, scale) in [(3, 1.0), (300, 1e3), (520, 1e-3)] {
            for distance in [Distance::SquaredEuclidean, Distance::Cosine] {
                let metric = Metric { distance, normalize: false, centroid_of: CentroidOf::Raw };
                let (query, gallery) = (set(70, dim, 5, 1, scale), set(90, dim, 7, 2, scale));
                let candidates = Candidates::images_by_pid(&gallery, &metric);
                let queries: Vec<usize> = (0..query.len()).collect();
                let mut seen = vec![0; query.len()];
                candidates.each_tile(&query, &queries, &mut seen, |seen, tile| {
                    let vector = metric.prepared(query.row(tile.query));
                    for (candidate, &near) in tile.candidates.clone().zip(tile.near) {
                        let exact = candidates.distance(&vector, candidate);
                        assert!((f64::from(near) - exact).abs() <= tile.error, "{near} {exact}");
                        let [low, high] = tile.bounds(exact);
                        assert!(low <= near && near <= high);
                        *seen += 1;
                    }
                    let typical = f64::from(scale).powi(2) * dim as f64;
                    let typical = if distance == Distance::Cosine { 1.0 } else { typical };
                    assert!(tile.error < 1e-4 * typical, "{} is no useful bound", tile.error);
                });
                assert_eq!(seen, vec![90; query.len()]);
            }
        }
    }

    #[test]
    fn vectors_beyond_single_precision_leave_everything_open() {
        let metric = Metric { normalize: false, ..Metric::default() };
        let set = set(2, 2, 1, 3, f32::MAX);
        let candidates = Candidates::images_by_pid(&set, &metric);
        candidates.each_tile(&set, &[0], &mut [()], |(), tile| {
            let [low, high] = tile.bounds(1e76);
            assert!(tile.near.iter().all(|&near| !(near < low) && !(near > high)));
        });
    }

    #[test]
    fn blocks_end_where_a_pid_ends_if_they_can() {
        let metric = Metric::default();
        let set = set(3 * BLOCK, 1, 5, 4, 1.0);
        let few = Candidates::images_by_pid(&set, &metric);
        let blocks = few.blocks();
        assert!(blocks.iter().all(|block| (1..=BLOCK).contains(&block.len())));
        assert!(blocks.windows(2).all(|pair| pair[0].end == pair[1].start));
        let cut = |block: &Range<usize>| few.pids()[block.end - 1] == few.pids()[block.end];
        assert!(!blocks[..blocks.len() - 1].iter().any(cut));
        let one_class = set.select(&vec![0; 2 * BLOCK + 1]);
        let blocks = Candidates::images_by_pid(&one_class, &metric).blocks();
        assert_eq!(blocks, [0..BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..2 * BLOCK + 1]);
    }
}
