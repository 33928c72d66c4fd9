//! Is the file there to its end? Decoders stop at the last pixel they can make up; these checks
//! walk the containers instead.
//!
//! Known limit: a JPEG that some tool cut and then closed with an end mark passes, as it does in the
//! reference.

use image::ImageFormat;

/// Whether the container is closed as its format asks. Formats without an end mark answer `true`:
/// their decoders fail on missing bytes by themselves.
pub(super) fn is_complete(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg_has_end(bytes).unwrap_or(false),
        ImageFormat::Png => png_has_end(bytes).unwrap_or(false),
        ImageFormat::WebP => webp_has_length(bytes).unwrap_or(false),
        _ => true,
    }
}

/// Walks segments and scans to the end-of-image marker (ITU T.81, annex B). A search for its two
/// bytes would not do: embedded thumbnails have one as well.
fn jpeg_has_end(bytes: &[u8]) -> Option<bool> {
    let mut at = 2; // behind the start-of-image marker
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        at += bytes.get(at..)?.iter().position(|&byte| byte != 0xFF)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            0xD9 => return Some(true),
            // A stuffed zero and restart marks belong to the scan; 01 and D8 have no length either.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ => at += usize::from(be16(bytes, at)?),
        }
    }
}

/// Walks the chunks to a whole `IEND` (PNG specification, section 5.3).
fn png_has_end(bytes: &[u8]) -> Option<bool> {
    let mut at = 8; // behind the signature
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let kind = bytes.get(at + 4..at + 8)?;
        let end = at.checked_add(length)?.checked_add(12)?;
        if kind == b"IEND" {
            return Some(end <= bytes.len());
        }
        at = end;
    }
}

/// The RIFF header tells the length of the rest.
fn webp_has_length(bytes: &[u8]) -> Option<bool> {
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    Some(bytes.len() >= length.checked_add(8)?)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_mark_of_a_thumbnail_is_not_the_end() {
        // SOI, APP1 of length 6 holding a whole "thumbnail" FFD8 FFD9, then nothing.
        let cut = [0xFF, 0xD8, 0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9];
        assert!(!is_complete(&cut, ImageFormat::Jpeg));
        let whole = [&cut[..], &[0xFF, 0xFF, 0xD9]].concat(); // a fill byte before the marker
        assert!(is_complete(&whole, ImageFormat::Jpeg));
    }

    #[test]
    fn a_png_needs_its_last_chunk_with_its_checksum() {
        let whole =
            [&b"\x89PNG\r\n\x1a\n"[..], &[0, 0, 0, 0], b"IEND", &[0xAE, 0x42, 0x60, 0x82]].concat();
        assert!(is_complete(&whole, ImageFormat::Png));
        for len in 0..whole.len() {
            assert!(!is_complete(&whole[..len], ImageFormat::Png), "cut to {len}");
        }
    }
}
