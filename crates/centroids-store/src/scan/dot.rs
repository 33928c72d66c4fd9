//! Dot products of many rows with a few queries, in register tiles.
//!
//! Rows and queries both lie along the dimension that is summed, so nothing has to be packed: a tile
//! of four rows and three queries loads seven vectors for twelve products. Long rows are taken in
//! stretches that leave all queries in the second-level cache.

use half::f16;

/// Numbers of a vector; rows are padded to it.
pub(super) const LANES: usize = 8;

/// Rows whose scores are made together.
pub(super) const PANEL_ROWS: usize = 64;

/// Rows and queries of a register tile.
pub(super) const TILE: (usize, usize) = (4, 3);

/// Dimensions that are summed at a time when there are several queries.
const STRETCH: usize = 512;

/// A number of a row.
pub(super) trait Number: Copy + Sync {
    fn to_f32(self) -> f32;

    /// Eight numbers from `pointer` on.
    ///
    /// # Safety
    /// They must be there, and the processor must have AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(pointer: *const Self) -> std::arch::x86_64::__m256;
}

impl Number for f32 {
    fn to_f32(self) -> f32 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(pointer: *const Self) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller says that eight numbers are there.
        unsafe { std::arch::x86_64::_mm256_loadu_ps(pointer) }
    }
}

impl Number for f16 {
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(pointer: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps};
        // SAFETY: the caller says that eight numbers of 16 bits are there.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(pointer.cast())) }
    }
}

/// Some rows and all queries, both padded to `stride` numbers.
pub(super) struct Panel<'a, T> {
    pub(super) rows: &'a [T],
    pub(super) queries: &'a [f32],
    pub(super) stride: usize,
}

/// Dot products: `scores[q * PANEL_ROWS + r]` for row `r` and query `q`.
///
/// Each is summed in eight lanes, so its relative error is at most `stride / 8 + 4` units of
/// rounding of `Σ |aᵢ bᵢ|`.
///
/// # Panics
/// If there are more than [`PANEL_ROWS`] rows, or `scores` is too short.
pub(super) fn panel_scores<T: Number>(panel: Panel<'_, T>, scores: &mut [f32]) {
    let (rows, queries) = (panel.rows.len() / panel.stride, panel.queries.len() / panel.stride);
    assert!(rows <= PANEL_ROWS && queries * PANEL_ROWS <= scores.len(), "room for all scores");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        // SAFETY: the processor has what it needs.
        unsafe { avx2::panel_scores(&panel, scores) };
        return;
    }
    for (q, query) in panel.queries.chunks_exact(panel.stride).enumerate() {
        for (r, row) in panel.rows.chunks_exact(panel.stride).enumerate() {
            scores[q * PANEL_ROWS + r] = dot(row, query);
        }
    }
}

