use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use centroids_data::{DEFAULT_MAX_PIXELS, RgbImage, decode_file};
use image::{DynamicImage, ImageFormat};
use serde_json::Value;

/// The folder of golden vectors, or `None` after saying that there is none.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn golden(section: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let root = std::env::var_os("CENTROIDS_GOLDEN").map_or_else(default, PathBuf::from);
    let folder = root.join(section);
    if folder.join("manifest.json").is_file() {
        return Some(folder);
    }
    println!("skipped: golden vectors not found at {}", folder.display());
    None
}

/// The manifest of a golden folder.
pub(crate) fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// The list under `key`, empty where there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The whole number under `key`.
pub(crate) fn number(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("no number `{key}` in {value}")) as usize
}

/// The floating-point number under `key`.
pub(crate) fn real(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {value}"))
}

/// A picture with gradients, edges and noise-like detail: bad for any decoder's guesses.
pub(crate) fn picture(width: usize, height: usize, seed: usize) -> RgbImage {
    let value = |i: usize| {
        let (y, x, c) = (i / (width * 3), i / 3 % width, i % 3);
        (x * 7 + y * 13 + c * 80 + (x * y + seed * 31) % 97) as u8
    };
    RgbImage { width, height, pixels: (0..width * height * 3).map(value).collect() }
}

/// The picture as a file of `format`, losslessly where the format can.
pub(crate) fn encode(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let buffer = image::RgbImage::from_raw(width, height, picture.pixels.clone()).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::from(buffer).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Writes a small PNG, with its folders.
pub(crate) fn write_png(path: &Path, seed: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, encode(&picture(6, 8, seed), ImageFormat::Png)).unwrap();
}

/// Whether an error is one line that names all of `parts`.
pub(crate) fn assert_says(error: &centroids_data::Error, parts: &[&str]) {
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` missing in: {message}");
    }
}

/// Red on blue: where the red is tells what was cut out.
pub(crate) const RED: [u8; 3] = [200, 10, 30];

/// A blue PNG of `size` = width, height with a red rectangle `[x1, y1, x2, y2]`, under any name.
pub(crate) fn write_red_on_blue(path: &Path, [width, height]: [usize; 2], red: [usize; 4]) {
    let mut picture = RgbImage { width, height, pixels: [10, 20, 220].repeat(width * height) };
    let [x1, y1, x2, y2] = red;
    for y in y1..y2 {
        for x in x1..x2 {
            picture.pixels[(y * width + x) * 3..][..3].copy_from_slice(&RED);
        }
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, encode(&picture, ImageFormat::Png)).unwrap();
}

/// Asserts that a picture is white but for a red rectangle `[x1, y1, x2, y2]`; where that lies on
/// the grid of 8×8 blocks a JPEG keeps it sharp.
pub(crate) fn assert_red_on_white(path: &Path, size: [usize; 2], red: [usize; 4]) {
    let picture = decode_file(path, DEFAULT_MAX_PIXELS).unwrap();
    assert_eq!([picture.width, picture.height], size, "{}", path.display());
    let [x1, y1, x2, y2] = red;
    for (i, pixel) in picture.pixels.chunks_exact(3).enumerate() {
        let (x, y) = (i % picture.width, i / picture.width);
        let inside = (x1..x2).contains(&x) && (y1..y2).contains(&y);
        let wanted = if inside { RED } else { [255; 3] };
        let off = std::iter::zip(pixel, wanted).map(|(a, b)| a.abs_diff(b)).max();
        assert!(off <= Some(4), "{} at {x}, {y}: {pixel:?}, not {wanted:?}", path.display());
    }
}

/// The content of every file below a folder, by its path in there.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in next.read_dir().unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap().to_owned();
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

/// A progress that never ends the work.
pub(crate) fn go_on(_: &'static str, _: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A progress that ends the stage `what` after some jobs.
pub(crate) fn stop_at(
    what: &'static str,
    after: usize,
) -> impl FnMut(&'static str, usize, usize) -> ControlFlow<()> {
    move |stage, done, _| match stage == what && done >= after {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}
