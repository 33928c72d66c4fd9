//! Dot products of many rows with a few queries, in register tiles.
//!
//! Rows and queries both lie along the dimension that is summed: a tile of four rows and three queries
//! loads seven vectors for twelve products. Long rows are taken in stretches that leave all queries in
//! the second-level cache.

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

    /// Bytes of a line of the cache.
    const LINE: usize = 64;

    /// One tile's place: its first row and query, in this stretch of dimensions.
    #[derive(Clone, Copy)]
    struct Place {
        row: usize,
        query: usize,
        start: usize,
        end: usize,
    }

    /// A few queries go through each row at once, as memory likes it. For many, rows are copied first,
    /// a strip and a stretch at a time: as they lie, their distance is often a power of two, and then
    /// a few lines of the cache would have to hold them all.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn panel_scores<T: Number>(panel: &Panel<'_, T>, scores: &mut [f32]) {
        let (rows, queries) = (panel.rows.len() / panel.stride, panel.queries.len() / panel.stride);
        scores[..queries * PANEL_ROWS].fill(0.0);
        let few = queries <= TILE.1;
        let stretch = if few { panel.stride } else { STRETCH };
        let mut copy = [0.0_f32; TILE.0 * STRETCH];
        for start in (0..panel.stride).step_by(stretch) {
            let end = (start + stretch).min(panel.stride);
            let mut row = 0;
            while row < rows {
                let place = Place { row, query: 0, start, end };
                // SAFETY: these rows are there, and the features are the caller's.
                row += unsafe {
                    match (rows - row, few) {
                        (0..4, true) => strip::<T, 1>(rows_at(panel, place), panel, place, scores),
                        (_, true) => strip::<T, 4>(rows_at(panel, place), panel, place, scores),
                        (0..4, false) => {
                            copy_rows::<T, 1>(panel, place, &mut copy);
                            strip::<f32, 1>((copy.as_ptr(), STRETCH), panel, place, scores)
                        }
                        (_, false) => {
                            copy_rows::<T, 4>(panel, place, &mut copy);
                            strip::<f32, 4>((copy.as_ptr(), STRETCH), panel, place, scores)
                        }
                    }
                };
            }
        }
    }

    /// Where the rows of a place begin, and how far apart they are.
    fn rows_at<T>(panel: &Panel<'_, T>, place: Place) -> (*const T, usize) {
        (panel.rows[place.row * panel.stride + place.start..].as_ptr(), panel.stride)
    }

    /// `R` rows of a place, widened.
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn copy_rows<T: Number, const R: usize>(
        panel: &Panel<'_, T>,
        place: Place,
        copy: &mut [f32; TILE.0 * STRETCH],
    ) {
        for (r, copy) in copy.chunks_mut(STRETCH).take(R).enumerate() {
            let first = (place.row + r) * panel.stride;
            let row = &panel.rows[first + place.start..first + place.end];
            for (to, from) in copy.chunks_exact_mut(LANES).zip(row.chunks_exact(LANES)) {
                // SAFETY: both are a vector long.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr(), T::load(from.as_ptr())) };
            }
        }
    }

    /// `R` rows with all queries.
    ///
    /// # Safety
    /// `R` rows of the place's length must be there, and the place's row.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn strip<T: Number, const R: usize>(
        rows: (*const T, usize),
        panel: &Panel<'_, impl Sized>,
        mut place: Place,
        scores: &mut [f32],
    ) -> usize {
        let queries = panel.queries.len() / panel.stride;
        while place.query < queries {
            let at = &panel.queries[place.query * panel.stride..];
            let queries_at = (at[place.start..].as_ptr(), panel.stride);
            // SAFETY: so are the queries from `place.query` on.
            place.query += unsafe {
                match queries - place.query {
                    1 => tile::<T, R, 1>(rows, queries_at, place, scores),
                    2 => tile::<T, R, 2>(rows, queries_at, place, scores),
                    _ => tile::<T, R, 3>(rows, queries_at, place, scores),
                }
            };
        }
        R
    }

    /// `R` rows with `Q` queries, each given by where the first begins and how far apart they are:
    /// adds to their scores.
    ///
    /// # Safety
    /// `R` rows and `Q` queries must be there, of whole vectors.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile<T: Number, const R: usize, const Q: usize>(
        rows: (*const T, usize),
        queries_at: (*const f32, usize),
        place: Place,
        scores: &mut [f32],
    ) -> usize {
        let mut sums = [[_mm256_setzero_ps(); Q]; R];
        for at in (0..place.end - place.start).step_by(LANES) {
            let mut queries = [_mm256_setzero_ps(); Q];
            for (q, query) in queries.iter_mut().enumerate() {
                // SAFETY: the caller says that they are there.
                *query = unsafe { _mm256_loadu_ps(queries_at.0.add(q * queries_at.1 + at)) };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let place = rows.0.wrapping_add(r * rows.1 + at);
                if Q == 1 && at % (LINE / size_of::<T>()) == 0 {
                    // The same place of the next rows; a hint, whatever is there.
                    _mm_prefetch::<_MM_HINT_T0>(place.wrapping_add(R * rows.1).cast());
                }
                // SAFETY: as for the queries.
                let row = unsafe { T::load(place) };
                for (sum, query) in sums.iter_mut().zip(queries) {
                    *sum = _mm256_fmadd_ps(row, query, *sum);
                }
            }
        }
        for q in 0..Q {
            let place = (place.query + q) * PANEL_ROWS + place.row;
            add_sums(sums.map(|sums| sums[q]), &mut scores[place..place + R]);
        }
        Q
    }

    /// Adds the sum of each vector's lanes to its score: of four vectors by a transposition.
    #[target_feature(enable = "avx2")]
    fn add_sums<const R: usize>(vectors: [__m256; R], scores: &mut [f32]) {
        if let ([a, b, c, d], Some(scores)) = (vectors.as_slice(), scores.first_chunk_mut::<4>()) {
            let pairs = _mm256_hadd_ps(_mm256_hadd_ps(*a, *b), _mm256_hadd_ps(*c, *d));
            let high = _mm256_extractf128_ps::<1>(pairs);
            let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), high);
            // SAFETY: four scores are there.
            unsafe {
                let sums = _mm_add_ps(_mm_loadu_ps(scores.as_ptr()), sums);
                _mm_storeu_ps(scores.as_mut_ptr(), sums);
            }
            return;
        }
        scores.iter_mut().zip(vectors).for_each(|(score, vector)| *score += lanes_sum(vector));
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
