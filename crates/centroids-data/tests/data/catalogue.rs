use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use centroids_data::synth::{Camera, Product, SynthConfig, render, synthesize};
use centroids_data::{
    DEFAULT_MAX_PIXELS, Dataset, DatasetSource, ImageRecord, Layout, RgbImage, decode_file,
    list_images,
};

use crate::support::assert_says;

const SMALL: SynthConfig = SynthConfig {
    train_ids: 3,
    test_ids: 2,
    cameras: 2,
    images_per_camera: 2,
    size: [24, 16],
    distractors: 3,
    junk: 1,
    seed: 7,
};

fn make(dir: &Path, config: &SynthConfig) {
    synthesize(dir, config, &mut |_, _| ()).unwrap();
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.strip_prefix(dir).unwrap().display().to_string();
    let read = |path: std::path::PathBuf| (name(&path), fs::read(&path).unwrap());
    list_images(dir).unwrap().into_iter().map(read).collect()
}

fn pids(records: &[ImageRecord]) -> BTreeSet<i64> {
    records.iter().map(|record| record.pid.0).collect()
}

#[test]
fn a_catalogue_is_a_market1501_dataset() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("catalogue");
    let mut reports = Vec::new();
    synthesize(&dir, &SMALL, &mut |done, total| reports.push((done, total))).unwrap();
    assert_eq!((reports.first(), reports.last()), (Some(&(0, 24)), Some(&(24, 24))));

    assert_eq!(Layout::detect(&dir).unwrap(), Layout::Market1501);
    let dataset = DatasetSource::new(Layout::Market1501, &dir).load().unwrap();
    let Dataset { train, query, gallery, oddities, .. } = dataset;
    assert_eq!((train.len(), query.len(), gallery.len()), (12, 4, 7));
    assert_eq!(pids(&train), BTreeSet::from([1, 2, 3]));
    assert_eq!(pids(&query), BTreeSet::from([4, 5]));
    assert_eq!(pids(&gallery), BTreeSet::from([0, 4, 5]));
    assert_eq!(oddities, ["gallery: junk images (pid −1), dropped: 1"]);
    assert!(dir.join("bounding_box_train/0001_c1s1_000001_00.jpg").is_file());
    let image = decode_file(&query[0].path, DEFAULT_MAX_PIXELS).unwrap();
    assert_eq!((image.height, image.width), (24, 16));
}

#[test]
fn the_seed_decides_on_every_byte() {
    let temporary = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| temporary.path().join(name));
    make(&a, &SMALL);
    make(&b, &SMALL);
    make(&c, &SynthConfig { seed: 8, ..SMALL });
    assert!(files(&a) == files(&b));
    assert!(files(&a).iter().zip(files(&c)).all(|(a, c)| a.0 == c.0 && a.1 != c.1));
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("new");
    let try_to = |config: &SynthConfig| synthesize(&dir, config, &mut |_, _| ()).unwrap_err();
    let no_ids = SynthConfig { test_ids: 0, ..SMALL };
    assert_says(&try_to(&no_ids), &["test_ids", "at least 1"]);
    assert_says(&try_to(&SynthConfig { images_per_camera: 1, ..SMALL }), &["images_per_camera"]);
    assert_says(&try_to(&SynthConfig { size: [64, 0], ..SMALL }), &["height and width"]);
    fs::create_dir(&dir).unwrap();
    make(&dir, &SMALL); // an empty folder may be filled
    assert_says(&try_to(&SMALL), &["new` exists", "not an empty folder"]);
    let entries: Vec<_> = fs::read_dir(temporary.path()).unwrap().collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
}

/// How often each colour of a coarse cube occurs.
fn histogram(image: &RgbImage) -> Vec<f64> {
    let mut counts = vec![0.0; 64];
    let (pixels, _) = image.pixels.as_chunks::<3>();
    for pixel in pixels {
        let [r, g, b] = pixel.map(|value| usize::from(value / 64));
        counts[r * 16 + g * 4 + b] += 1.0 / pixels.len() as f64;
    }
    counts
}

#[test]
fn colours_alone_do_not_tell_products_apart() {
    const PRODUCTS: u64 = 40;
    let shot = |product: u64, camera: u64| {
        let picture = render(
            Some(&Product::of(1, product)),
            &Camera::of(1, camera),
            [64, 64],
            1,
            [product, camera],
        );
        histogram(&picture)
    };
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a.min(*b)).sum::<f64>();
    let gallery: Vec<Vec<f64>> = (0..PRODUCTS).map(|product| shot(product, 1)).collect();
    let found = |product: &u64| {
        let query = shot(*product, 0);
        let best = (0..PRODUCTS as usize)
            .max_by(|&a, &b| near(&query, &gallery[a]).total_cmp(&near(&query, &gallery[b])));
        best == Some(*product as usize)
    };
    let right = (0..PRODUCTS).filter(found).count();
    assert!(right < PRODUCTS as usize * 2 / 5, "{right} of {PRODUCTS} found by colour");
}

#[test]
fn products_and_cameras_differ() {
    let picture = |product, camera| {
        let product: Option<u64> = product;
        let product = product.map(|number| Product::of(0, number));
        render(product.as_ref(), &Camera::of(0, camera), [32, 32], 0, [0, 0])
    };
    assert_eq!(picture(Some(1), 0), picture(Some(1), 0));
    assert_ne!(picture(Some(1), 0), picture(Some(2), 0));
    assert_ne!(picture(Some(1), 0), picture(Some(1), 1));
    assert_ne!(picture(Some(1), 0), picture(None, 0));
}
