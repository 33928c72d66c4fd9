//! Measures the input pipeline on a folder of pictures and prints JSON: images per second and per
//! second of CPU time of the training loader in each pass, and microseconds per image of its stages
//! on one thread (the first hundred pictures). Linux only: CPU time comes from `/proc`.
//!
//! `cargo run --release --workspace --example input_pipeline -- FOLDER [WORKERS] [PASSES] [BATCH]`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use centroids_core::Pid;
use centroids_data::transform::resize::resize;
use centroids_data::{
    DEFAULT_MAX_PIXELS, Draw, ImageRecord, InputSpec, LoaderOptions, Resizer, TrainTransform,
    decode_bytes, list_images, train_batches,
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("give a folder of pictures")?;
    let number = |i: usize, default| arguments.get(i).map_or(Ok(default), |text| text.parse());
    let (workers, passes, batch) = (number(1, 2)?, number(2, 5)?, number(3, 32)?.max(1));
    let paths = list_images(Path::new(folder))?;
    let transform =
        TrainTransform { input: InputSpec::default(), flip: 0.5, padding: 10, erasing: 0.5 };

    pass(&paths, transform, workers, batch)?; // warms the file cache and the memory
    let rates: Vec<[f64; 2]> =
        (0..passes).map(|_| pass(&paths, transform, workers, batch)).collect::<Result<_, _>>()?;
    let report = serde_json::json!({
        "images_per_second": rates.iter().map(|rate| rate[0]).collect::<Vec<_>>(),
        "images_per_cpu_second": rates.iter().map(|rate| rate[1]).collect::<Vec<_>>(),
        "microseconds": stages(&paths[..paths.len().min(100)], &transform)?,
    });
    serde_json::to_writer(std::io::stdout(), &report)?;
    Ok(())
}

/// Images per second and per second of CPU time of one epoch over all pictures.
fn pass(
    paths: &[PathBuf],
    transform: TrainTransform,
    workers: usize,
    batch: usize,
) -> Result<[f64; 2], Box<dyn Error>> {
    let record = |path: &PathBuf| ImageRecord { path: path.clone(), pid: Pid(1), camid: None };
    let records: Arc<[ImageRecord]> = paths.iter().map(record).collect();
    let draw = |record| Draw { record, label: 0, is_real: true };
    let draws: Vec<Draw> = (0..paths.len()).map(draw).collect();
    let batches = draws.chunks(batch).map(<[_]>::to_vec).collect();
    let options = LoaderOptions { workers, ..LoaderOptions::default() };
    let (start, cpu_start) = (Instant::now(), cpu_seconds()?);
    for batch in train_batches(records, batches, transform, options) {
        std::hint::black_box(batch?);
    }
    let spent = [start.elapsed().as_secs_f64(), cpu_seconds()? - cpu_start];
    Ok(spent.map(|seconds| paths.len() as f64 / seconds))
}

/// CPU time of this process so far: fields 14 and 15 of its `stat`, in hundredths of a second.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// Mean microseconds per image: reading the file, decoding it, the whole transform, and the resize
/// within it.
fn stages(
    paths: &[PathBuf],
    transform: &TrainTransform,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let (mut resizer, mut values) = (Resizer::default(), Vec::new());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut spent = [0.0; 4];
    for path in paths {
        let mut start = Instant::now();
        let mut lap = |stage: usize| {
            spent[stage] += start.elapsed().as_secs_f64() * 1e6 / paths.len() as f64;
            start = Instant::now();
        };
        let bytes = std::fs::read(path)?;
        lap(0);
        let image = decode_bytes(&bytes, "picture", DEFAULT_MAX_PIXELS)?;
        lap(1);
        values.clear();
        transform.append(&image, &transform.draw(&mut rng), &mut resizer, &mut values);
        lap(2);
        std::hint::black_box(resize(&image, transform.input.size));
        lap(3);
    }
    let [read, decode, transform, resize] = spent;
    Ok(serde_json::json!({
        "read": read, "decode": decode, "transform": transform, "of which resize": resize,
    }))
}
