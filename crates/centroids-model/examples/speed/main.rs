//! Times one training step, one batch of embeddings, or a matrix product, and prints a line of JSON.
//!
//! ```text
//! cargo run --release --example speed -- --task train --backbone resnet50 --batch 16 \
//!     --size 256x128 --repeats 5 --threads 2
//! ```
//!
//! With `--data DIR` weights and inputs are those of `benches/peers/networks`, which also uses
//! `--on-demand`: a line on standard input for each repeat, so that two programs can take turns; and
//! `--outputs FILE`: one run, whose results are written to be compared.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

mod arguments;
mod case;
mod embedding;
mod matmul;
mod training;

use std::error::Error;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Instant;

use centroids_model::weights::Tensors;
use serde_json::{Value, json};

use arguments::{Arguments, Task};
use case::Case;
use centroids_model::kernels::{ProfileRow, start_profile, stop_profile};

/// A shorter run is done again and again until it fills this time.
const REPEAT_SECONDS: f64 = 0.5;
const WARM_UPS: usize = 2;

/// What is timed.
trait Timed {
    /// Once.
    fn run(&mut self);

    /// What came out of the first run, to compare with the peers.
    fn outputs(&self) -> Tensors;
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
    centroids_model::keep_freed_memory();
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let mut timed: Box<dyn Timed> = match arguments.task {
        Task::Train => Box::new(training::Training::new(Case::read(&arguments)?)?),
        Task::Embed => Box::new(embedding::Embedding::new(Case::read(&arguments)?)?),
        Task::Matmul => Box::new(matmul::Matmul::new(arguments.side)),
    };
    if let Some(path) = &arguments.outputs {
        timed.run();
        return Ok(safetensors::serialize_to_file(&timed.outputs(), None, path)?);
    }
    let seconds = time(timed.as_mut(), &arguments);
    println!("{}", summary(&arguments, seconds)?);
    if arguments.profile {
        profile(timed.as_mut());
    }
    Ok(())
}

/// Prints where the time of one run goes, kind of layer by kind of layer.
fn profile(timed: &mut dyn Timed) {
    start_profile();
    let total = seconds_of(timed, 1);
    let rows = stop_profile();
    let rest = total - rows.iter().map(|row| row.seconds).sum::<f64>();
    println!(
        "| layer | pass | calls | ms | share | GFLOP/s |\n| --- | --- | --- | --- | --- | --- |"
    );
    for row in rows {
        let speed = match row.flops {
            0.0 => String::new(),
            flops => format!("{:.0}", flops / row.seconds / 1e9),
        };
        let (ms, share) = (1e3 * row.seconds, 100.0 * row.seconds / total);
        let ProfileRow { layer, pass, calls, .. } = row;
        println!("| {layer} | {pass} | {calls} | {ms:.1} | {share:.1} % | {speed} |");
    }
    let (ms, share) = (1e3 * rest, 100.0 * rest / total);
    println!("| all else | | | {ms:.1} | {share:.1} % | |");
}

/// Seconds of one run, for every repeat.
fn time(timed: &mut dyn Timed, arguments: &Arguments) -> Vec<f64> {
    let warm_ups: Vec<f64> = (0..WARM_UPS).map(|_| seconds_of(timed, 1)).collect();
    let times = (REPEAT_SECONDS / warm_ups[WARM_UPS - 1]).round().max(1.0) as u32;
    if !arguments.on_demand {
        return (0..arguments.repeats).map(|_| seconds_of(timed, times)).collect();
    }
    println!("{}", json!({ "ready": true }));
    let lines = std::io::stdin().lock().lines().map_while(Result::ok);
    lines
        .map(|_| {
            let seconds = seconds_of(timed, times);
            println!("{}", json!({ "seconds": seconds }));
            seconds
        })
        .collect()
}

/// Seconds of one run, as the mean over `times`.
fn seconds_of(timed: &mut dyn Timed, times: u32) -> f64 {
    let start = Instant::now();
    (0..times).for_each(|_| timed.run());
    start.elapsed().as_secs_f64() / f64::from(times)
}

fn summary(arguments: &Arguments, seconds: Vec<f64>) -> Result<Value, Box<dyn Error>> {
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let (Some(best), Some(worst)) = (sorted.first(), sorted.last()) else {
        return Err("no repeat was asked for".into());
    };
    let (unit, work) = match arguments.task {
        Task::Matmul => ("gflop_per_second", 2e-9 * (arguments.side as f64).powi(3)),
        Task::Train | Task::Embed => ("images_per_second", arguments.batch as f64),
    };
    let median = work / sorted[sorted.len() / 2];
    Ok(json!({
        "task": arguments.task.name(),
        "backbone": arguments.backbone,
        "batch": arguments.batch,
        unit: { "median": median, "min": work / worst, "max": work / best },
        "seconds": seconds,
        "peak_rss_mb": peak_rss_mb()?,
    }))
}

/// Largest resident set so far, in MiB (`VmHWM`); `None` where there is no such file.
fn peak_rss_mb() -> Result<Option<f64>, Box<dyn Error>> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(None) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).map(str::parse::<f64>);
    Ok(kib.transpose()?.map(|kib| kib / 1024.0))
}
