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

/// Candidates of a tile.
const BLOCK: usize = 1024;

/// Blocks that all queries go through before the next (8 MB each at 2048 dimensions), so that
/// reading the queries again costs little.
const BLOCKS: usize = 4;

/// Most queries of a tile, so that a tile (2 MB) stays near its core.
const TILE_QUERIES: usize = 512;

/// Vectors that are put into a panel together: a cache line of each dimension.
const TOGETHER: usize = 16;

/// Products are summed in runs of this many dimensions: an error bound holds for any order of
/// summation, and grows with the length of a run.
const RUN: usize = 256;

/// Unit roundoff of `f32`.
const ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// Squared distances beyond these are left to double precision.
const LARGEST: f64 = 1e37;
const SMALLEST: f64 = 1e-43;

/// One query beside consecutive candidates.
pub(crate) struct Tile<'t> {
    /// Row of the query.
    pub(crate) query: usize,
    /// The candidates.
    pub(crate) candidates: Range<usize>,
    /// `[candidates.len()]`: their distances to the query, about. May be overwritten with infinity
    /// where a candidate does not count.
    pub(crate) near: &'t mut [f32],
    /// No entry of `near` is farther than this from the exact distance. Infinite or NaN, as `near`
    /// may be, where single precision cannot hold the vectors.
    pub(crate) error: f64,
}

impl Tile<'_> {
    /// What is known of the tile's candidates beside one at this exact distance.
    pub(crate) fn bounds(&self, distance: f64) -> Bounds {
        let [low, high] = [distance - self.error, distance + self.error];
        Bounds { low: (low as f32).next_down(), high: (high as f32).next_up() }
    }
}

/// The distances, about, that may be equal to an exact one.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    /// Whether `near` stands for a smaller distance for certain.
    pub(crate) fn is_after(&self, near: f32) -> bool {
        near < self.low
    }

    /// Whether `near` stands for a larger distance for certain.
    pub(crate) fn is_before(&self, near: f32) -> bool {
        near > self.high
    }

    /// Whether only the exact distance decides.
    pub(crate) fn leaves_open(&self, near: f32) -> bool {
        !self.is_after(near) && !self.is_before(near)
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
        see: impl Fn(&mut S, &mut Tile<'_>) + Sync,
    ) {
        assert_eq!(queries.len(), states.len(), "one state per query");
        let (dim, distance, threads) =
            (query.dim(), self.metric().distance, rayon::current_num_threads());
        let tile_queries = queries.len().div_ceil(threads).clamp(1, TILE_QUERIES);
        for blocks in self.blocks().chunks(BLOCKS.max(threads)) {
            let block_panel = |block: &Range<usize>| {
                Panel::new(dim, block.len(), |place, vector| {
                    self.write_vector(self.rows(block.start + place), vector);
                })
            };
            let panels: Vec<Panel> = blocks.par_iter().map(block_panel).collect();
            let rows = queries.par_chunks(tile_queries);
            rows.zip(states.par_chunks_mut(tile_queries)).for_each(|(rows, states)| {
                let of_queries = Panel::new(dim, rows.len(), |place, vector| {
                    vector.copy_from_slice(&self.metric().prepared(query.row(rows[place])));
                });
                for (block, panel) in blocks.iter().zip(&panels) {
                    let mut near = of_queries.cosines(panel); // [rows, block]
                    let near = near.chunks_exact_mut(block.len());
                    for (place, (near, state)) in near.zip(states.iter_mut()).enumerate() {
                        let error = panel.distances(distance, of_queries.lengths[place], near);
                        let candidates = block.clone();
                        see(state, &mut Tile { query: rows[place], candidates, near, error });
                    }
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
    /// `[dim, n]`, each vector of length 1 (or 0).
    unit: Vec<f32>,
    /// `[n]`: how long the vectors are.
    lengths: Vec<f64>,
}

impl Panel {
    /// Takes `n` vectors from `write`, which fills `[dim]`.
    fn new(dim: usize, n: usize, write: impl Fn(usize, &mut [f64])) -> Self {
        let mut unit = vec![0.0; dim * n]; // [dim, n]
        let mut lengths = Vec::with_capacity(n);
        let mut vector = vec![0.0; dim];
        let mut rows = vec![0.0; TOGETHER * dim]; // [TOGETHER, dim]
        for start in (0..n).step_by(TOGETHER) {
            let together = TOGETHER.min(n - start);
            for (place, row) in (start..start + together).zip(rows.chunks_exact_mut(dim)) {
                write(place, &mut vector);
                let length = length(&vector);
                let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
                row.iter_mut().zip(&vector).for_each(|(row, v)| *row = (*v * scale) as f32);
                lengths.push(length);
            }
            for (k, unit) in unit.chunks_exact_mut(n).enumerate() {
                let unit = &mut unit[start..start + together];
                unit.iter_mut().enumerate().for_each(|(row, unit)| *unit = rows[row * dim + k]);
            }
        }
        Self { unit, lengths }
    }

    /// The cosine of each of these vectors with each of the others: `[n, others]`.
    fn cosines(&self, others: &Self) -> Vec<f32> {
        let (n, columns) = (self.lengths.len(), others.lengths.len());
        let mut cosines = vec![0.0; n * columns];
        let runs = self.unit.chunks(RUN * n).zip(others.unit.chunks(RUN * columns));
        for (run, (mine, theirs)) in runs.enumerate() {
            let depth = mine.len() / n;
            assert!(mine.len() == depth * n && theirs.len() == depth * columns);
            // SAFETY: `mine` is `[depth, n]`, `theirs` `[depth, columns]` and `cosines`
            // `[n, columns]`, all row-major, as the strides say.
            unsafe {
                gemm::gemm(
                    n,
                    columns,
                    depth,
                    cosines.as_mut_ptr(),
                    1,
                    columns.cast_signed(),
                    run > 0,
                    mine.as_ptr(),
                    n.cast_signed(),
                    1,
                    theirs.as_ptr(),
                    1,
                    columns.cast_signed(),
                    1.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        }
        cosines
    }

    /// Turns the cosines of a vector of length `a` with these into distances; how wrong they may be.
    ///
    /// A sum of `m` products of unit vectors errs by at most `m` roundoffs in any order; the runs
    /// are then added up, and the vectors themselves were rounded.
    fn distances(&self, distance: Distance, a: f64, near: &mut [f32]) -> f64 {
        let longest = self.lengths.iter().copied().fold(0.0, f64::max);
        let farthest = (a + longest).powi(2);
        let dim = self.unit.len() / self.lengths.len();
        let sums = (dim.min(RUN) + dim / RUN + 8) as f64 * ROUNDOFF;
        match distance {
            Distance::SquaredEuclidean => {
                for (near, &b) in near.iter_mut().zip(&self.lengths) {
                    *near = ((a * a + b * b) as f32) - ((2.0 * a * b) as f32) * *near;
                }
                match farthest < LARGEST {
                    true => 2.0 * a * longest * sums + 8.0 * ROUNDOFF * farthest + SMALLEST,
                    false => f64::INFINITY,
                }
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
                    for (candidate, &near) in tile.candidates.clone().zip(tile.near.iter()) {
                        let exact = candidates.distance(&vector, candidate);
                        assert!((f64::from(near) - exact).abs() <= tile.error, "{near} {exact}");
                        assert!(tile.bounds(exact).leaves_open(near));
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
            let bounds = tile.bounds(1e76);
            assert!(tile.near.iter().all(|&near| bounds.leaves_open(near)));
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
