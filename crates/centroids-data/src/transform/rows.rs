//! The second pass of the resize: rows blended into rows.

use super::filter::{Filter, HALF, to_byte};

/// Appends output row `y` to `target`: a blend of the rows `source(i)`, which all have as many
/// bytes as `sums`.
pub(super) fn append_row<'a>(
    filter: &Filter,
    y: usize,
    source: impl Fn(usize) -> &'a [u8],
    sums: &mut [i32],
    target: &mut Vec<u8>,
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        return unsafe { append_row_avx2(filter, y, source, sums, target) };
    }
    append_row_portable(filter, y, source, sums, target);
}

/// The same loops, compiled for wider vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn append_row_avx2<'a>(
    filter: &Filter,
    y: usize,
    source: impl Fn(usize) -> &'a [u8],
    sums: &mut [i32],
    target: &mut Vec<u8>,
) {
    append_row_portable(filter, y, source, sums, target);
}

#[inline(always)]
fn append_row_portable<'a>(
    filter: &Filter,
    y: usize,
    source: impl Fn(usize) -> &'a [u8],
    sums: &mut [i32],
    target: &mut Vec<u8>,
) {
    let (first, weights) = filter.at(y);
    sums.fill(HALF);
    for (offset, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight != 0) {
        for (sum, value) in sums.iter_mut().zip(source(first + offset)) {
            *sum += i32::from(*value) * weight;
        }
    }
    target.extend(sums.iter().map(|&sum| to_byte(sum)));
}
