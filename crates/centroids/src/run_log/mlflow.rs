//! A run in MLflow's file store, under its experiment 0 ("Default").
//!
//! ```text
//! <mlflow_dir>/0/meta.yaml
//! <mlflow_dir>/0/<run id>/meta.yaml            name, state, times
//!                         metrics/<name>       lines "milliseconds value epoch"
//!                         params/<KEY>         settings, keys as MODEL/NAME as the reference has them
//!                         tags/<name>
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::json;
use toml::Value;

use super::Line;
use super::follow::follow;
use crate::{Error, Experiment, RunDir};

/// States of a run in MLflow.
const RUNNING: u8 = 1;
const FINISHED: u8 = 3;
/// Kind of source: a local program.
const LOCAL: u8 = 4;

/// Brings the run's files up to date.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`]
pub(super) fn update(run: &RunDir, experiment: &Experiment, lines: &[Line]) -> Result<(), Error> {
    let run_path = absolute(run.path())?;
    let id = run_id(&run_path);
    let dir = &experiment.mlflow_dir;
    let artifacts = dir.join("0").join(&id).join("artifacts");
    fs::create_dir_all(&artifacts)
        .map_err(|source| Error::Write { path: artifacts.clone(), source })?;
    let dir = absolute(dir)?;
    let folder = dir.join("0").join(&id);
    write_experiment(&dir)?;

    let metrics = metrics(lines);
    remove_others(&folder.join("metrics"), "", &metrics)?;
    for (name, text) in &metrics {
        follow(&folder.join("metrics").join(name), text.as_bytes())?;
    }
    for (key, value) in params(experiment)? {
        follow(&folder.join("params").join(key), value.as_bytes())?;
    }
    let name = run_path.file_name().unwrap_or_default().to_string_lossy();
    let path = run_path.to_string_lossy();
    for (tag, value) in [
        ("mlflow.runName", name.as_ref()),
        ("mlflow.source.name", "centroids train"),
        ("mlflow.source.type", "LOCAL"),
        ("run_folder", path.as_ref()),
    ] {
        follow(&folder.join("tags").join(tag), value.as_bytes())?;
    }
    let meta = run_meta(&id, &name, &folder, times(experiment, lines));
    follow(&folder.join("meta.yaml"), meta.as_bytes())
}

/// 128-bit FNV-1a of the run folder's path: the same folder is the same run.
fn run_id(path: &Path) -> String {
    let add = |hash: u128, byte: &u8| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    let bytes = path.as_os_str().as_encoded_bytes();
    format!("{:032x}", bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, add))
}

/// MLflow makes its default experiment only together with a new folder, so we do; one that is there
/// stays.
fn write_experiment(dir: &Path) -> Result<(), Error> {
    let path = dir.join("0/meta.yaml");
    if path.exists() {
        return Ok(());
    }
    let location = quoted(&dir.join("0").to_string_lossy());
    let text = format!(
        "artifact_location: {location}\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n"
    );
    follow(&path, text.as_bytes())
}

/// Start and end in Unix milliseconds; a run has ended when its last epoch is logged.
fn times(experiment: &Experiment, lines: &[Line]) -> (u64, Option<u64>) {
    let epochs = experiment.solver.max_epochs as u64;
    let ended = lines.iter().any(|line| line.epoch + 1 == epochs);
    let start = lines.first().map_or(0, |line| milliseconds(line.time - line.seconds));
    (start, lines.last().filter(|_| ended).map(|line| milliseconds(line.time)))
}

fn run_meta(id: &str, name: &str, folder: &Path, (start, end): (u64, Option<u64>)) -> String {
    let artifacts = quoted(&folder.join("artifacts").to_string_lossy());
    let name = quoted(name);
    let status = if end.is_some() { FINISHED } else { RUNNING };
    let end = end.map_or("null".to_owned(), |end| end.to_string());
    format!(
        "artifact_uri: {artifacts}\nend_time: {end}\nentry_point_name: ''\nexperiment_id: '0'\n\
         lifecycle_stage: active\nrun_id: '{id}'\nrun_name: {name}\nrun_uuid: '{id}'\nsource_name: ''\n\
         source_type: {LOCAL}\nsource_version: ''\nstart_time: {start}\nstatus: {status}\ntags: []\n\
         user_id: ''\n"
    )
}

/// Curves by name, a line per point.
fn metrics(lines: &[Line]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::<String, String>::new();
    for Line { epoch, time, scalars, .. } in lines {
        for (name, value) in scalars {
            let time = milliseconds(*time);
            files.entry(name.clone()).or_default().push_str(&format!("{time} {value} {epoch}\n"));
        }
    }
    files
}

/// Settings under the reference's names: `SOLVER/BASE_LR`.
fn params(experiment: &Experiment) -> Result<Vec<(String, String)>, Error> {
    let table = toml::Table::try_from(experiment)
        .map_err(|error| Error::Syntax { format: "TOML", reason: error.to_string() })?;
    let mut flat = Vec::new();
    flatten("", &table, &mut flat);
    Ok(flat)
}

fn flatten(prefix: &str, table: &toml::Table, flat: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = format!("{prefix}{}", key.to_uppercase());
        match value {
            Value::Table(inner) => flatten(&format!("{key}/"), inner, flat),
            Value::String(text) => flat.push((key, text.clone())),
            value => flat.push((key, value.to_string())),
        }
    }
}

/// Removes the metric files that are not among `metrics`: their lines were cut off, and MLflow takes
/// no empty ones.
fn remove_others(
    folder: &Path,
    prefix: &str,
    metrics: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Read { path: folder.to_owned(), source }),
    };
    for entry in entries {
        let entry = entry.map_err(|source| Error::Read { path: folder.to_owned(), source })?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = format!("{prefix}{}", name.to_string_lossy());
        if path.is_dir() {
            remove_others(&path, &format!("{name}/"), metrics)?;
        } else if !metrics.contains_key(&name) {
            fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

fn milliseconds(seconds: f64) -> u64 {
    (1e3 * seconds).round() as u64
}
