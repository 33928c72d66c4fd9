//! What a gallery costs: exact search over many classes, opening, durable updates.
//!
//! ```sh
//! cargo run --release --example store_speed -- --classes 100000 --dim 2048
//! ```
//!
//! One JSON object, times in milliseconds, medians. Every class has `--images` images (2) from two
//! cameras, so that leaving a camera out replaces every centroid. The gallery is made at `--file` if it
//! is not there. `--dump DIR` writes the centroids and queries (`f32`, row-major) for another program to
//! search. Figures compare with each other only when nothing else runs on the machine.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use centroids_core::{CamId, CentroidOf, Embeddings, Pid, centroids};
use centroids_store::{
    AddOptions, EmbeddedGallery, Gallery, NewMember, OpenOptions, Precision, SearchOptions,
    Selection, Settings,
};
use serde_json::{Map, Value, json};

/// Searches of a kind.
const REPEATS: usize = 9;

/// Queries of a batch.
const BATCH: usize = 100;

/// Single-image additions and removals that are timed.
const UPDATES: usize = 200;

struct Arguments {
    classes: usize,
    dim: usize,
    /// Of each class.
    images: usize,
    /// Where the gallery is, or is made.
    file: PathBuf,
    dump: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let mut report = Map::new();
    if !arguments.file.exists() {
        let start = Instant::now();
        fill(&arguments)?;
        report.insert("fill".to_owned(), since(start).into());
    }
    let queries: Vec<Vec<f32>> =
        (0..BATCH as u64).map(|i| Numbers(1000 + i).vector(arguments.dim)).collect();
    let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
    if let Some(folder) = &arguments.dump {
        dump(&open(&arguments.file, Precision::F32)?, &queries, folder)?;
        return Ok(());
    }
    for (name, rows) in [("f32", Precision::F32), ("f16", Precision::F16)] {
        report.insert(name.to_owned(), searches(&arguments.file, rows, &queries)?);
    }
    let gallery = open(&arguments.file, Precision::F32)?;
    report.insert("updates_per_second".to_owned(), updates(&gallery, arguments.dim)?);
    report.insert("stats".to_owned(), serde_json::to_value(gallery.stats()?)?);
    println!("{}", Value::Object(report));
    Ok(())
}

/// Opening, and searches of all kinds.
fn searches(file: &Path, rows: Precision, queries: &[&[f32]]) -> Result<Value, Box<dyn Error>> {
    let start = Instant::now();
    let gallery = open(file, rows)?;
    gallery.warm()?;
    let opened = since(start);
    let plain = SearchOptions::default();
    let without = SearchOptions { without_camera: Some(CamId(0)), ..plain.clone() };
    let start = Instant::now();
    gallery.search(&queries[..1], &without)?;
    let first_without = since(start);
    let found = gallery.search(queries, &plain)?;
    let nearest: Vec<Option<Pid>> =
        found.iter().map(|answer| answer.hits.first().map(|hit| hit.pid)).collect();
    let time = |queries: &[&[f32]], options| median(&gallery, queries, options);
    Ok(json!({
        "open": opened,
        "one": time(&queries[..1], &plain)?,
        "batch": time(queries, &plain)?,
        "first_without_camera": first_without,
        "one_without_camera": time(&queries[..1], &without)?,
        "batch_without_camera": time(queries, &without)?,
        "nearest": nearest,
    }))
}

/// Durable additions of one image, and removals.
fn updates(gallery: &EmbeddedGallery, dim: usize) -> Result<Value, Box<dyn Error>> {
    let mut numbers = Numbers(5);
    let key = |i: usize| format!("update-{i}");
    let rate = |start: Instant| UPDATES as f64 * 1000.0 / since(start);
    let start = Instant::now();
    for i in 0..UPDATES {
        let (pid, vector) = (Pid((i * 17 % 50) as i64), numbers.vector(dim));
        let new = NewMember::new(key(i), pid, Some(CamId(1)), vector);
        gallery.add(&[new], AddOptions::default())?;
    }
    let added = rate(start);
    let start = Instant::now();
    for i in 0..UPDATES {
        gallery.remove(&Selection::Keys(vec![key(i)]))?;
    }
    Ok(json!({ "add": added, "remove": rate(start) }))
}

fn median(
    gallery: &EmbeddedGallery,
    queries: &[&[f32]],
    options: &SearchOptions,
) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let start = Instant::now();
        gallery.search(queries, options)?;
        times.push(since(start));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[REPEATS / 2])
}

fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

fn open(file: &Path, rows: Precision) -> Result<EmbeddedGallery, Box<dyn Error>> {
    Ok(EmbeddedGallery::open(file, OpenOptions { rows, ..OpenOptions::default() })?)
}

fn fill(Arguments { classes, dim, images, file, .. }: &Arguments) -> Result<(), Box<dyn Error>> {
    let gallery = EmbeddedGallery::create(file, &Settings::new(*dim))?;
    let pids: Vec<usize> = (0..*classes).collect();
    for pids in pids.chunks(500) {
        let image = |pid: usize, image: usize| {
            let vector = Numbers((images * pid + image) as u64 * 7919).vector(*dim);
            let camid = Some(CamId((image % 2) as u32));
            NewMember::new(format!("{pid}-{image}"), Pid(pid as i64), camid, vector)
        };
        let of_class = |&pid: &usize| (0..*images).map(move |number| image(pid, number));
        let members: Vec<NewMember> = pids.iter().flat_map(of_class).collect();
        gallery.add(&members, AddOptions::default())?;
    }
    Ok(())
}

/// Unit centroids in the order of their pids, and unit queries.
fn dump(
    gallery: &EmbeddedGallery,
    queries: &[&[f32]],
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    let means = centroids(&gallery.to_embeddings()?, CentroidOf::Raw).to_normalized();
    let n = queries.len();
    let (pids, paths) = (vec![Pid(0); n], vec![String::new(); n]);
    let queries = Embeddings::new(means.dim(), queries.concat(), pids, vec![None; n], paths)?;
    let bytes = |set: &Embeddings| -> Vec<u8> {
        set.values().iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    std::fs::write(folder.join("centroids.f32"), bytes(&means))?;
    std::fs::write(folder.join("queries.f32"), bytes(&queries.to_normalized()))?;
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let (mut classes, mut dim, mut images, mut file, mut dump) = (100_000, 2048, 2, None, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--classes" => classes = value.parse()?,
            "--dim" => dim = value.parse()?,
            "--images" => images = value.parse()?,
            "--file" => file = Some(value.into()),
            "--dump" => dump = Some(value.into()),
            _ => {
                return Err(
                    format!("unknown {word}: --classes, --dim, --images, --file, --dump").into()
                );
            }
        }
    }
    let name = format!("centroids-{classes}x{dim}x{images}.gallery");
    let file = file.unwrap_or_else(|| std::env::temp_dir().join(name));
    Ok(Arguments { classes, dim, images, file, dump })
}

struct Numbers(u64);

impl Numbers {
    /// About normal, as embeddings are.
    fn vector(&mut self, dim: usize) -> Vec<f32> {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..dim).map(|_| uniform() + uniform() + uniform()).collect()
    }
}
