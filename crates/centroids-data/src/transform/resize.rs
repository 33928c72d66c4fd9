//! Antialiased bilinear resize, bit for bit as Pillow (9.5 to 12) computes it on 8-bit pictures.
//!
//! A triangle filter as wide as the shrink factor (at least one pixel to each side); weights
//! normalised in f64 and rounded to 22-bit fixed point; columns first, rounded back to 8 bits, then
//! rows. (Pillow 13 runs the rows first where they shrink more, which moves some values by one.)

use std::ops::Range;

use super::columns::{ColumnPass, PaddedRows};
use super::filter::{Filter, HALF};
use super::rows::append_row;
use crate::rgb_image::RgbImage;

/// Resizes to `size` = height, width.
pub fn resize(image: &RgbImage, size: [usize; 2]) -> RgbImage {
    let [height, width] = size;
    let pixels = Resizer::default().rows(image, size, 0..height).to_vec();
    RgbImage { width, height, pixels }
}

/// What one resize leaves for the next: weights (the same as long as the sizes are) and buffers.
#[derive(Debug, Default)]
pub struct Resizer {
    columns: ColumnPass,
    rows: Filter,
    narrowed: PaddedRows,
    sums: Vec<i32>,
    resized: Vec<u8>,
}

impl Resizer {
    /// Resizes to `size` = height, width and returns the bytes of the rows `wanted`; what they do
    /// not need is not computed.
    pub(super) fn rows(
        &mut self,
        image: &RgbImage,
        size: [usize; 2],
        wanted: Range<usize>,
    ) -> &[u8] {
        let [height, width] = size;
        self.rows.set(image.height, height);
        self.resized.clear();
        if wanted.is_empty() {
            return &self.resized;
        }
        let last = wanted.end - 1;
        let needed = self.rows.at(wanted.start).0..self.rows.at(last).0 + self.rows.taps();
        self.sums.resize(width * 3, HALF);
        // Where the width stays, the pass over the columns would change nothing.
        let (source, stride, offset) = if width == image.width {
            (&image.pixels, width * 3, 0)
        } else {
            self.columns.run(image, needed.clone(), width, &mut self.narrowed);
            (&self.narrowed.bytes, self.narrowed.stride, needed.start)
        };
        let row = |y: usize| &source[(y - offset) * stride..][..width * 3];
        for y in wanted {
            append_row(&self.rows, y, row, &mut self.sums, &mut self.resized);
        }
        &self.resized
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::definition::{self, grey, picture};

    #[test]
    fn halving_weighs_the_neighbours_too() {
        // scale 2, support 2, centre of the first output at 1: taps 0.5, 1.5, 2.5 from it at -0.5,
        // .5, 1.5, triangle weights .75 .75 .25 over 1.75: (75·0 + 75·70 + 25·140) / 175 = 50
        assert_eq!(resize(&grey(4, &[0, 70, 140, 210]), [1, 2]), grey(2, &[50, 160]));
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let image = grey(2, &[1, 2, 3, 4]);
        assert_eq!(resize(&image, [2, 2]), image);
    }

    #[test]
    fn a_size_without_pixels_gives_none() {
        assert_eq!(resize(&grey(2, &[1, 2]), [0, 3]), RgbImage::black(3, 0));
        assert_eq!(resize(&RgbImage::black(0, 2), [1, 1]), RgbImage::black(1, 1));
    }

    fn within_one_level(a: &RgbImage, b: &RgbImage) -> bool {
        let near = a.pixels.iter().zip(&b.pixels).all(|(a, b)| a.abs_diff(*b) <= 1);
        near && (a.width, a.height) == (b.width, b.height)
    }

    proptest! {
        // Pass by pass: where both passes meet exact halves, their roundings add up to two levels.
        #[test]
        fn each_pass_agrees_with_real_numbers_within_one_level(
            image in picture(24), height in 1_usize..40, width in 1_usize..40,
        ) {
            let narrow = resize(&image, [image.height, width]);
            prop_assert!(within_one_level(&narrow, &definition::real_columns(&image, width)));
            let both = resize(&image, [height, width]);
            prop_assert!(within_one_level(&both, &definition::real_rows(&narrow, height)));
        }

        #[test]
        fn the_passes_agree_with_the_definition_exactly(
            images in proptest::collection::vec(picture(70), 1..4),
            height in 1_usize..90, width in 1_usize..90, top in 0_usize..90, count in 0_usize..90,
        ) {
            let mut resizer = Resizer::default(); // used again, for pictures of other sizes
            for image in images {
                let wanted = definition::resize(&image, [height, width]);
                let rows = top.min(height)..(top + count).min(height);
                let rows = rows.start..rows.end.max(rows.start);
                let bytes = rows.start * width * 3..rows.end * width * 3;
                let ours = resizer.rows(&image, [height, width], rows);
                prop_assert_eq!(ours, &wanted.pixels[bytes]);
            }
        }
    }

    #[test]
    fn photographs_agree_with_the_definition_exactly() {
        for (width, height) in [(64, 128), (640, 480), (1000, 750), (1, 300), (501, 3)] {
            let value = |i: usize| (i * i / 7 + i * 31) as u8;
            let pixels = (0..width * height * 3).map(value).collect();
            let image = RgbImage { width, height, pixels };
            for size in [[256, 128], [224, 224]] {
                assert!(resize(&image, size) == definition::resize(&image, size), "{width}");
            }
        }
    }
}
