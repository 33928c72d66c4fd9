//! Times k-reciprocal re-ranking on vectors without a meaning and prints a line of JSON.
//!
//! ```text
//! cargo run --release --example rerank_speed -- --vectors 10000 --queries 2000
//! ```
//!
//! The product of all vectors is timed once more on its own, unless `--product false`.
//! `--features FILE` only writes the vectors, `[vectors, dim]`, and `--lists FILE` the rows of the 50
//! first of every query, `[queries, 50]`: both for `benches/peers/rerank`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use centroids_core::{
    CameraRule, Embeddings, KReciprocal, Metric, NpyValues, Pid, RankedQuery, Ranking, Unit,
    rerank, write_npy,
};
use rayon::prelude::*;
use serde_json::json;

/// Images of an identity, on average.
const IMAGES: usize = 20;
/// Dimensions in which vectors truly differ, so that identities are not all apart.
const LATENT: usize = 64;
/// Hits per query.
const HITS: usize = 50;

struct Arguments {
    vectors: usize,
    queries: usize,
    dim: usize,
    threads: usize,
    features: Option<PathBuf>,
    lists: Option<PathBuf>,
    product: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let Arguments { vectors, queries, dim, threads, .. } = arguments;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    if let Some(path) = &arguments.features {
        let all = drawn(0..vectors, vectors, dim)?;
        return Ok(write_npy(path, NpyValues::F32(all.values()), &[vectors, dim])?);
    }
    let query = drawn(0..queries, vectors, dim)?;
    let gallery = drawn(queries..vectors, vectors, dim)?;
    let (metric, settings) = (Metric::default(), KReciprocal::default());
    let ranking = Ranking { k: HITS, unit: Unit::Instance, cameras: CameraRule::Any, metric };
    let rows: Vec<usize> = (0..queries).collect();
    let start = Instant::now();
    let ranked = rerank::rank(&query, &rows, &gallery, &ranking, &settings)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_rss_mb = peak_rss_mb()?;
    if let Some(path) = &arguments.lists {
        write_lists(path, &ranked)?;
    }
    let product = arguments.product.then(|| {
        let start = Instant::now();
        rerank::product_alone(&query, &gallery, &metric).map(|()| start.elapsed().as_secs_f64())
    });
    let product = product.transpose()?;
    let precisions = ranked.iter().filter_map(|ranked| ranked.average_precision);
    println!(
        "{}",
        json!({
            "vectors": vectors,
            "queries": queries,
            "dim": dim,
            "product_seconds": product,
            "after_seconds": product.map(|product| seconds - product),
            "seconds": seconds,
            "mAP": precisions.sum::<f64>() / queries as f64,
            "peak_rss_mb": peak_rss_mb,
        })
    );
    Ok(())
}

/// Gallery rows of the hits.
fn write_lists(path: &Path, ranked: &[RankedQuery]) -> Result<(), Box<dyn Error>> {
    let hits = ranked.iter().flat_map(|ranked| &ranked.hits);
    let rows: Vec<i64> = hits.map(|hit| hit.example as i64).collect();
    Ok(write_npy(path, NpyValues::I64(&rows), &[ranked.len(), rows.len() / ranked.len()])?)
}

/// These rows of the set of so many vectors: identities are places, images lie around them, some
/// near, some far.
fn drawn(
    rows: std::ops::Range<usize>,
    vectors: usize,
    dim: usize,
) -> Result<Embeddings, Box<dyn Error>> {
    let identities = vectors.div_ceil(IMAGES) as u64;
    let identity = |row: usize| Random(row as u64).next() % identities;
    let mut values = vec![0.0; rows.len() * dim]; // [rows, dim]
    values.par_chunks_exact_mut(dim).zip(rows.clone()).for_each(|(values, row)| {
        let mut place = Random(!identity(row));
        let mut image = Random(row as u64);
        let spread = 1.2 + image.unit();
        let latent = [(); LATENT].map(|()| place.unit() + spread * image.unit());
        let values = values.iter_mut().zip(latent.iter().cycle());
        values.for_each(|(value, latent)| *value = latent + 0.25 * image.unit());
    });
    let pids = rows.clone().map(|row| Pid(identity(row) as i64)).collect();
    let n = rows.len();
    Ok(Embeddings::new(dim, values, pids, vec![None; n], vec![String::new(); n])?)
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// −0.5 to 0.5.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    }
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let threads = std::thread::available_parallelism()?.get();
        let (vectors, queries, dim) = (10_000, 2_000, 2_048);
        let mut read =
            Self { vectors, queries, dim, threads, features: None, lists: None, product: true };
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--vectors" => read.vectors = value.parse()?,
                "--queries" => read.queries = value.parse()?,
                "--dim" => read.dim = value.parse()?,
                "--threads" => read.threads = value.parse()?,
                "--features" => read.features = Some(value.into()),
                "--product" => read.product = value.parse()?,
                "--lists" => read.lists = Some(value.into()),
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        if read.queries == 0 || read.queries >= read.vectors || read.dim == 0 {
            return Err("--queries must be less than --vectors, and nothing 0".into());
        }
        Ok(read)
    }
}

/// Largest resident set so far, in MiB (`VmHWM`); `None` where there is no such file.
fn peak_rss_mb() -> Result<Option<f64>, Box<dyn Error>> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(None) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).map(str::parse::<f64>);
    Ok(kib.transpose()?.map(|kib| kib / 1024.0))
}
