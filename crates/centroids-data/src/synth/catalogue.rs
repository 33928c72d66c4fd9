//! The catalogue on disk, in the layout of Market-1501.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::camera::Camera;
use super::painter::render;
use super::product::Product;
use crate::error::Error;
use crate::rgb_image::RgbImage;

const JPEG_QUALITY: u8 = 92;
/// Pictures between two reports of progress.
const CHUNK: usize = 64;
/// Distractors and junk are numbered from here, far above any identity.
const EXTRAS: u64 = 1 << 32;

/// What a catalogue consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynthConfig {
    /// Products to learn from.
    pub train_ids: usize,
    /// Products to search, none of them among the former.
    pub test_ids: usize,
    /// Cameras that see every product.
    pub cameras: usize,
    /// Pictures by each camera of each product; of a test product the first is a query, the others
    /// are gallery.
    pub images_per_camera: usize,
    /// Height and width of the pictures.
    pub size: [usize; 2],
    /// Gallery pictures of further products, all with pid 0.
    pub distractors: usize,
    /// Gallery pictures without a product, with pid −1.
    pub junk: usize,
    /// What everything follows from.
    pub seed: u64,
}

impl Default for SynthConfig {
    /// The demo's catalogue: 1440 training, 400 query and 880 gallery pictures of 64×64 pixels by 4
    /// cameras.
    fn default() -> Self {
        Self {
            train_ids: 120,
            test_ids: 100,
            cameras: 4,
            images_per_camera: 3,
            size: [64, 64],
            distractors: 60,
            junk: 20,
            seed: 0,
        }
    }
}

/// More than any catalogue has a use for, and far from what a number can hold.
const MAX_PICTURES: usize = 10_000_000;

/// Writes a catalogue into `dir`: `bounding_box_train`, `query` and `bounding_box_test` with JPEG
/// files named like `0001_c1s1_000001_00.jpg`. The same configuration gives the same files.
///
/// The work is done in a temporary folder beside `dir`, which takes its place at the end.
/// `progress` is told the pictures done and the total.
///
/// # Errors
/// When `dir` exists and is not an empty folder, when a number is unusable, or when writing fails.
pub fn synthesize(
    dir: &Path,
    config: &SynthConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), Error> {
    check(config)?;
    refuse_occupied(dir)?;
    let temporary = temporary_sibling(dir);
    let written = write_all(&temporary, config, progress).and_then(|()| move_to(&temporary, dir));
    if written.is_err() {
        // The first error counts; what cannot be removed stays as a hidden folder.
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

fn check(config: &SynthConfig) -> Result<(), Error> {
    let refuse = |problem: &str| Err(Error::Synth { problem: problem.into() });
    let SynthConfig { train_ids, test_ids, cameras, images_per_camera, size, .. } = *config;
    if train_ids == 0 || test_ids == 0 || cameras == 0 {
        return refuse("train_ids, test_ids and cameras must be at least 1");
    }
    if images_per_camera < 2 {
        return refuse("images_per_camera must be at least 2: one query and one for the gallery");
    }
    let products = train_ids.checked_add(test_ids);
    let shots = products.and_then(|ids| ids.checked_mul(cameras)?.checked_mul(images_per_camera));
    let pictures = shots.and_then(|n| n.checked_add(config.distractors)?.checked_add(config.junk));
    if pictures.is_none_or(|n| n > MAX_PICTURES) {
        return refuse("that makes more than 10 million pictures: lower the numbers");
    }
    match size.iter().all(|side| (8..=4096).contains(side)) {
        true => Ok(()),
        false => refuse("height and width must lie between 8 and 4096 pixels"),
    }
}

fn refuse_occupied(dir: &Path) -> Result<(), Error> {
    if !dir.exists() {
        return Ok(());
    }
    let is_empty =
        dir.is_dir() && fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    match is_empty {
        true => Ok(()),
        false => Err(Error::NotEmpty { path: dir.into() }),
    }
}

fn temporary_sibling(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    dir.with_file_name(format!(".{name}.partial-{}", std::process::id()))
}

fn move_to(temporary: &Path, dir: &Path) -> Result<(), Error> {
    // Not every system renames onto an empty folder.
    if dir.exists() {
        fs::remove_dir(dir).map_err(|source| Error::io(dir, source))?;
    }
    fs::rename(temporary, dir).map_err(|source| Error::io(dir, source))
}

fn write_all(
    dir: &Path,
    config: &SynthConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), Error> {
    for folder in [TRAIN, QUERY, GALLERY] {
        let folder = dir.join(folder);
        fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
    }
    let cameras: Vec<Camera> =
        (0..config.cameras as u64).map(|index| Camera::of(config.seed, index)).collect();
    let shots = shots(config);
    let mut done = 0;
    progress(done, shots.len());
    for chunk in shots.chunks(CHUNK) {
        chunk.par_iter().try_for_each(|shot| shot.write(dir, config, &cameras))?;
        done += chunk.len();
        progress(done, shots.len());
    }
    Ok(())
}

const TRAIN: &str = "bounding_box_train";
const QUERY: &str = "query";
const GALLERY: &str = "bounding_box_test";

/// One picture to take.
struct Shot {
    folder: &'static str,
    pid: i64,
    /// Number of the product, whatever its pid; `None` shows the place alone.
    product: Option<u64>,
    camera: usize,
    /// Number among the pictures of the same product (or of none) by the same camera.
    index: usize,
}

fn shots(config: &SynthConfig) -> Vec<Shot> {
    let mut shots = Vec::new();
    for identity in 1..=config.train_ids + config.test_ids {
        for (camera, index) in grid(config.cameras, config.images_per_camera) {
            let folder = match (identity <= config.train_ids, index) {
                (true, _) => TRAIN,
                (false, 0) => QUERY,
                (false, _) => GALLERY,
            };
            let product = Some(identity as u64);
            shots.push(Shot { folder, pid: identity as i64, product, camera, index });
        }
    }
    let extra = |index: usize, pid: i64, product: Option<u64>| Shot {
        folder: GALLERY,
        pid,
        product,
        camera: index % config.cameras,
        index,
    };
    shots.extend((0..config.distractors).map(|i| extra(i, 0, Some(EXTRAS + i as u64))));
    shots.extend((0..config.junk).map(|i| extra(i, -1, None)));
    shots
}

fn grid(cameras: usize, images: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..cameras).flat_map(move |camera| (0..images).map(move |index| (camera, index)))
}

impl Shot {
    fn write(&self, dir: &Path, config: &SynthConfig, cameras: &[Camera]) -> Result<(), Error> {
        let product = self.product.map(|number| Product::of(config.seed, number));
        let number = [self.product.unwrap_or(u64::MAX), (self.camera << 32 | self.index) as u64];
        let camera = &cameras[self.camera];
        let image = render(product.as_ref(), camera, config.size, config.seed, number);
        save(&image, &dir.join(self.folder).join(self.file_name()))
    }

    /// Identity, camera, sequence, frame and detection, as in Market-1501.
    fn file_name(&self) -> String {
        let identity = if self.pid < 0 { "-1".into() } else { format!("{:04}", self.pid) };
        format!("{identity}_c{}s1_{:06}_00.jpg", self.camera + 1, self.index + 1)
    }
}

fn save(image: &RgbImage, path: &Path) -> Result<(), Error> {
    let failed = |source| Error::io(path, source);
    let (width, height) = (image.width as u32, image.height as u32);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(&image.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| failed(io::Error::other(error)))?;
    fs::write(path, bytes).map_err(failed)
}
