use std::fs;

use centroids_data::{DEFAULT_MAX_PIXELS, Error, RgbImage, decode_bytes, decode_file};
use image::{DynamicImage, ImageFormat};

use crate::support::{assert_says, encode, golden, picture};

fn decode(bytes: &[u8]) -> Result<RgbImage, Error> {
    decode_bytes(bytes, "folder/some.file", DEFAULT_MAX_PIXELS)
}

/// Cut at any place, a file is an error that names it, or (where only closing bytes are missing)
/// the whole picture; never another one.
fn assert_cuts_are_noticed(bytes: &[u8], what: &str) {
    let whole = decode(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    let step = (bytes.len() / 4000).max(1);
    for len in (0..bytes.len()).rev().step_by(step) {
        match decode(&bytes[..len]) {
            Ok(cut) => {
                assert!(cut == whole, "{what}: cut to {len} of {} bytes unnoticed", bytes.len())
            }
            Err(error) => assert_says(&error, &["folder/some.file"]),
        }
    }
}

/// The formats with an end mark or a length are errors however little is missing.
fn assert_every_cut_is_an_error(bytes: &[u8], what: &str) {
    assert_cuts_are_noticed(bytes, what);
    for len in bytes.len().saturating_sub(16)..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "{what}: {len} of {} bytes", bytes.len());
    }
}

#[test]
fn cut_files_are_errors_in_every_format() {
    let whole = picture(37, 29, 1);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        assert_every_cut_is_an_error(&encode(&whole, format), &format!("{format:?}"));
    }
    for format in [ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm] {
        let bytes = encode(&whole, format);
        assert_eq!(decode(&bytes).unwrap(), whole, "{format:?}");
        assert_cuts_are_noticed(&bytes, &format!("{format:?}"));
    }
}

#[test]
fn cut_greymaps_and_bitmaps_are_errors() {
    let samples = picture(24, 16, 2).pixels;
    for (header, length) in [("P5 24 16 255\n", 24 * 16), ("P4 24 16\n", 3 * 16)] {
        assert_cuts_are_noticed(&[header.as_bytes(), &samples[..length]].concat(), header);
    }
}

#[test]
fn cut_golden_pictures_are_errors() {
    let Some(folder) = golden("transforms") else {
        return;
    };
    for entry in fs::read_dir(folder.join("images")).unwrap() {
        let path = entry.unwrap().path();
        assert_every_cut_is_an_error(&fs::read(&path).unwrap(), &path.display().to_string());
    }
}

#[test]
fn colours_become_rgb_as_the_reference_makes_them() {
    let png = |image: DynamicImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        decode(bytes.get_ref()).unwrap().pixels
    };
    let grey = image::GrayImage::from_raw(2, 1, vec![7, 250]).unwrap();
    assert_eq!(png(grey.into()), [7, 7, 7, 250, 250, 250]);
    let clear = image::RgbaImage::from_raw(1, 1, vec![9, 8, 7, 0]).unwrap();
    assert_eq!(png(clear.into()), [9, 8, 7], "alpha is dropped, not blended");
    let deep = image::ImageBuffer::from_raw(1, 1, vec![0x01FF_u16, 0x8000, 0xFFFF]).unwrap();
    assert_eq!(png(DynamicImage::ImageRgb16(deep)), [1, 128, 255], "the high byte is kept");
}

#[test]
fn the_content_decides_and_not_the_extension() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("photo.jpg");
    fs::write(&path, encode(&picture(5, 4, 0), ImageFormat::Bmp)).unwrap();
    assert_eq!(decode_file(&path, DEFAULT_MAX_PIXELS).unwrap(), picture(5, 4, 0));
}

#[test]
fn what_is_no_picture_is_named() {
    assert_says(&decode(b"").unwrap_err(), &["folder/some.file", "empty"]);
    assert_says(&decode(b"GIF89a, but not read here").unwrap_err(), &["not a JPEG, PNG"]);
    assert_says(&decode(b"hello").unwrap_err(), &["not a JPEG, PNG"]);
    let missing = decode_file("no/such.jpg".as_ref(), DEFAULT_MAX_PIXELS).unwrap_err();
    assert_says(&missing, &["no/such.jpg", "does not exist"]);
}

/// Files whose header promises 60,000 × 60,000 pixels.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let side = 60_000_u16;
    let mut jpeg = encode(&picture(16, 16, 0), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|bytes| bytes == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    let mut bmp = encode(&picture(16, 16, 0), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&u32::from(side).to_le_bytes());
    bmp[22..26].copy_from_slice(&u32::from(side).to_le_bytes());
    vec![("JPEG", jpeg), ("BMP", bmp), ("PPM", b"P6 60000 60000 255\n...".to_vec())]
}

#[test]
fn the_header_is_checked_before_pixels_are_allocated() {
    for (format, bomb) in bombs() {
        let error = decode(&bomb).unwrap_err();
        let Error::TooManyPixels { width, height, limit, .. } = error else {
            panic!("{format}: {error}")
        };
        assert_eq!((width, height, limit), (60_000, 60_000, DEFAULT_MAX_PIXELS), "{format}");
    }
}

#[test]
fn the_limit_counts_pixels_exactly() {
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Tiff,
    ] {
        let bytes = encode(&picture(10, 7, 0), format);
        assert!(decode_bytes(&bytes, "x", 70).is_ok(), "{format:?}");
        assert_says(&decode_bytes(&bytes, "x", 69).unwrap_err(), &["`x`", "10×7", "limit of 69"]);
    }
}

#[test]
fn damaged_scans_are_errors_or_pictures_but_no_panics() {
    let bytes = encode(&picture(40, 40, 3), ImageFormat::Jpeg);
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        let _ = decode(&damaged);
    }
}
