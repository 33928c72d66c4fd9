//! What a centroid per class saves against all of its images, on real embeddings.
//!
//! ```sh
//! centroids embed --model runs/mnv2 --split gallery omniglot/ --out gallery.safetensors
//! centroids embed --model runs/mnv2 --split query omniglot/ --out query.safetensors
//! cargo run --release --example centroids_vs_images -- \
//!     gallery.safetensors query.safetensors --copies 20
//! ```
//!
//! The files hold the images of classes that were not trained on, each with its camera. By unit nearest
//! (all images, each class by its nearest) and by unit centroid with 1, 2 and 3 sub-centroids, one line
//! of JSON each:
//!
//! - `rank1`: every image is a query, without the images of its own camera. Where each image of a class
//!   is from another camera, as each of Omniglot's is from another drawer, that leaves out itself.
//! - the rest is of a gallery that knows no cameras, as of products: milliseconds of a search for one
//!   query and for a hundred (medians, 10 hits), bytes of the rows in memory, and in the file of what
//!   the unit needs: sums and centroids, or embeddings. The file of a gallery holds both.
//!
//! `--copies N` adds each class N − 1 times more with its dimensions moved around: other classes that
//! lie as real ones do, so that a search takes more than its overhead. Times compare with each other
//! only when nothing else runs on the machine.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use centroids_core::{CamId, Embeddings, Pid, Unit};
use centroids_store::{
    AddOptions, EmbeddedGallery, Gallery, NewMember, OpenOptions, SearchOptions, Settings,
};
use serde_json::{Value, json};

/// Searches that are timed.
const REPEATS: usize = 25;

/// Queries of a batch.
const BATCH: usize = 100;

/// Members that become durable together.
const ADDED: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let (images, copies) = arguments()?;
    let folder = tempfile::tempdir()?;
    let [apart, whole] = ["cameras", "plain"].map(|name| folder.path().join(name));
    for sub_centroids in [1, 2, 3] {
        let settings = Settings { sub_centroids, ..Settings::new(images.dim()) };
        fill(&EmbeddedGallery::create(&apart, &settings)?, (&images, true), copies)?;
        fill(&EmbeddedGallery::create(&whole, &settings)?, (&images, false), copies)?;
        let units = [Unit::Nearest, Unit::Centroid];
        for unit in units.into_iter().skip(usize::from(sub_centroids > 1)) {
            let apart = EmbeddedGallery::open(&apart, OpenOptions::default())?;
            let mut line = measure(&whole, &images, unit)?;
            line["rank1"] = rank1(&apart, &images, unit)?.into();
            println!("{line}");
        }
        std::fs::remove_file(&apart)?;
        std::fs::remove_file(&whole)?;
    }
    Ok(())
}

fn arguments() -> Result<(Embeddings, usize), Box<dyn Error>> {
    let (mut files, mut copies) = (Vec::new(), 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--copies" => copies = words.next().ok_or("--copies wants a number")?.parse()?,
            file => files.push(Embeddings::load(Path::new(file))?),
        }
    }
    let dim = files.first().ok_or("give embedding files (.safetensors)")?.dim();
    let images = Embeddings::new(
        dim,
        files.iter().flat_map(|file| file.values().to_vec()).collect(),
        files.iter().flat_map(|file| file.pids().to_vec()).collect(),
        files.iter().flat_map(|file| file.camids().to_vec()).collect(),
        files.iter().flat_map(|file| file.paths().to_vec()).collect(),
    )?;
    Ok((images, copies))
}

fn fill(
    gallery: &EmbeddedGallery,
    (images, cameras): (&Embeddings, bool),
    copies: usize,
) -> Result<(), Box<dyn Error>> {
    let pids = images.pids().iter().map(|pid| pid.0).max().unwrap_or(0) + 1;
    let mut members = Vec::new();
    for copy in 0..copies {
        let order = shuffled(images.dim(), copy as u64);
        for row in 0..images.len() {
            let vector = order.iter().map(|&column| images.row(row)[column]).collect();
            let pid = Pid(images.pids()[row].0 + pids * copy as i64);
            let camera = images.camids()[row].filter(|_| cameras);
            members.push(NewMember::new(format!("{copy}/{row}"), pid, camera, vector));
            if members.len() == ADDED {
                gallery.add(&std::mem::take(&mut members), AddOptions::default())?;
            }
        }
    }
    gallery.add(&members, AddOptions::default())?;
    Ok(())
}

