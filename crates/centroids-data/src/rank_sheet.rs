//! Search results as a picture: a row per query, framed in black, its hits framed green (the same
//! identity) or red.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use centroids_core::write_atomically;
use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

use crate::decode::{DEFAULT_MAX_PIXELS, decode_file};
use crate::error::Error;
use crate::rgb_image::RgbImage;
use crate::transform::resize::resize;

/// Width of a frame and of the gaps, in pixels.
const FRAME: usize = 4;
const GAP: usize = 6;

const PAPER: [u8; 3] = [255, 255, 255];
const QUERY: [u8; 3] = [0, 0, 0];
const RIGHT: [u8; 3] = [20, 160, 60];
const WRONG: [u8; 3] = [210, 40, 40];

/// One query and what was found, nearest first.
#[derive(Debug, Clone)]
pub struct RankRow {
    /// The query picture.
    pub query: PathBuf,
    /// A picture per hit, and whether it shows the query's identity.
    pub hits: Vec<(PathBuf, bool)>,
}

/// Writes the rows as a PNG file; every picture is shown at `size` = height, width.
///
/// # Errors
/// A picture that cannot be read, or a file that cannot be written.
pub fn write_rank_sheet(rows: &[RankRow], size: [usize; 2], out: &Path) -> Result<(), Error> {
    let columns = 1 + rows.iter().map(|row| row.hits.len()).max().unwrap_or(0);
    let [height, width] = size.map(|side| side + 2 * FRAME + GAP);
    // The query stands apart from its hits by one gap more.
    let mut sheet = RgbImage::black(columns * width + 2 * GAP, rows.len() * height + GAP);
    fill(&mut sheet, [0, 0], None, PAPER);
    for (y, row) in rows.iter().enumerate() {
        let top = GAP + y * height;
        place(&mut sheet, &row.query, size, [top, GAP], QUERY)?;
        for (x, (path, same)) in row.hits.iter().enumerate() {
            let left = 2 * GAP + (x + 1) * width;
            place(&mut sheet, path, size, [top, left], if *same { RIGHT } else { WRONG })?;
        }
    }
    let mut png = Cursor::new(Vec::new());
    let (width, height) = (sheet.width as u32, sheet.height as u32);
    let io = |source| Error::Io { path: out.into(), source };
    PngEncoder::new(&mut png)
        .write_image(&sheet.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| io(std::io::Error::other(error)))?;
    write_atomically(out, |file| file.write_all(png.get_ref())).map_err(io)
}

/// Puts a framed picture on the sheet; `corner` = top, left of its frame.
fn place(
    sheet: &mut RgbImage,
    path: &Path,
    size: [usize; 2],
    corner: [usize; 2],
    frame: [u8; 3],
) -> Result<(), Error> {
    let image = resize(&decode_file(path, DEFAULT_MAX_PIXELS)?, size);
    fill(sheet, corner, Some(size.map(|side| side + 2 * FRAME)), frame);
    for y in 0..image.height {
        let start = ((corner[0] + FRAME + y) * sheet.width + corner[1] + FRAME) * 3;
        sheet.pixels[start..start + image.width * 3].copy_from_slice(image.row(y));
    }
    Ok(())
}

/// Fills a rectangle, or everything from the corner on.
fn fill(sheet: &mut RgbImage, [top, left]: [usize; 2], size: Option<[usize; 2]>, colour: [u8; 3]) {
    let [height, width] = size.unwrap_or([sheet.height - top, sheet.width - left]);
    for y in top..top + height {
        let start = (y * sheet.width + left) * 3;
        for pixel in sheet.pixels[start..start + width * 3].chunks_exact_mut(3) {
            pixel.copy_from_slice(&colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_tell_right_from_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("blue.png");
        image::RgbImage::from_pixel(5, 7, image::Rgb([0, 0, 255])).save(&picture).unwrap();
        let hits = vec![(picture.clone(), true), (picture.clone(), false)];
        let out = folder.path().join("sheet.png");
        write_rank_sheet(&[RankRow { query: picture, hits }], [10, 8], &out).unwrap();
        let sheet = decode_file(&out, DEFAULT_MAX_PIXELS).unwrap();
        let colour = |x: usize| &sheet.row(GAP + 1)[x * 3..][..3];
        let width = 8 + 2 * FRAME + GAP;
        assert_eq!(colour(GAP), QUERY);
        assert_eq!(colour(2 * GAP + width), RIGHT);
        assert_eq!(colour(2 * GAP + 2 * width), WRONG);
        assert_eq!(colour(0), PAPER);
    }
}
