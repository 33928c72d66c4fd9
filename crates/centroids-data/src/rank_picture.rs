//! Rankings as pictures: a query framed in black, and its hits framed green (the same identity) or
//! red. The measures are those of the reference's `utils/visrank.py`.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use centroids_core::write_atomically;
use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

use crate::decode::{DEFAULT_MAX_PIXELS, decode_file};
use crate::error::Error;
use crate::rgb_image::RgbImage;
use crate::transform::resize::resize;

/// Width of a frame, in pixels; it lies inside the picture's place.
const FRAME: usize = 3;
/// Between hits, and between the query and its first hit.
const GAP: usize = 2;
const QUERY_GAP: usize = 8;
/// Around and between the rows of a sheet.
const MARGIN: usize = 6;
/// Smallest side of a picture with its frame.
const MIN_SIDE: usize = 16;

const PAPER: [u8; 3] = [255, 255, 255];
const QUERY: [u8; 3] = [0, 0, 0];
const RIGHT: [u8; 3] = [20, 160, 60];
const WRONG: [u8; 3] = [210, 40, 40];
/// In place of a picture that cannot be read.
const MISSING: [u8; 3] = [216, 216, 216];

/// A "C", a bit per pixel from the left: the hit is a class, the picture only one of its members.
const CLASS_MARK: [u8; 9] =
    [0b0000000, 0b0011100, 0b0100010, 0b0100000, 0b0100000, 0b0100000, 0b0100010, 0b0011100, 0];
const CLASS_MARK_WIDTH: usize = 7;

/// One query and what was found, nearest first.
#[derive(Debug, Clone)]
pub struct RankRow {
    /// The query picture.
    pub query: PathBuf,
    /// What was found.
    pub hits: Vec<RankHit>,
}

/// One thing that was found.
#[derive(Debug, Clone)]
pub struct RankHit {
    /// The picture shown.
    pub picture: PathBuf,
    /// Whether it is the query's identity.
    pub right: bool,
    /// Whether the hit is a class, for which the picture stands: marked by a "C" in the corner.
    pub of_class: bool,
}

/// Draws rows of pictures. Each picture is decoded once, however many rows show it, and kept no
/// longer than a row still to be drawn needs it. Rows may be drawn on several threads.
#[derive(Debug)]
pub struct RankPainter<'a> {
    size: [usize; 2],
    columns: usize,
    tiles: HashMap<&'a Path, Tile>,
    missing: Mutex<BTreeMap<PathBuf, String>>,
}

/// A picture at its final size, as long as it is needed.
#[derive(Debug, Default)]
struct Tile {
    uses_left: AtomicUsize,
    picture: Mutex<Option<Arc<RgbImage>>>,
}

impl<'a> RankPainter<'a> {
    /// A painter of exactly these rows, each to be drawn once; pictures with their frames take
    /// `size` = height, width.
    pub fn new(rows: &'a [RankRow], size: [usize; 2]) -> Self {
        let mut tiles: HashMap<&Path, Tile> = HashMap::new();
        for row in rows {
            let pictures = row.hits.iter().map(|hit| &hit.picture).chain([&row.query]);
            for picture in pictures {
                *tiles.entry(picture).or_default().uses_left.get_mut() += 1;
            }
        }
        let columns = rows.iter().map(|row| row.hits.len()).max().unwrap_or(0);
        let size = size.map(|side| side.max(MIN_SIDE));
        Self { size, columns, tiles, missing: Mutex::default() }
    }

    /// A row as a picture: H high and (k + 1)·W + 2·k + 8 wide for the k hits of the longest row.
    pub fn row(&self, row: &RankRow) -> RgbImage {
        let [height, width] = self.size;
        let k = self.columns;
        let whole = (k + 1) * width + GAP * k + QUERY_GAP;
        let mut strip = RgbImage::black(whole, height);
        fill(&mut strip, [0, 0], [height, whole], PAPER);
        self.place(&mut strip, 0, &row.query, QUERY);
        for (i, hit) in row.hits.iter().enumerate() {
            let left = (i + 1) * width + GAP * i + QUERY_GAP;
            let colour = if hit.right { RIGHT } else { WRONG };
            self.place(&mut strip, left, &hit.picture, colour);
            if hit.of_class {
                mark(&mut strip, left, (height.min(width) / 64).max(1), colour);
            }
        }
        strip
    }

