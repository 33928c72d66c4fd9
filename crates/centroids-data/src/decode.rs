//! Bytes of an image file → [`RgbImage`], or an error that names the file.
//!
//! The content decides on the format, not the extension. The EXIF orientation is ignored, alpha is
//! dropped (not blended), grey is replicated, palettes are expanded and of 16-bit samples the high
//! byte is kept, all as the reference's `Image.open(path).convert("RGB")` does. Where that returns
//! a half-grey picture for a file that was cut off, this returns an error.

mod completeness;

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::Error;
use crate::rgb_image::RgbImage;

/// The usual limit: 100 megapixels, 300 MB once decoded.
pub const DEFAULT_MAX_PIXELS: u64 = 100_000_000;

/// Decoders may use this much beside the pixels (tables, metadata).
const EXTRA_ALLOC: u64 = 64 << 20;

/// Reads and decodes one file.
///
/// # Errors
/// When the file cannot be read, is no JPEG, PNG, BMP, WebP, TIFF or PNM picture, is cut off or
/// corrupt, or announces more than `max_pixels` pixels (found before anything is allocated for
/// them).
pub fn decode_file(path: &Path, max_pixels: u64) -> Result<RgbImage, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    decode_bytes(&bytes, &path.display().to_string(), max_pixels)
}

/// Decodes the content of a file; `name` appears in errors.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_bytes(bytes: &[u8], name: &str, max_pixels: u64) -> Result<RgbImage, Error> {
    let format = format_of(bytes).ok_or_else(|| Error::decode(name, not_an_image(bytes)))?;
    if !completeness::is_complete(bytes, format) {
        return Err(Error::decode(name, "the file is cut off: copy or download it again"));
    }
    let limit = PixelLimit { name, max_pixels };
    match format {
        ImageFormat::Jpeg => decode_jpeg(bytes, &limit),
        _ => decode_other(bytes, format, &limit),
    }
}

/// The format by the first bytes, where it is one that can be decoded here.
pub(crate) fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    image::guess_format(bytes).ok().filter(ImageFormat::reading_enabled)
}

fn not_an_image(bytes: &[u8]) -> &'static str {
    match bytes.is_empty() {
        true => "the file is empty: copy or download it again",
        false => "not a JPEG, PNG, BMP, WebP, TIFF or PPM/PGM/PBM picture: convert it or remove it",
    }
}

/// The pixel limit and the name to complain about.
struct PixelLimit<'a> {
    name: &'a str,
    max_pixels: u64,
}

impl PixelLimit<'_> {
    fn check(&self, width: u64, height: u64) -> Result<(), Error> {
        if width == 0 || height == 0 {
            return Err(Error::decode(self.name, "the picture has no pixels"));
        }
        match width.checked_mul(height) {
            Some(pixels) if pixels <= self.max_pixels => Ok(()),
            _ => Err(Error::TooManyPixels {
                name: self.name.into(),
                width,
                height,
                limit: self.max_pixels,
            }),
        }
    }
}

/// JPEG goes to its decoder directly, because only strict mode refuses damaged scans.
fn decode_jpeg(bytes: &[u8], limit: &PixelLimit<'_>) -> Result<RgbImage, Error> {
    let broken = |error| Error::decode(limit.name, format!("broken JPEG: {error:?}"));
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    limit.check(width as u64, height as u64)?;
    let pixels = decoder.decode().map_err(broken)?;
    checked(width, height, pixels, limit.name)
}

fn decode_other(
    bytes: &[u8],
    format: ImageFormat,
    limit: &PixelLimit<'_>,
) -> Result<RgbImage, Error> {
    let broken = |error: ImageError| Error::decode(limit.name, format!("broken picture: {error}"));
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(limit.max_pixels.saturating_mul(8).saturating_add(EXTRA_ALLOC));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    limit.check(u64::from(width), u64::from(height))?;
    let pixels = to_rgb8(DynamicImage::from_decoder(decoder).map_err(broken)?);
    checked(width as usize, height as usize, pixels, limit.name)
}

fn to_rgb8(image: DynamicImage) -> Vec<u8> {
    match image {
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => {
            image.into_rgb16().into_raw().iter().map(|sample| (sample >> 8) as u8).collect()
        }
        _ => image.into_rgb8().into_raw(),
    }
}

fn checked(width: usize, height: usize, pixels: Vec<u8>, name: &str) -> Result<RgbImage, Error> {
    if pixels.len() != width * height * 3 {
        return Err(Error::decode(
            name,
            format!("{} bytes of pixels for {width}×{height}", pixels.len()),
        ));
    }
    Ok(RgbImage { width, height, pixels })
}
