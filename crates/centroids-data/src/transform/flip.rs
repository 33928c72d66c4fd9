//! Horizontal flip.

use crate::rgb_image::RgbImage;

/// Mirrors the picture left to right, in place.
pub fn flip_horizontally(image: &mut RgbImage) {
    for row in image.pixels.chunks_exact_mut(image.width * 3) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_change_sides_and_channels_stay() {
        let mut image = RgbImage { width: 2, height: 2, pixels: (1..=12).collect() };
        flip_horizontally(&mut image);
        assert_eq!(image.pixels, [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }
}