    /// The pictures that could not be read, and why; they are drawn grey.
    pub fn into_missing(self) -> BTreeMap<PathBuf, String> {
        self.missing.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a framed picture into its place.
    fn place(&self, strip: &mut RgbImage, left: usize, path: &Path, frame: [u8; 3]) {
        let [height, width] = self.size;
        fill(strip, [0, left], [height, width], frame);
        let inner = self.size.map(|side| side - 2 * FRAME);
        match self.picture(path) {
            Some(picture) => paste(strip, &picture, [FRAME, left + FRAME]),
            None => fill(strip, [FRAME, left + FRAME], inner, MISSING),
        }
    }

    /// The picture at its size inside the frame. The first thread to want it decodes it, others
    /// wait; the last use drops it.
    fn picture(&self, path: &Path) -> Option<Arc<RgbImage>> {
        let tile = self.tiles.get(path)?;
        let mut kept = lock(&tile.picture);
        if kept.is_none() && !lock(&self.missing).contains_key(path) {
            match decode_file(path, DEFAULT_MAX_PIXELS) {
                Ok(image) => {
                    let inner = self.size.map(|side| side - 2 * FRAME);
                    *kept = Some(Arc::new(resize(&image, inner)));
                }
                Err(error) => {
                    lock(&self.missing).insert(path.to_owned(), error.to_string());
                }
            }
        }
        let picture = kept.clone();
        if tile.uses_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            *kept = None;
        }
        picture
    }
}

/// What a panicking thread left is still whole: a picture is put there in one piece.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the rows, one below the other, as a PNG file.
///
/// # Errors
/// A picture that cannot be read, or a file that cannot be written.
pub fn write_rank_sheet(rows: &[RankRow], size: [usize; 2], out: &Path) -> Result<(), Error> {
    let painter = RankPainter::new(rows, size);
    let strips: Vec<RgbImage> = rows.iter().map(|row| painter.row(row)).collect();
    if let Some((path, problem)) = painter.into_missing().pop_first() {
        return Err(Error::layout(&path, problem));
    }
    let width = strips.first().map_or(0, |strip| strip.width) + 2 * MARGIN;
    let height = MARGIN + strips.iter().map(|strip| strip.height + MARGIN).sum::<usize>();
    let mut sheet = RgbImage::black(width, height);
    fill(&mut sheet, [0, 0], [height, width], PAPER);
    let mut top = MARGIN;
    for strip in &strips {
        paste(&mut sheet, strip, [top, MARGIN]);
        top += strip.height + MARGIN;
    }
    write_png(&sheet, out)
}

/// Writes a picture as a PNG file, whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write_png(image: &RgbImage, out: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { path: out.into(), source };
    let png = encode_png(image).map_err(io)?;
    write_atomically(out, |file| file.write_all(&png)).map_err(io)
}

/// A picture as the bytes of a PNG file.
///
/// # Errors
/// The encoder's, for a picture without pixels.
pub fn encode_png(image: &RgbImage) -> io::Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    let (width, height) = (image.width as u32, image.height as u32);
    PngEncoder::new(&mut png)
        .write_image(&image.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    Ok(png.into_inner())
}

/// Copies a picture; `corner` = top, left.
fn paste(sheet: &mut RgbImage, picture: &RgbImage, [top, left]: [usize; 2]) {
    for y in 0..picture.height {
        let start = ((top + y) * sheet.width + left) * 3;
        sheet.pixels[start..start + picture.width * 3].copy_from_slice(picture.row(y));
    }
}

/// Fills a rectangle; `corner` = top, left and `size` = height, width.
fn fill(sheet: &mut RgbImage, [top, left]: [usize; 2], size: [usize; 2], colour: [u8; 3]) {
    for y in top..top + size[0] {
        let start = (y * sheet.width + left) * 3;
        for pixel in sheet.pixels[start..start + size[1] * 3].chunks_exact_mut(3) {
            pixel.copy_from_slice(&colour);
        }
    }
}