/// The same for one pair on any processor.
fn dot<T: Number>(row: &[T], query: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for (row, query) in row.as_chunks::<LANES>().0.iter().zip(query.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += row[lane].to_f32() * query[lane];
        }
    }
    lanes.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{LANES, Number, PANEL_ROWS, Panel, STRETCH, TILE};

    /// One tile's place: its rows and queries begin here, in this stretch of dimensions.
    #[derive(Clone, Copy)]
    struct Place {
        row: usize,
        query: usize,
        start: usize,
        end: usize,
    }

    /// A single query goes through each row at once, as memory likes it.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn panel_scores<T: Number>(panel: &Panel<'_, T>, scores: &mut [f32]) {
        let queries = panel.queries.len() / panel.stride;
        let stretch = if queries <= TILE.1 { panel.stride } else { STRETCH };
        scores[..queries * PANEL_ROWS].fill(0.0);
        for start in (0..panel.stride).step_by(stretch) {
            let end = (start + stretch).min(panel.stride);
            let rows = panel.rows.len() / panel.stride;
            let mut row = 0;
            while row < rows {
                let place = Place { row, query: 0, start, end };
                // SAFETY: rows from `row` on are there, and the features are the caller's.
                row += unsafe {
                    match rows - row {
                        0..4 => strip::<T, 1>(panel, place, scores),
                        _ => strip::<T, 4>(panel, place, scores),
                    }
                };
            }
        }
    }

    /// `R` rows with all queries.
    ///
    /// # Safety
    /// `R` rows from `place.row` on must be there.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn strip<T: Number, const R: usize>(
        panel: &Panel<'_, T>,
        mut place: Place,
        scores: &mut [f32],
    ) -> usize {
        let queries = panel.queries.len() / panel.stride;
        while place.query < queries {
            // SAFETY: so are the queries from `place.query` on.
            place.query += unsafe {
                match queries - place.query {
                    1 => tile::<T, R, 1>(panel, place, scores),
                    2 => tile::<T, R, 2>(panel, place, scores),
                    _ => tile::<T, R, 3>(panel, place, scores),
                }
            };
        }
        R
    }

    /// `R` rows with `Q` queries: adds to their scores.
    ///
    /// # Safety
    /// `R` rows and `Q` queries from `place` on must be there, and whole vectors in the stretch.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile<T: Number, const R: usize, const Q: usize>(
        panel: &Panel<'_, T>,
        place: Place,
        scores: &mut [f32],
    ) -> usize {
        let stride = panel.stride;
        let mut sums = [[_mm256_setzero_ps(); Q]; R];
        for at in (place.start..place.end).step_by(LANES) {
            let mut queries = [_mm256_setzero_ps(); Q];
            for (q, query) in queries.iter_mut().enumerate() {
                // SAFETY: `at + LANES <= stride`, for both ends are multiples of `LANES`.
                *query = unsafe {
                    _mm256_loadu_ps(panel.queries.as_ptr().add((place.query + q) * stride + at))
                };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as for the queries.
                let row =
                    unsafe { T::load(panel.rows.as_ptr().add((place.row + r) * stride + at)) };
                for (sum, query) in sums.iter_mut().zip(queries) {
                    *sum = _mm256_fmadd_ps(row, query, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (q, &sum) in sums.iter().enumerate() {
                scores[(place.query + q) * PANEL_ROWS + place.row + r] += lanes_sum(sum);
            }
        }
        Q
    }

    #[target_feature(enable = "avx2")]
    fn lanes_sum(vector: __m256) -> f32 {
        let halves = _mm_add_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps::<1>(vector));
        let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
        _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tiles_are_dot_products(
            rows in 0_usize..=PANEL_ROWS, queries in 0_usize..9, vectors in 1_usize..140, seed: u64,
        ) {
            let stride = vectors * LANES;
            let mut state = seed | 1;
            let mut number = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 60) as f32 - 7.5 // sums of such products are exact
            };
            let rows: Vec<f32> = (0..rows * stride).map(|_| number()).collect();
            let narrow: Vec<f16> = rows.iter().map(|&value| f16::from_f32(value)).collect();
            let queries: Vec<f32> = (0..queries * stride).map(|_| number()).collect();
            let mut scores = vec![f32::NAN; PANEL_ROWS * (queries.len() / stride)];
            let mut of_narrow = scores.clone();
            panel_scores(Panel { rows: &rows, queries: &queries, stride }, &mut scores);
            panel_scores(Panel { rows: &narrow, queries: &queries, stride }, &mut of_narrow);
            for (q, query) in queries.chunks(stride).enumerate() {
                for (r, row) in rows.chunks(stride).enumerate() {
                    let naive: f32 = row.iter().zip(query).map(|(a, b)| a * b).sum();
                    prop_assert_eq!(scores[q * PANEL_ROWS + r], naive);
                    prop_assert_eq!(of_narrow[q * PANEL_ROWS + r], naive);
                    prop_assert_eq!(dot(row, query), naive);
                }
            }
        }
    }
}
