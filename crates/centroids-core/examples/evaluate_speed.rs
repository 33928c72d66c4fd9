//! Evaluates two embedding files by the clock, for `benches/peers/evaluation`.
//!
//! ```sh
//! evaluate_speed QUERY GALLERY               # distances and metrics, from the files in memory
//! evaluate_speed QUERY GALLERY DISTANCES     # metrics of a matrix of f32, [query, gallery]
//! evaluate_speed QUERY GALLERY --all         # all units under all camera rules
//! ```
//!
//! Prints one line of JSON: seconds, peak memory in MiB, and what was found for images under the
//! camera rule `market`.

use std::path::Path;
use std::time::Instant;

use centroids_core::{
    CameraRule, Distance, Embeddings, Error, Labels, Metric, Report, Unit, evaluate_distances,
    evaluate_grid,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [query, gallery, rest @ ..] = arguments.as_slice() else {
        return Err("name two embedding files".into());
    };
    let (query, gallery) = (Embeddings::load(query.as_ref())?, Embeddings::load(gallery.as_ref())?);
    let distances = match rest {
        [file] if file != "--all" => Some(read_matrix(file.as_ref())?),
        _ => None,
    };
    let start = Instant::now();
    let report = match distances {
        Some(distances) => {
            evaluate_distances(&distances, labels(&query), labels(&gallery), CameraRule::Market)?
        }
        None if rest.is_empty() => {
            grid(&query, &gallery, &[Unit::Instance], &[CameraRule::Market])?
        }
        None => grid(&query, &gallery, Unit::ALL, CameraRule::ALL)?,
    };
    let found = serde_json::json!({
        "seconds": start.elapsed().as_secs_f64(),
        "peak_mib": peak_mib(),
        "mAP": report.map,
        "mINP": report.minp,
        "rank1": report.rank(1),
        "rank10": report.rank(10),
    });
    #[expect(clippy::print_stdout, reason = "it is what this program is for")]
    {
        println!("{found}");
    }
    Ok(())
}

fn grid(
    query: &Embeddings,
    gallery: &Embeddings,
    units: &[Unit],
    rules: &[CameraRule],
) -> Result<Report, Error> {
    let metric = Metric { distance: Distance::Cosine, ..Metric::default() };
    Ok(evaluate_grid(query, gallery, units, rules, &metric)?.swap_remove(0))
}

fn labels(set: &Embeddings) -> Labels<'_> {
    Labels { pids: set.pids(), camids: set.camids() }
}

fn read_matrix(path: &Path) -> std::io::Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

/// Largest resident set so far, as Linux tells it; 0 elsewhere.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