/// An order of the dimensions; copy 0 keeps theirs.
fn shuffled(dim: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..dim).collect();
    let mut state = seed;
    for last in (1..dim).rev().take_while(|_| seed > 0) {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    order
}

/// Times and sizes.
fn measure(path: &Path, images: &Embeddings, unit: Unit) -> Result<Value, Box<dyn Error>> {
    let gallery = EmbeddedGallery::open(path, OpenOptions::default())?;
    let options = SearchOptions { unit, ..SearchOptions::default() };
    let queries: Vec<&[f32]> = (0..images.len()).map(|row| images.row(row)).collect();
    let step = (queries.len() / BATCH).max(1);
    let batch: Vec<&[f32]> = queries.iter().copied().step_by(step).take(BATCH).collect();
    let one: Vec<&[&[f32]]> = batch.chunks(1).take(REPEATS).collect();
    let file = rusqlite::Connection::open(path)?;
    let count = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0));
    let sub_centroids = gallery.settings().sub_centroids;
    let bytes = |column: &str, table: &str| {
        count(&format!("SELECT coalesce(sum(length({column})), 0) FROM {table}"))
    };
    let (rows, bytes) = if unit == Unit::Centroid {
        let mut rows = count("SELECT count(*) FROM centroid")?;
        let mut kept = bytes("sum", "part")? + bytes("direction", "centroid")?;
        if sub_centroids > 1 {
            rows += count("SELECT count(*) - count(DISTINCT pid) FROM sub_centroid")?;
            kept += bytes("sum", "sub_part")? + bytes("direction", "sub_centroid")?;
        }
        (rows, kept)
    } else {
        (count("SELECT count(*) FROM member")?, bytes("embedding", "member")?)
    };
    let stats = gallery.stats()?;
    Ok(json!({
        "unit": unit, "sub_centroids": sub_centroids, "classes": stats.classes,
        "images": stats.members, "rows": rows,
        "one_ms": median(&gallery, &one, &options)?,
        "hundred_ms": median(&gallery, &[&batch[..]; REPEATS / 5], &options)?,
        "memory_bytes": rows * images.dim() as i64 * 4, "file_bytes": bytes,
    }))
}

/// The share of images whose nearest class, without the images of their camera, is theirs.
fn rank1(
    gallery: &EmbeddedGallery,
    images: &Embeddings,
    unit: Unit,
) -> Result<f64, Box<dyn Error>> {
    let mut by_camera: BTreeMap<Option<CamId>, Vec<usize>> = BTreeMap::new();
    for (row, camera) in images.camids().iter().enumerate() {
        by_camera.entry(*camera).or_default().push(row);
    }
    let mut right = 0;
    for (without_camera, rows) in by_camera {
        let options = SearchOptions { k: 1, unit, without_camera, ..SearchOptions::default() };
        let queries: Vec<&[f32]> = rows.iter().map(|&row| images.row(row)).collect();
        for (answer, row) in gallery.search(&queries, &options)?.iter().zip(rows) {
            let pid = answer.hits.first().map(|hit| hit.pid);
            right += usize::from(pid == Some(images.pids()[row]));
        }
    }
    Ok(right as f64 / images.len() as f64)
}

/// Milliseconds of a search; the first, which fills memory, is not counted.
fn median(
    gallery: &EmbeddedGallery,
    batches: &[&[&[f32]]],
    options: &SearchOptions,
) -> Result<f64, Box<dyn Error>> {
    gallery.search(batches[0], options)?;
    let mut times = Vec::new();
    for batch in batches {
        let start = Instant::now();
        gallery.search(batch, options)?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
