use std::path::{Path, PathBuf};
use std::sync::Arc;

use centroids_core::{CamId, Pid};
use centroids_data::{
    DEFAULT_MAX_PIXELS, Draw, EvalTransform, ImageRecord, InputSpec, LabelMap, LoaderOptions,
    PkOptions, PkSampler, TrainBatch, TrainTransform, decode_file, embed_batches, train_batches,
};
use image::ImageFormat;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{assert_says, encode, picture, write_png};

const INPUT: InputSpec = InputSpec { size: [16, 8], mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] };
const TRANSFORM: TrainTransform =
    TrainTransform { input: INPUT, flip: 0.5, padding: 2, erasing: 0.5 };

/// Six identities with two to five images each, and the folder they lie in.
fn records() -> (TempDir, Arc<[ImageRecord]>) {
    let dir = tempfile::tempdir().unwrap();
    let mut records = Vec::new();
    for pid in 1..=6_i64 {
        for image in 0..2 + pid as u32 % 4 {
            let path = dir.path().join(format!("{pid}_{image}.png"));
            write_png(&path, records.len());
            records.push(ImageRecord { path, pid: Pid(pid), camid: Some(CamId(image)) });
        }
    }
    (dir, records.into())
}

fn epoch(records: &[ImageRecord]) -> Vec<Vec<Draw>> {
    let sampler = PkSampler::new(records, &LabelMap::of(records), PkOptions::new(2, 4)).unwrap();
    sampler.epoch(5, 0)
}

fn all(records: &Arc<[ImageRecord]>, options: LoaderOptions) -> Vec<TrainBatch> {
    let batches = epoch(records);
    train_batches(records.clone(), batches, TRANSFORM, options).map(Result::unwrap).collect()
}

#[test]
fn batches_carry_what_was_drawn() {
    let (_dir, records) = records();
    let batches = epoch(&records);
    let loaded = all(&records, LoaderOptions::default());
    assert_eq!(loaded.len(), batches.len());
    for (batch, draws) in loaded.iter().zip(&batches) {
        assert_eq!(batch.shape, [8, 3, 16, 8]);
        for (i, (draw, image)) in
            draws.iter().zip(batch.images.chunks_exact(3 * 16 * 8)).enumerate()
        {
            let record = &records[draw.record];
            assert_eq!(
                (batch.labels[i], batch.pids[i], batch.camids[i]),
                (draw.label, record.pid, record.camid)
            );
            assert_eq!(batch.is_real[i], draw.is_real);
            assert_eq!(image.iter().all(|value| *value == 0.0), !draw.is_real);
        }
    }
    assert!(
        loaded.iter().any(|batch| batch.is_real.contains(&false)),
        "the test wants some that are not real"
    );
}

