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
use crate::image_bytes::{Files, ImageBytes};
use crate::rgb_image::RgbImage;

/// The usual limit: 100 megapixels, 300 MB once decoded.
pub const DEFAULT_MAX_PIXELS: u64 = 100_000_000;

/// Decoders may use this much beside the pixels (tables, metadata).
const EXTRA_ALLOC: u64 = 64 << 20;

/// Buffers above this many bytes are given back before the next picture.
const KEPT_BYTES: usize = 64 << 20;

/// Reads and decodes one file.
///
/// # Errors
/// When the file cannot be read, is no JPEG, PNG, BMP, WebP, TIFF or PNM picture, is cut off or
/// corrupt, or announces more than `max_pixels` pixels (found before anything is allocated for
/// them).
pub fn decode_file(path: &Path, max_pixels: u64) -> Result<RgbImage, Error> {
    let mut decoder = ImageDecoder::default();
    decoder.decode(path, &Files, max_pixels)?;
    Ok(decoder.image)
}

/// Decodes the content of a file; `name` appears in errors.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_bytes(bytes: &[u8], name: &str, max_pixels: u64) -> Result<RgbImage, Error> {
    let mut image = RgbImage::default();
    decode_into(bytes, &PixelLimit { name, max_pixels }, &mut image)?;
    Ok(image)
}

/// [`decode_file`] for many images from any source: bytes and pixels go to the same memory each time.
#[derive(Debug, Default)]
pub(crate) struct ImageDecoder {
    bytes: Vec<u8>,
    image: RgbImage,
}

impl ImageDecoder {
    /// # Errors
    /// As [`decode_file`].
    pub(crate) fn decode(
        &mut self,
        path: &Path,
        source: &dyn ImageBytes,
        max_pixels: u64,
    ) -> Result<&RgbImage, Error> {
        for buffer in [&mut self.bytes, &mut self.image.pixels] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        source.read(path, &mut self.bytes)?;
        let limit = PixelLimit { name: &path.display().to_string(), max_pixels };
        decode_into(&self.bytes, &limit, &mut self.image)?;
        Ok(&self.image)
    }
}

fn decode_into(bytes: &[u8], limit: &PixelLimit<'_>, image: &mut RgbImage) -> Result<(), Error> {
    let format = format_of(bytes).ok_or_else(|| Error::decode(limit.name, not_an_image(bytes)))?;
    if !completeness::is_complete(bytes, format) {
        return Err(Error::decode(limit.name, "the file is cut off: copy or download it again"));
    }
    match format {
        ImageFormat::Jpeg => decode_jpeg(bytes, limit, image),
        _ => decode_other(bytes, format, limit).map(|decoded| *image = decoded),
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
fn decode_jpeg(bytes: &[u8], limit: &PixelLimit<'_>, image: &mut RgbImage) -> Result<(), Error> {
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
    let size = decoder.output_buffer_size().unwrap_or(0);
    check_size(width, height, size, limit.name)?;
    (image.width, image.height) = (width, height);
    // Black, not the last picture, should the decoder leave something out.
    image.pixels.clear();
    image.pixels.resize(size, 0);
    decoder.decode_into(&mut image.pixels).map_err(broken)
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
    let (width, height) = (width as usize, height as usize);
    check_size(width, height, pixels.len(), limit.name)?;
    Ok(RgbImage { width, height, pixels })
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

fn check_size(width: usize, height: usize, bytes: usize, name: &str) -> Result<(), Error> {
    match bytes == width * height * 3 {
        true => Ok(()),
        false => Err(Error::decode(name, format!("{bytes} bytes of pixels for {width}×{height}"))),
    }
}
