//! A run folder: `config.toml`, `metrics.jsonl`, the event file of TensorBoard,
//! `checkpoints/{last,best}.safetensors`, `evaluation.json`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use centroids_core::Report;
use centroids_model::EpochMetrics;
use serde_json::{Value, json};

use crate::files::write_text;
use crate::{Error, Experiment, run_log};

/// The folder of one training run.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the folder of a new run. It counts as a run from [`RunDir::begin`] on.
    ///
    /// # Errors
    /// A folder that already holds a run, or that cannot be made.
    pub fn create(path: &Path) -> Result<RunDir, Error> {
        let run = RunDir { path: path.to_owned() };
        if run.config().exists() {
            let reason = format!(
                "already holds a run; continue it with `--resume {}` or choose another output_dir",
                path.display()
            );
            return Err(Error::Run { path: path.to_owned(), reason });
        }
        let checkpoints = path.join("checkpoints");
        fs::create_dir_all(&checkpoints)
            .map_err(|source| Error::Write { path: checkpoints, source })?;
        Ok(run)
    }

    /// The folder as another process has made it.
    pub(crate) fn at(path: &Path) -> RunDir {
        RunDir { path: path.to_owned() }
    }

    /// Writes the configuration; call it when the first checkpoint is there.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn begin(&self, experiment: &Experiment) -> Result<(), Error> {
        write_text(&self.config(), &experiment.to_toml()?)?;
        run_log::update(self)
    }

    /// Keeps other processes from training in this folder as long as the result lives.
    ///
    /// # Errors
    /// When another process does, or the lock file cannot be made.
    pub fn lock(&self) -> Result<fs::File, Error> {
        let path = self.path.join("lock");
        let write = |source| Error::Write { path: path.clone(), source };
        let file = fs::File::options().create(true).append(true).open(&path).map_err(write)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                let reason = "is being trained by another process; wait for it or stop it";
                Err(Error::Run { path: self.path.clone(), reason: reason.to_owned() })
            }
            Err(fs::TryLockError::Error(source)) => Err(write(source)),
        }
    }

    /// The folder of an existing run.
    ///
    /// # Errors
    /// A folder without `config.toml`.
    pub fn open(path: &Path) -> Result<RunDir, Error> {
        let run = RunDir { path: path.to_owned() };
        if run.config().is_file() {
            return Ok(run);
        }
        let reason = "is not the folder of a run (it has no config.toml)".to_owned();
        Err(Error::Run { path: path.to_owned(), reason })
    }

    /// The run that a checkpoint belongs to; its folder will do as well.
    ///
    /// # Errors
    /// A path that is missing or in no run.
    pub fn of_checkpoint(path: &Path) -> Result<RunDir, Error> {
        if path.is_dir() {
            return RunDir::open(path);
        }
        let absolute =
            path.canonicalize().map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let run = absolute.parent().and_then(Path::parent).map(RunDir::open);
        run.and_then(Result::ok).ok_or_else(|| {
            let reason = "lies in no run folder, so there is no training to continue; to start from \
                          its weights set model.resume_training to false";
            Error::Run { path: path.to_owned(), reason: reason.to_owned() }
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`: every setting of the run.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `metrics.jsonl`: a line per epoch and per evaluation.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `events.out.tfevents.centroids`: the numbers of the metrics file for TensorBoard.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.out.tfevents.centroids")
    }

    /// `checkpoints/last.safetensors`: the newest state.
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoints/last.safetensors")
    }

    /// `checkpoints/best.safetensors`: the state that the monitor found best.
    pub fn best(&self) -> PathBuf {
        self.path.join("checkpoints/best.safetensors")
    }

    /// The checkpoint to use: the best one, else the last.
    pub fn model(&self) -> PathBuf {
        if self.best().is_file() { self.best() } else { self.last() }
    }

    /// `visrank/<unit>/`: pictures of the rankings, where the experiment wants them.
    pub fn pictures(&self) -> PathBuf {
        self.path.join("visrank")
    }

    /// `evaluation.json`: the reports of the final evaluation.
    pub fn evaluation(&self) -> PathBuf {
        self.path.join("evaluation.json")
    }

    /// Appends an epoch's means.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn log_epoch(
        &self,
        metrics: &EpochMetrics,
        seconds: f64,
        images: f64,
    ) -> Result<(), Error> {
        let mut line = json!(metrics);
        line["seconds"] = json!(seconds);
        line["images_per_second"] = json!(images / seconds.max(1e-9));
        self.append(line)
    }

    /// Appends an evaluation after `epoch` under the reference's names (`mAP`, `Top-1`, …: the
    /// instance figures) with the monitored value and all reports beside them.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn log_evaluation(
        &self,
        epoch: usize,
        monitored: Option<f64>,
        reports: &[Report],
    ) -> Result<(), Error> {
        let mut line = json!({ "epoch": epoch, "monitored": monitored, "evaluation": reports });
        if let Some(instance) = reports.first() {
            line["mAP"] = json!(instance.map);
            for k in [1, 5, 10, 20, 50] {
                line[format!("Top-{k}")] = json!(instance.rank(k));
            }
        }
        self.append(line)
    }

    /// The monitored value of every logged evaluation.
    ///
    /// # Errors
    /// [`Error::Read`]
    pub fn monitored(&self) -> Result<Vec<f64>, Error> {
        Ok(self.lines()?.iter().filter_map(|line| line["monitored"].as_f64()).collect())
    }

    /// Whether an evaluation after `epoch` is logged.
    ///
    /// # Errors
    /// [`Error::Read`]
    pub fn evaluated(&self, epoch: usize) -> Result<bool, Error> {
        let at = |line: &Value| line.get("evaluation").is_some() && line["epoch"] == epoch;
        Ok(self.lines()?.iter().any(at))
    }

    /// Drops the lines of `epoch` and later: they will be written again.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`]
    pub fn forget_from(&self, epoch: usize) -> Result<(), Error> {
        let lines = self.lines()?;
        let kept = lines.iter().filter(|line| line["epoch"].as_u64() < Some(epoch as u64));
        let text: String = kept.map(|line| format!("{line}\n")).collect();
        write_text(&self.metrics(), &text)?;
        run_log::update(self)
    }

    /// Lines of the metrics file; a last line cut by a crash is left out.
    pub(crate) fn lines(&self) -> Result<Vec<Value>, Error> {
        let path = self.metrics();
        match fs::read_to_string(&path) {
            Ok(text) => {
                Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Appends a line with its time, in Unix seconds, and brings the other logs up to date.
    fn append(&self, mut line: Value) -> Result<(), Error> {
        line["time"] = json!(unix_seconds());
        let path = self.metrics();
        let write = || {
            let mut file = fs::File::options().create(true).append(true).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())
        };
        write().map_err(|source| Error::Write { path: path.clone(), source })?;
        run_log::update(self)
    }
}

/// Now, to the millisecond.
fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_made_once_and_its_log_can_be_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        assert!(RunDir::open(&path).is_err());
        let run = RunDir::create(&path).unwrap();
        assert!(RunDir::open(&path).is_err(), "not a run yet");
        run.begin(&Experiment::default()).unwrap();
        assert!(RunDir::create(&path).is_err());
        let lock = run.lock().unwrap();
        assert!(run.lock().is_err());
        drop(lock);
        assert!(run.lock().is_ok());
        assert_eq!(Experiment::read(&run.config()).unwrap(), Experiment::default());

        for epoch in 0..3 {
            run.append(json!({ "epoch": epoch })).unwrap();
        }
        run.append(json!({ "epoch": 2, "evaluation": [], "monitored": 0.5 })).unwrap();
        fs::write(run.metrics(), fs::read_to_string(run.metrics()).unwrap() + "{\"epoch\": 3")
            .unwrap();
        assert_eq!(run.monitored().unwrap(), [0.5]);
        assert!(run.evaluated(2).unwrap() && !run.evaluated(1).unwrap());
        run.forget_from(2).unwrap();
        assert_eq!(run.lines().unwrap().len(), 2);
    }
}