#[test]
fn seed_and_epoch_change_pixels() {
    let (_dir, records) = records();
    let pixels =
        |seed, epoch| all(&records, LoaderOptions { seed, epoch, ..LoaderOptions::default() });
    assert_eq!(pixels(1, 2), pixels(1, 2));
    assert_ne!(pixels(1, 2), pixels(1, 3));
    assert_ne!(pixels(1, 2), pixels(2, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn threads_and_prefetch_do_not_show(workers in 0_usize..6, prefetch in 0_usize..9) {
        let (_dir, records) = records();
        let alone = LoaderOptions { seed: 3, ..LoaderOptions::default() };
        let many = LoaderOptions { workers, prefetch, ..alone };
        prop_assert_eq!(all(&records, alone), all(&records, many));
    }

    #[test]
    fn a_loader_can_be_left_at_any_time(workers in 1_usize..5, taken in 0_usize..4) {
        let (_dir, records) = records();
        let options = LoaderOptions { workers, prefetch: 3, ..LoaderOptions::default() };
        let batches = std::iter::repeat_n(epoch(&records), 20).flatten().collect();
        let loader = train_batches(records.clone(), batches, TRANSFORM, options);
        prop_assert_eq!(loader.take(taken).count(), taken); // dropped here with work in progress
    }
}

#[test]
fn skipping_resumes_with_the_same_pixels() {
    let (_dir, records) = records();
    let whole = all(&records, LoaderOptions::default());
    let rest = all(&records, LoaderOptions { skip_batches: 1, ..LoaderOptions::default() });
    assert_eq!(rest, whole[1..]);
    assert!(
        all(&records, LoaderOptions { skip_batches: 99, ..LoaderOptions::default() }).is_empty()
    );
}

#[test]
fn a_broken_image_is_an_error_that_names_it_and_the_rest_goes_on() {
    let (_dir, records) = records();
    let batches = epoch(&records);
    let broken = &records[batches[1][0].record].path;
    let bytes = std::fs::read(broken).unwrap();
    std::fs::write(broken, &bytes[..bytes.len() / 2]).unwrap();
    let affected = |batch: &Vec<Draw>| {
        batch.iter().any(|draw| draw.is_real && records[draw.record].path == *broken)
    };
    let wanted: Vec<bool> = batches.iter().map(affected).collect();
    let options = LoaderOptions { workers: 2, ..LoaderOptions::default() };
    let results: Vec<_> = train_batches(records.clone(), batches, TRANSFORM, options).collect();
    assert_eq!(results.iter().map(Result::is_err).collect::<Vec<_>>(), wanted);
    assert_says(results[1].as_ref().unwrap_err(), &[broken.to_str().unwrap(), "cut off"]);
}

fn paths(dir: &Path, count: usize) -> Arc<[PathBuf]> {
    let path = |i| dir.join(format!("{i:02}.png"));
    (0..count).for_each(|i| write_png(&path(i), i));
    (0..count).map(path).collect()
}

#[test]
fn images_to_embed_come_in_order_and_failures_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path(), 11);
    std::fs::write(&paths[4], "no image").unwrap();
    std::fs::remove_file(&paths[9]).unwrap();
    for workers in [1, 3] {
        let items: Vec<_> =
            embed_batches(paths.clone(), 3, EvalTransform(INPUT), workers, DEFAULT_MAX_PIXELS)
                .collect();
        let rows: Vec<Vec<usize>> = items.iter().map(|item| item.batch.rows.clone()).collect();
        assert_eq!(rows, [vec![0, 1, 2], vec![3, 5], vec![6, 7, 8], vec![10]]);
        let failed: Vec<usize> =
            items.iter().flat_map(|item| &item.failures).map(|(row, _)| *row).collect();
        assert_eq!(failed, [4, 9]);
        assert_says(&items[1].failures[0].1, &["04.png", "not a JPEG"]);
        assert_says(&items[3].failures[0].1, &["09.png", "does not exist"]);
        assert_eq!(items[1].batch.shape, [2, 3, 16, 8]);
        let fifth = decode_file(&paths[5], DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!(items[1].batch.images[3 * 16 * 8..], EvalTransform(INPUT).apply(&fifth));
    }
}

#[test]
fn batches_without_a_readable_image_are_empty() {
    let paths: Arc<[PathBuf]> = ["x.png", "y.png"].map(PathBuf::from).into();
    let items: Vec<_> =
        embed_batches(paths, 0, EvalTransform(INPUT), 0, DEFAULT_MAX_PIXELS).collect();
    assert_eq!(items.len(), 2);
    assert!(items.iter().all(|item| item.batch.shape == [0, 3, 16, 8] && item.failures.len() == 1));
}

#[test]
fn pictures_leave_nothing_behind_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Arc<[PathBuf]> =
        (0..8).map(|i| dir.path().join(format!("{i}.file"))).collect::<Vec<_>>().into();
    let formats = [ImageFormat::Jpeg, ImageFormat::Png];
    for (i, path) in paths.iter().enumerate() {
        // Large after small and small after large, in turns of format.
        let picture = picture(9 + i * 37 % 50, 70 - i * 23 % 60, i);
        std::fs::write(path, encode(&picture, formats[i / 2 % 2])).unwrap();
    }
    let items = embed_batches(paths.clone(), 8, EvalTransform(INPUT), 1, DEFAULT_MAX_PIXELS);
    let together: Vec<f32> = items.flat_map(|item| item.batch.images).collect();
    let alone = paths.iter().flat_map(|path| {
        EvalTransform(INPUT).apply(&decode_file(path, DEFAULT_MAX_PIXELS).unwrap())
    });
    assert_eq!(together, alone.collect::<Vec<_>>());
}
