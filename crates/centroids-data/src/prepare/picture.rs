//! From a decoded picture to the JPEG of a part of it.

use std::path::Path;

use centroids_core::write_atomically;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageEncoder as _, ImageReader, Rgb};

use super::boxes::PixelBox;
use crate::error::Error;
use crate::rgb_image::RgbImage;

/// Pillow's default.
const QUALITY: u8 = 75;
const WHITE: Rgb<u8> = Rgb([255; 3]);

/// Width and height by the header alone.
///
/// # Errors
/// When the file is missing or its header is not that of a picture.
pub(super) fn measure(path: &Path) -> Result<[u32; 2], Error> {
    let io = |source| Error::io(path, source);
    let reader = ImageReader::open(path).map_err(io)?.with_guessed_format().map_err(io)?;
    let broken = |error| Error::decode(&path.display().to_string(), format!("{error}"));
    reader.into_dimensions().map(|(width, height)| [width, height]).map_err(broken)
}

/// The part `window` of a picture, shrunk to fit into `size` = width, height (never enlarged), in
/// the middle of a white picture of that size.
///
/// # Panics
/// When the window reaches beyond the picture.
pub(super) fn on_white(picture: RgbImage, window: PixelBox, size: [u32; 2]) -> RgbImage {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let picture = image::RgbImage::from_raw(width, height, picture.pixels)
        .expect("a decoded picture has three bytes per pixel");
    let PixelBox { left, top, width, height } = window;
    let part = imageops::crop_imm(&picture, left, top, width, height);
    let [inner_width, inner_height] = thumbnail_size([width, height], size);
    // The same size gives the same pixels.
    let part = imageops::resize(&*part, inner_width, inner_height, FilterType::Lanczos3);
    let [width, height] = size;
    let mut canvas = image::RgbImage::from_pixel(width, height, WHITE);
    let margin = |outer: u32, inner: u32| i64::from((outer - inner) / 2);
    imageops::replace(&mut canvas, &part, margin(width, inner_width), margin(height, inner_height));
    RgbImage { width: width as usize, height: height as usize, pixels: canvas.into_raw() }
}

/// The size of Pillow's `thumbnail`: as large as fits, the aspect kept as well as whole pixels can.
pub(crate) fn thumbnail_size(
    [width, height]: [u32; 2],
    [max_width, max_height]: [u32; 2],
) -> [u32; 2] {
    if width <= max_width && height <= max_height {
        return [width, height];
    }
    let aspect = f64::from(width) / f64::from(height);
    // Of the two whole numbers around a side, the one whose aspect is nearer; the lower one of two
    // as near.
    let rounded = |side: f64, error: &dyn Fn(f64) -> f64| {
        let nearer =
            if error(side.ceil()) < error(side.floor()) { side.ceil() } else { side.floor() };
        nearer.max(1.0) as u32
    };
    let [fit_width, fit_height] = [max_width, max_height].map(f64::from);
    if fit_width / fit_height >= aspect {
        [rounded(fit_height * aspect, &|side| (aspect - side / fit_height).abs()), max_height]
    } else {
        let error = |side: f64| if side == 0.0 { 0.0 } else { (aspect - fit_width / side).abs() };
        [max_width, rounded(fit_width / aspect, &error)]
    }
}

/// The bytes of a JPEG file.
///
/// # Errors
/// The encoder's reason: a side of more than 65,535 pixels.
pub(crate) fn to_jpeg(picture: &RgbImage) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (width, height) = (picture.width as u32, picture.height as u32);
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Writes a whole file or none.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_atomically(path, |file| file.write_all(bytes))
        .map_err(|source| Error::Io { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_have_the_sizes_of_pillow() {
        // PIL.Image.new("RGB", size).thumbnail((320, 320)), and on the last lines (10, 256).
        let cases = [
            ([640, 480], [320, 320], [320, 240]),
            ([480, 640], [320, 320], [240, 320]),
            ([100, 50], [320, 320], [100, 50]),
            ([321, 1], [320, 320], [320, 1]),
            ([1000, 3], [320, 320], [320, 1]),
            ([3, 1000], [320, 320], [1, 320]),
            // 320 / (1000 / 333) = 106.56: 1000/333 is nearer to 320/107 than to 320/106.
            ([1000, 333], [320, 320], [320, 107]),
            ([100, 30], [10, 256], [10, 3]),
            ([128, 256], [10, 256], [10, 20]),
        ];
        for (size, limit, wanted) in cases {
            assert_eq!(thumbnail_size(size, limit), wanted, "{size:?} into {limit:?}");
        }
    }

    #[test]
    fn a_window_is_cut_out_exactly_and_lies_in_the_middle() {
        // 4×3 pixels, numbered; the window holds 5 and 6.
        let pixels = (0..12).flat_map(|n| [n; 3]).collect();
        let picture = RgbImage { width: 4, height: 3, pixels };
        let window = PixelBox { left: 1, top: 1, width: 2, height: 1 };
        let canvas = on_white(picture, window, [5, 3]);
        let reds: Vec<u8> = canvas.pixels.iter().step_by(3).copied().collect();
        let white = 255;
        // (5 − 2) / 2 = 1 column before it.
        let middle = [white, 5, 6, white, white];
        assert_eq!(reds, [[white; 5], middle, [white; 5]].concat());
    }

    #[test]
    fn a_large_window_is_shrunk_and_a_flat_colour_stays_what_it_is() {
        let pixels = [[200, 10, 30]; 40 * 20].concat();
        let picture = RgbImage { width: 40, height: 20, pixels };
        let window = PixelBox { left: 0, top: 0, width: 40, height: 20 };
        let canvas = on_white(picture, window, [10, 10]);
        let row = |y: usize| canvas.row(y)[..3].to_vec();
        // 10×5, below (10 − 5) / 2 = 2 white rows and above 3.
        let colours: Vec<Vec<u8>> = (0..10).map(row).collect();
        let (white, red) = (vec![255; 3], vec![200, 10, 30]);
        assert_eq!(colours, [vec![white.clone(); 2], vec![red; 5], vec![white; 3]].concat());
    }
}