/// A white "C" on the frame's colour in the picture's top left corner, `scale` pixels a dot.
fn mark(strip: &mut RgbImage, left: usize, scale: usize, colour: [u8; 3]) {
    let size = [CLASS_MARK.len() * scale, CLASS_MARK_WIDTH * scale];
    fill(strip, [FRAME, left + FRAME], size, colour);
    for (y, bits) in CLASS_MARK.iter().enumerate() {
        for x in (0..CLASS_MARK_WIDTH).filter(|x| bits >> (CLASS_MARK_WIDTH - 1 - x) & 1 == 1) {
            let corner = [FRAME + y * scale, left + FRAME + x * scale];
            fill(strip, corner, [scale, scale], PAPER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLUE: [u8; 3] = [0, 0, 255];

    fn row(query: &Path, hits: &[(&Path, bool, bool)]) -> RankRow {
        let hit = |&(picture, right, of_class): &(&Path, bool, bool)| RankHit {
            picture: picture.to_owned(),
            right,
            of_class,
        };
        RankRow { query: query.to_owned(), hits: hits.iter().map(hit).collect() }
    }

    fn blue(folder: &Path) -> PathBuf {
        let picture = folder.join("blue.png");
        image::RgbImage::from_pixel(5, 7, image::Rgb(BLUE)).save(&picture).unwrap();
        picture
    }

    fn colour(image: &RgbImage, y: usize, x: usize) -> [u8; 3] {
        image.row(y)[x * 3..][..3].try_into().unwrap()
    }

    #[test]
    fn a_row_has_the_reference_s_measures() {
        let folder = tempfile::tempdir().unwrap();
        let blue = blue(folder.path());
        let gone = folder.path().join("gone.png");
        let rows = [
            row(&blue, &[(&blue, true, false), (&blue, false, true), (&gone, false, false)]),
            row(&blue, &[(&gone, true, false)]),
        ];
        let (h, w) = (40, 24);
        let painter = RankPainter::new(&rows, [h, w]);
        let strips = rows.each_ref().map(|row| painter.row(row));
        for strip in &strips {
            assert_eq!((strip.height, strip.width), (h, 4 * w + 2 * 3 + 8));
            assert_eq!(strip.pixels.len(), strip.height * strip.width * 3);
        }
        let [first, second] = strips;
        let left = [0, w + 8, 2 * w + 10, 3 * w + 12];
        for (left, frame) in left.iter().zip([QUERY, RIGHT, WRONG, WRONG]) {
            for (y, x) in [(0, 0), (2, 2), (h - 1, w - 1), (h - 3, 0)] {
                assert_eq!(colour(&first, y, left + x), frame);
            }
        }
        let middles = left.map(|left| colour(&first, h / 2, left + w / 2));
        assert_eq!(middles, [BLUE, BLUE, BLUE, MISSING]);
        for gap in [w, w + 7, 2 * w + 8, 2 * w + 9, 3 * w + 10] {
            assert_eq!(colour(&first, h / 2, gap), PAPER);
        }
        // The class is marked in its corner, the picture beside it is not.
        assert_eq!([1, 2].map(|i| colour(&first, FRAME, left[i] + FRAME)), [BLUE, WRONG]);
        assert_eq!(colour(&first, FRAME + 1, left[2] + FRAME + 2), PAPER);
        assert_eq!(colour(&second, h / 2, left[2] + w / 2), PAPER, "a short row ends white");
        assert!(painter.tiles.values().all(|tile| lock(&tile.picture).is_none()), "all let go");
        let missing = painter.into_missing();
        assert_eq!(missing.keys().collect::<Vec<_>>(), [&gone]);
    }

    #[test]
    fn a_picture_is_decoded_once() {
        let folder = tempfile::tempdir().unwrap();
        let blue = blue(folder.path());
        let rows = [row(&blue, &[(&blue, true, false)]), row(&blue, &[(&blue, true, false)])];
        let painter = RankPainter::new(&rows, [20, 20]);
        painter.row(&rows[0]);
        std::fs::remove_file(&blue).unwrap();
        assert_eq!(colour(&painter.row(&rows[1]), 10, 10), BLUE);
        assert!(painter.into_missing().is_empty());
    }

    #[test]
    fn a_sheet_stacks_rows_and_wants_every_picture() {
        let folder = tempfile::tempdir().unwrap();
        let blue = blue(folder.path());
        let rows = [row(&blue, &[(&blue, true, false)]), row(&blue, &[(&blue, false, false)])];
        let out = folder.path().join("sheet.png");
        write_rank_sheet(&rows, [20, 16], &out).unwrap();
        let sheet = decode_file(&out, DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!((sheet.height, sheet.width), (2 * 20 + 3 * 6, 2 * 16 + 10 + 2 * 6));
        let hit = MARGIN + 16 + QUERY_GAP;
        assert_eq!([MARGIN, 2 * MARGIN + 20].map(|y| colour(&sheet, y, hit)), [RIGHT, WRONG]);
        std::fs::remove_file(&blue).unwrap();
        let message = write_rank_sheet(&rows, [20, 16], &out).unwrap_err().to_string();
        assert!(message.contains("blue.png"), "{message}");
    }
}
