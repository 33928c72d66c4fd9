//! Antialiased bilinear resize, bit for bit as Pillow (9.5 to 12) computes it on 8-bit pictures.
//!
//! A triangle filter as wide as the shrink factor (at least one pixel to each side); weights
//! normalised in f64 and rounded to 22-bit fixed point; columns first, rounded back to 8 bits, then
//! rows. A pass that changes nothing is left out. (Pillow 13 runs the rows first where they shrink
//! more, which moves some values by one.)

use crate::rgb_image::RgbImage;

/// Fraction bits of a weight: 32 bits less 8 for the pixel and 2 for head room.
const FRACTION_BITS: u32 = 22;
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Resizes to `size` = height, width.
pub fn resize(image: &RgbImage, size: [usize; 2]) -> RgbImage {
    let [height, width] = size;
    let narrowed;
    let columns_done = match width == image.width {
        true => image,
        false => {
            narrowed = resize_columns(image, width);
            &narrowed
        }
    };
    match height == columns_done.height {
        true => columns_done.clone(),
        false => resize_rows(columns_done, height),
    }
}

fn resize_columns(image: &RgbImage, width: usize) -> RgbImage {
    let filter = Filter::new(image.width, width);
    let mut resized = RgbImage::black(width, image.height);
    if width == 0 || image.width == 0 {
        return resized;
    }
    for (y, target) in resized.pixels.chunks_exact_mut(width * 3).enumerate() {
        let (source, _) = image.row(y).as_chunks::<3>();
        let (target, _) = target.as_chunks_mut::<3>();
        for (x, pixel) in target.iter_mut().enumerate() {
            let (first, weights) = filter.taps(x);
            *pixel = weighted_pixel(&source[first..], weights);
        }
    }
    resized
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

fn resize_rows(image: &RgbImage, height: usize) -> RgbImage {
    let filter = Filter::new(image.height, height);
    let mut resized = RgbImage::black(image.width, height);
    let mut sums = vec![HALF; image.width * 3];
    for (y, target) in resized.pixels.chunks_exact_mut((image.width * 3).max(1)).enumerate() {
        let (first, weights) = filter.taps(y);
        sums.fill(HALF);
        for (offset, weight) in weights.iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(image.row(first + offset)) {
                *sum += i32::from(*value) * weight;
            }
        }
        for (value, sum) in target.iter_mut().zip(&sums) {
            *value = to_byte(*sum);
        }
    }
    resized
}

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// The weights that make each output position from the input along one axis.
struct Filter {
    first: Vec<usize>,
    weights: Vec<Vec<i32>>,
}

impl Filter {
    fn new(from: usize, to: usize) -> Self {
        let (first, weights) = (0..to).map(|position| taps(position, from, to)).unzip();
        Self { first, weights }
    }

    /// First input index and the weights from there on.
    fn taps(&self, position: usize) -> (usize, &[i32]) {
        (self.first[position], &self.weights[position])
    }
}

fn taps(position: usize, from: usize, to: usize) -> (usize, Vec<i32>) {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let center = (position as f64 + 0.5) * scale;
    let first = (center - support + 0.5).max(0.0) as usize;
    let end = ((center + support + 0.5) as usize).min(from);
    // Multiplied by the reciprocal and not divided: Pillow's order, which decides on the last bit.
    let inverse_support = 1.0 / support;
    let triangle =
        |index: usize| (1.0 - ((index as f64 - center + 0.5) * inverse_support).abs()).max(0.0);
    let weights: Vec<f64> = (first..end).map(triangle).collect();
    let total: f64 = weights.iter().sum();
    let fixed = |weight: &f64| (0.5 + weight / total * f64::from(1 << FRACTION_BITS)) as i32;
    (first, weights.iter().map(fixed).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grey(width: usize, values: &[u8]) -> RgbImage {
        let pixels = values.iter().flat_map(|&v| [v; 3]).collect();
        RgbImage { width, height: values.len() / width, pixels }
    }

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

    /// Output `target` of `to` from `from` values by the definition, in f64.
    fn blend(from: usize, to: usize, target: usize, value: impl Fn(usize) -> u8) -> u8 {
        let scale = from as f64 / to as f64;
        let weight = |source: usize| {
            let distance = (source as f64 + 0.5 - (target as f64 + 0.5) * scale).abs();
            (1.0 - distance / scale.max(1.0)).max(0.0)
        };
        let sum: f64 = (0..from).map(|source| weight(source) * f64::from(value(source))).sum();
        (sum / (0..from).map(weight).sum::<f64>()).round() as u8
    }

    fn slow_columns(image: &RgbImage, width: usize) -> RgbImage {
        let mut resized = RgbImage::black(width, image.height);
        for (i, out) in resized.pixels.iter_mut().enumerate() {
            let (row, x, c) = (image.row(i / (width * 3)), i / 3 % width, i % 3);
            *out = blend(image.width, width, x, |source| row[source * 3 + c]);
        }
        resized
    }

    fn slow_rows(image: &RgbImage, height: usize) -> RgbImage {
        let mut resized = RgbImage::black(image.width, height);
        for (i, out) in resized.pixels.iter_mut().enumerate() {
            let (y, byte) = (i / (image.width * 3), i % (image.width * 3));
            *out = blend(image.height, height, y, |source| image.row(source)[byte]);
        }
        resized
    }

    fn within_one_level(a: &RgbImage, b: &RgbImage) -> bool {
        let near = a.pixels.iter().zip(&b.pixels).all(|(a, b)| a.abs_diff(*b) <= 1);
        near && (a.width, a.height) == (b.width, b.height)
    }

    fn picture() -> impl Strategy<Value = RgbImage> {
        (1_usize..24, 1_usize..24).prop_flat_map(|(width, height)| {
            proptest::collection::vec(any::<u8>(), width * height * 3)
                .prop_map(move |pixels| RgbImage { width, height, pixels })
        })
    }

    proptest! {
        // Pass by pass: where both passes meet exact halves, their roundings add up to two levels.
        #[test]
        fn each_pass_agrees_with_the_definition_within_one_level(
            image in picture(), height in 1_usize..40, width in 1_usize..40,
        ) {
            let narrow = resize(&image, [image.height, width]);
            prop_assert!(within_one_level(&narrow, &slow_columns(&image, width)));
            let both = resize(&image, [height, width]);
            prop_assert!(within_one_level(&both, &slow_rows(&narrow, height)));
        }
    }
}
