//! Small pictures for pages.

use std::path::Path;

use crate::decode::{DEFAULT_MAX_PIXELS, decode_file};
use crate::error::Error;
use crate::prepare::picture::{thumbnail_size, to_jpeg};
use crate::rgb_image::RgbImage;
use crate::transform::resize::resize;

/// The bytes of a JPEG file that shows a picture, shrunk to fit into a square of `side` pixels (at
/// least 1); a smaller picture keeps its size.
///
/// # Errors
/// As [`decode_file`].
pub fn thumbnail(path: &Path, side: u32) -> Result<Vec<u8>, Error> {
    let small = shrink(&decode_file(path, DEFAULT_MAX_PIXELS)?, side);
    to_jpeg(&small).map_err(|problem| Error::decode(&path.display().to_string(), problem))
}

/// The picture, shrunk to fit into a square of `side` pixels (at least 1); a smaller one as it is.
pub fn shrink(picture: &RgbImage, side: u32) -> RgbImage {
    let size = [picture.width as u32, picture.height as u32];
    let [width, height] = thumbnail_size(size, [side.max(1); 2]);
    resize(picture, [height as usize, width as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode_bytes;

    #[test]
    fn a_picture_is_shrunk_to_its_longer_side_and_never_enlarged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blue.png");
        image::RgbImage::from_pixel(40, 20, image::Rgb([0, 0, 255])).save(&path).unwrap();
        for (side, size) in [(10, [10, 5]), (40, [40, 20]), (99, [40, 20]), (0, [1, 1])] {
            let jpeg = thumbnail(&path, side).unwrap();
            let picture = decode_bytes(&jpeg, "thumbnail", DEFAULT_MAX_PIXELS).unwrap();
            assert_eq!([picture.width, picture.height], size);
            assert!(picture.pixels[2] > 240 && picture.pixels[0] < 16);
        }
        let error = thumbnail(&folder.path().join("gone.png"), 10).unwrap_err().to_string();
        assert!(error.contains("gone.png"), "{error}");
    }
}
