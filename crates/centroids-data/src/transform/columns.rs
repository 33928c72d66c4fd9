//! The first pass of the resize: every row to another width.

#[cfg(target_arch = "x86_64")]
mod avx2;

use std::ops::Range;

use super::filter::{Filter, HALF, to_byte};
use crate::rgb_image::RgbImage;

/// Pixels in rows that may have unused bytes behind them.
#[derive(Debug, Default)]
pub(super) struct PaddedRows {
    /// Bytes from one row to the next.
    pub(super) stride: usize,
    pub(super) bytes: Vec<u8>,
}

/// The filter of the columns and, for the vector loop, its weights in halves.
#[derive(Debug, Default)]
pub(super) struct ColumnPass {
    filter: Filter,
    #[cfg(target_arch = "x86_64")]
    halves: avx2::Halves,
}

impl ColumnPass {
    /// Writes the rows `rows` of `image` at the width `width` into `target`.
    pub(super) fn run(
        &mut self,
        image: &RgbImage,
        rows: Range<usize>,
        width: usize,
        target: &mut PaddedRows,
    ) {
        self.filter.set(image.width, width);
        // The vector loop writes whole words, one byte over the end of a row.
        target.stride = width * 3 + 1;
        target.bytes.resize(target.stride * rows.len(), 0);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && avx2::takes(image, &self.filter) {
            self.halves.set(&self.filter);
            let vectorized = rows.start..rows.end.min(image.height - 1);
            // SAFETY: the machine has AVX2.
            unsafe { avx2::run(image, vectorized.clone(), &self.filter, &self.halves, target) };
            portable(image, vectorized.end..rows.end, &self.filter, target, vectorized.len());
            return;
        }
        portable(image, rows, &self.filter, target, 0);
    }
}

/// The same in plain code; the first row goes to row `at` of `target`.
fn portable(
    image: &RgbImage,
    rows: Range<usize>,
    filter: &Filter,
    target: &mut PaddedRows,
    at: usize,
) {
    let targets = target.bytes.chunks_exact_mut(target.stride).skip(at);
    for (y, target) in rows.zip(targets) {
        let (source, _) = image.row(y).as_chunks::<3>();
        let (target, _) = target.as_chunks_mut::<3>();
        for (x, pixel) in target.iter_mut().take(filter.sizes().1).enumerate() {
            let (first, weights) = filter.at(x);
            *pixel = weighted_pixel(&source[first..], weights);
        }
    }
}

fn weighted_pixel(source: &[[u8; 3]], weights: &[i32]) -> [u8; 3] {
    let mut sum = [HALF; 3];
    for (pixel, weight) in source.iter().zip(weights) {
        for (sum, value) in sum.iter_mut().zip(pixel) {
            *sum += i32::from(*value) * weight;
        }
    }
    sum.map(to_byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::definition::picture;

    proptest! {
        #[test]
        fn vectors_and_plain_code_agree(
            image in picture(60), width in 1_usize..50, skip in 0_usize..9, take in 1_usize..60,
        ) {
            let rows = skip.min(image.height - 1)..(skip + take).min(image.height);
            let rows = rows.start..rows.end.max(rows.start + 1);
            let (mut pass, mut fast) = (ColumnPass::default(), PaddedRows::default());
            pass.run(&image, rows.clone(), width, &mut fast);
            let bytes = vec![0; fast.bytes.len()];
            let mut plain = PaddedRows { stride: fast.stride, bytes };
            portable(&image, rows, &pass.filter, &mut plain, 0);
            let pixels = |rows: &PaddedRows| -> Vec<u8> {
                rows.bytes.chunks(rows.stride).flat_map(|row| row[..width * 3].to_vec()).collect()
            };
            prop_assert_eq!(pixels(&fast), pixels(&plain));
        }
    }
}
