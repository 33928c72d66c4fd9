//! Random erasing (Zhong et al., 2017, arXiv 1708.04896), as the reference does it.
//!
//! The fill is written *after* normalisation, although its values are the mean before it: the
//! reference's way, so an erased pixel is not the mean colour but about 0.45 standard deviations
//! above it.

use rand::{Rng, RngExt as _};

/// Tries before a picture stays as it is.
const MAX_TRIES: usize = 100;
/// Share of the picture's area that is erased.
const AREA: std::ops::Range<f64> = 0.02..0.4;
/// Height over width of the erased rectangle.
const ASPECT: std::ops::Range<f64> = 0.3..1.0 / 0.3;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Draws the rectangle to erase from a picture of `size` (height, width), up to 100 tries; `None`
/// when none fits.
pub fn choose_rectangle(size: [usize; 2], rng: &mut impl Rng) -> Option<Rectangle> {
    let [height, width] = (0..MAX_TRIES)
        .find_map(|_| erased_size(size, rng.random_range(AREA), rng.random_range(ASPECT)))?;
    let top = rng.random_range(0..=size[0] - height);
    let left = rng.random_range(0..=size[1] - width);
    Some(Rectangle { top, left, height, width })
}

/// Height and width of a rectangle with this share of the picture's area and this aspect (height
/// over width), rounded half to even; `None` when it is not smaller than the picture both ways.
pub fn erased_size(size: [usize; 2], area_share: f64, aspect: f64) -> Option<[usize; 2]> {
    let area = area_share * (size[0] * size[1]) as f64;
    let height = (area * aspect).sqrt().round_ties_even() as usize;
    let width = (area / aspect).sqrt().round_ties_even() as usize;
    (height < size[0] && width < size[1]).then_some([height, width])
}

/// Writes `fill` (one value per channel) into the rectangle.
///
/// # Shapes
/// `planes`: `[3, height, width]` with `size` = height, width.
///
/// # Panics
/// When the rectangle leaves the picture.
pub fn erase(planes: &mut [f32], size: [usize; 2], rectangle: Rectangle, fill: [f32; 3]) {
    let Rectangle { top, left, height, width } = rectangle;
    for (plane, value) in planes.chunks_exact_mut(size[0] * size[1]).zip(fill) {
        for row in plane.chunks_exact_mut(size[1]).skip(top).take(height) {
            row[left..left + width].fill(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn sizes_round_half_to_even_and_must_be_smaller_than_the_picture() {
        // area 0.0625 · 100 = 6.25, square: 2.5 rounds to 2
        assert_eq!(erased_size([10, 10], 0.0625, 1.0), Some([2, 2]));
        // area 0.4 · 200 = 80, aspect 0.2: 4 × 20, as wide as the picture
        assert_eq!(erased_size([10, 20], 0.4, 0.2), None);
    }

    #[test]
    fn only_the_rectangle_changes() {
        let mut planes = vec![0.0; 3 * 2 * 3];
        let rectangle = Rectangle { top: 1, left: 1, height: 1, width: 2 };
        erase(&mut planes, [2, 3], rectangle, [1.0, 2.0, 3.0]);
        let plane = |value| [0.0, 0.0, 0.0, 0.0, value, value];
        assert_eq!(planes, [plane(1.0), plane(2.0), plane(3.0)].concat());
    }

    proptest! {
        #[test]
        fn chosen_rectangles_lie_inside(height in 1_usize..40, width in 1_usize..40, seed: u64) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            if let Some(r) = choose_rectangle([height, width], &mut rng) {
                prop_assert!(r.height < height && r.top + r.height <= height);
                prop_assert!(r.width < width && r.left + r.width <= width);
            }
        }
    }
}
