//! The same training with several seeds, and what their figures have in common.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use centroids_core::{CameraRule, Report, Unit};
use centroids_model::Workers;
use serde::Serialize;

use super::train::Observer;
use super::{Outcome, TrainEvent, resume, train};
use crate::files::{write_json, write_text};
use crate::{Error, Experiment, RunDir};

/// A folder of runs: `repeats.toml` (the experiment), `seed_<n>/` (a run each), `summary.json`.
#[derive(Clone, Debug)]
pub struct Repeats {
    path: PathBuf,
    experiment: Experiment,
}

impl Repeats {
    /// Makes the folder for `experiment.repeats` runs.
    ///
    /// # Errors
    /// Impossible settings; a folder that already holds runs, or that cannot be written.
    pub fn create(experiment: &Experiment, path: &Path) -> Result<Repeats, Error> {
        experiment.check()?;
        if Repeats::exists(path) || path.join("config.toml").exists() {
            let folder = path.display();
            let reason = format!(
                "already holds runs; continue them with `--resume {folder}` or choose another \
                 output_dir"
            );
            return Err(Error::Run { path: path.to_owned(), reason });
        }
        std::fs::create_dir_all(path)
            .map_err(|source| Error::Write { path: path.to_owned(), source })?;
        write_text(&plan(path), &experiment.to_toml()?)?;
        Ok(Repeats::at(experiment, path))
    }

    /// The folder as another process makes it.
    pub fn at(experiment: &Experiment, path: &Path) -> Repeats {
        Repeats { path: path.to_owned(), experiment: experiment.clone() }
    }

    /// Whether a folder was made by [`Repeats::create`].
    pub fn exists(path: &Path) -> bool {
        plan(path).is_file()
    }

    /// Opens a folder made by [`Repeats::create`].
    ///
    /// # Errors
    /// As [`Experiment::read`].
    pub fn open(path: &Path) -> Result<Repeats, Error> {
        Ok(Repeats { path: path.to_owned(), experiment: Experiment::read(&plan(path))? })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings of all runs but for the seed, which is that of the first.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// Runs what is not finished, one after the other. The last outcome is
    /// [`Outcome::Interrupted`] where `stop` was set.
    ///
    /// # Errors
    /// As [`train`].
    pub fn go(
        &self,
        workers: &Rc<dyn Workers>,
        stop: &AtomicBool,
        observer: &mut Observer<'_>,
    ) -> Result<Vec<(RunDir, Outcome)>, Error> {
        let of = self.experiment.repeats;
        let mut runs = Vec::with_capacity(of);
        for number in 1..=of {
            let seed = self.experiment.seed + number as u64 - 1;
            observer(TrainEvent::Run { number, of, seed });
            let path = self.path.join(format!("seed_{seed}"));
            // Process 0 may be making the folder while others look.
            let mut begun = vec![u8::from(RunDir::open(&path).is_ok())];
            workers.broadcast(&mut begun);
            let (run, outcome) = if begun == [1] {
                resume(RunDir::open(&path)?, workers, stop, observer)?
            } else {
                let output_dir = path.clone();
                let one = Experiment { seed, repeats: 1, output_dir, ..self.experiment.clone() };
                train(&one, &path, workers, stop, observer)?
            };
            let interrupted = matches!(outcome, Outcome::Interrupted);
            runs.push((run, outcome));
            if interrupted {
                return Ok(runs);
            }
        }
        if workers.leads() {
            write_json(&self.path.join("summary.json"), &summarize(&runs))?;
        }
        Ok(runs)
    }
}

fn plan(path: &Path) -> PathBuf {
    path.join("repeats.toml")
}

/// Mean and sample standard deviation (0 for one value) of a figure over the runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, divided by the number of runs less one.
    pub std: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Spread {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Spread { mean, std: (squares / (n - 1.0).max(1.0)).sqrt() }
    }
}

/// One kind of evaluation over several runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What was ranked.
    pub unit: Unit,
    /// What was left out.
    pub cameras: CameraRule,
    /// How many runs were evaluated.
    pub runs: usize,
    /// mAP.
    #[serde(rename = "mAP")]
    pub map: Spread,
    /// mINP.
    #[serde(rename = "mINP")]
    pub minp: Spread,
    /// Rank-1, rank-5, rank-10.
    pub rank: [Spread; 3],
}

/// Ranks of [`Summary::rank`].
pub const SUMMARY_RANKS: [usize; 3] = [1, 5, 10];

/// Means over the finished runs, an entry per kind of evaluation.
pub fn summarize(runs: &[(RunDir, Outcome)]) -> Vec<Summary> {
    let finished: Vec<&[Report]> = runs
        .iter()
        .filter_map(|(_, outcome)| match outcome {
            Outcome::Finished { reports, .. } => Some(reports.as_slice()),
            Outcome::Interrupted => None,
        })
        .collect();
    let first = finished.first().copied().unwrap_or_default();
    let summary = |kind: &Report| {
        let same = |report: &&Report| (report.unit, report.cameras) == (kind.unit, kind.cameras);
        let all: Vec<&Report> =
            finished.iter().filter_map(|reports| reports.iter().find(same)).collect();
        let spread = |figure: &dyn Fn(&Report) -> f64| {
            Spread::of(&all.iter().map(|report| figure(report)).collect::<Vec<_>>())
        };
        Summary {
            unit: kind.unit,
            cameras: kind.cameras,
            runs: all.len(),
            map: spread(&|report| report.map),
            minp: spread(&|report| report.minp),
            rank: SUMMARY_RANKS.map(|k| spread(&|report| report.rank(k))),
        }
    };
    first.iter().map(summary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_mean_and_sample_deviation() {
        assert_eq!(Spread::of(&[2.0, 4.0, 9.0]), Spread { mean: 5.0, std: 13f64.sqrt() });
        assert_eq!(Spread::of(&[3.0]), Spread { mean: 3.0, std: 0.0 });
    }

    #[test]
    fn a_folder_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs");
        let experiment = Experiment { repeats: 2, ..Experiment::default() };
        assert!(!Repeats::exists(&path));
        Repeats::create(&experiment, &path).unwrap();
        assert_eq!(Repeats::open(&path).unwrap().experiment().repeats, 2);
        let error = Repeats::create(&experiment, &path).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
    }
}
