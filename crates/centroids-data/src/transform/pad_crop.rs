//! Zero padding and crop in one step.

use crate::rgb_image::RgbImage;

/// Cuts a window of the picture's own size out of the picture padded with `padding` black pixels on
/// each side; the window's corner is `top`, `left` in the padded picture.
///
/// # Panics
/// When the window leaves the padded picture: `top` and `left` go up to `2 × padding`.
pub fn pad_crop(image: &RgbImage, padding: usize, top: usize, left: usize) -> RgbImage {
    assert!(top.max(left) <= 2 * padding, "crop at {top}, {left} outside a padding of {padding}");
    let mut cropped = RgbImage::black(image.width, image.height);
    let rows = cropped.pixels.chunks_exact_mut((image.width * 3).max(1));
    for (y, target) in rows.enumerate() {
        let source = (y + top).checked_sub(padding).filter(|&source| source < image.height);
        if let Some(source) = source {
            copy_shifted(image.row(source), target, left * 3, padding * 3);
        }
    }
    cropped
}

/// `target[i] = source[i + left − padding]` wherever the source has that index.
fn copy_shifted(source: &[u8], target: &mut [u8], left: usize, padding: usize) {
    let overlap = source.len().saturating_sub(left.abs_diff(padding));
    let skipped = source.len() - overlap;
    if left >= padding {
        target[..overlap].copy_from_slice(&source[skipped..]);
    } else {
        target[skipped..].copy_from_slice(&source[..overlap]);
    }
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
    fn the_middle_is_the_picture_and_the_corners_show_the_padding() {
        let image = grey(2, &[1, 2, 3, 4]);
        assert_eq!(pad_crop(&image, 1, 1, 1), image);
        assert_eq!(pad_crop(&image, 1, 0, 0), grey(2, &[0, 0, 0, 1]));
        assert_eq!(pad_crop(&image, 1, 2, 1), grey(2, &[3, 4, 0, 0]));
        assert_eq!(pad_crop(&image, 9, 0, 18), grey(2, &[0, 0, 0, 0]));
    }

    /// Builds the padded picture and then cuts the window out of it.
    fn slow_pad_crop(image: &RgbImage, padding: usize, top: usize, left: usize) -> RgbImage {
        let mut padded = RgbImage::black(image.width + 2 * padding, image.height + 2 * padding);
        for y in 0..image.height {
            let start = ((y + padding) * padded.width + padding) * 3;
            padded.pixels[start..start + image.width * 3].copy_from_slice(image.row(y));
        }
        let rows = (top..top + image.height).map(|y| &padded.row(y)[left * 3..][..image.width * 3]);
        RgbImage { pixels: rows.collect::<Vec<_>>().concat(), ..*image }
    }

    proptest! {
        #[test]
        fn agrees_with_padding_first(
            width in 1_usize..6, height in 1_usize..6,
            padding in 0_usize..9, top in 0_usize..19, left in 0_usize..19,
        ) {
            let values: Vec<u8> = (1..=(width * height) as u8).collect();
            let (top, left) = (top.min(2 * padding), left.min(2 * padding));
            let image = grey(width, &values);
            let wanted = slow_pad_crop(&image, padding, top, left);
            prop_assert_eq!(pad_crop(&image, padding, top, left), wanted);
        }
    }
}
