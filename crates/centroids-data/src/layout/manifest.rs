//! A list of images: CSV with a header line, or one JSON object a line.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::named::{NamedImage, NumberOrText, number};
use crate::dataset::{Dataset, Split};
use crate::error::Error;

/// Columns every manifest has; `camid` may come with them, further columns are ignored.
const COLUMNS: [&str; 3] = ["path", "pid", "split"];

/// The manifest meant by `root`: itself when it is a `.csv` or `.jsonl` file, else `manifest.csv`
/// or `manifest.jsonl` in it.
pub(super) fn find(root: &Path) -> Option<PathBuf> {
    if root.is_file() {
        return is_csv(root).map(|_| root.into());
    }
    let candidates = ["manifest.csv", "manifest.jsonl"].map(|name| root.join(name));
    candidates.into_iter().find(|path| path.is_file())
}

/// Reads a manifest. Paths are relative to it; identities and cameras may be texts.
pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    let wanted =
        "give a .csv or .jsonl file, or a folder with manifest.csv or manifest.jsonl in it";
    let path = find(root).ok_or_else(|| Error::UnknownLayout { path: root.into(), wanted })?;
    let rows = match is_csv(&path) {
        Some(true) => csv_rows(&path)?,
        _ => jsonl_rows(&path)?,
    };
    if rows.is_empty() {
        return Err(Error::layout(&path, "no rows in it: add one line per image"));
    }
    let mut splits = Vec::with_capacity(rows.len());
    let mut images = Vec::with_capacity(rows.len());
    for row in rows {
        let (split, image) = row.check(&path)?;
        splits.push(split);
        images.push(image);
    }
    let (records, pid_names) = number(images);
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut dataset = Dataset { name, root: root.into(), pid_names, ..Dataset::default() };
    for (split, record) in splits.into_iter().zip(records) {
        dataset.split_mut(split).push(record);
    }
    Ok(dataset)
}

/// CSV, JSONL or neither, by the extension.
fn is_csv(path: &Path) -> Option<bool> {
    match path.extension()?.to_ascii_lowercase().to_str()? {
        "csv" => Some(true),
        "jsonl" => Some(false),
        _ => None,
    }
}

/// One row as written.
struct Row {
    line: u64,
    path: String,
    pid: String,
    camid: Option<String>,
    split: String,
}

impl Row {
    fn check(self, manifest: &Path) -> Result<(Split, NamedImage), Error> {
        let refuse =
            |problem: String| Error::Manifest { path: manifest.into(), line: self.line, problem };
        if let Some(empty) =
            [("path", &self.path), ("pid", &self.pid)].iter().find(|(_, v)| v.is_empty())
        {
            return Err(refuse(format!("{} is empty: fill it in", empty.0)));
        }
        let split = self.split.parse().map_err(|error: Error| refuse(error.to_string()))?;
        let path = manifest.parent().unwrap_or(Path::new("")).join(&self.path);
        if !path.is_file() {
            return Err(refuse(format!(
                "`{}` is no file: correct the path (relative to the manifest) or remove the row",
                path.display()
            )));
        }
        let camera = self.camid.filter(|camid| !["", "-1"].contains(&camid.as_str()));
        Ok((split, NamedImage { path, pid: self.pid, camera }))
    }
}

fn csv_rows(path: &Path) -> Result<Vec<Row>, Error> {
    let refuse = |line, problem| Error::Manifest { path: path.into(), line, problem };
    let broken = |error: csv::Error| {
        refuse(error.position().map_or(1, csv::Position::line), format!("{error}: correct the row"))
    };
    let file = open(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| header.iter().position(|field| field == name);
    let twice = |name: &&str| header.iter().filter(|field| field == name).count() > 1;
    if let Some(name) = COLUMNS.into_iter().chain(["camid"]).find(twice) {
        return Err(refuse(1, format!("the header names {name} twice: keep one column")));
    }
    let [path_at, pid_at, split_at] = COLUMNS.map(column);
    let (Some(path_at), Some(pid_at), Some(split_at)) = (path_at, pid_at, split_at) else {
        return Err(refuse(
            1,
            format!("the header must name {} (and may name camid)", COLUMNS.join(", ")),
        ));
    };
    let camid_at = column("camid");
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let field = |at: usize| record.get(at).unwrap_or_default().to_string();
        rows.push(Row {
            line: record.position().map_or(0, csv::Position::line),
            path: field(path_at),
            pid: field(pid_at),
            camid: camid_at.map(field),
            split: field(split_at),
        });
    }
    Ok(rows)
}

#[derive(Deserialize)]
struct JsonRow {
    path: String,
    pid: NumberOrText,
    #[serde(default)]
    camid: Option<NumberOrText>,
    split: String,
}

fn jsonl_rows(path: &Path) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(open(path)?).lines()) {
        let text = text.map_err(|source| Error::io(path, source))?;
        if text.trim().is_empty() {
            continue;
        }
        let row: JsonRow = serde_json::from_str(&text).map_err(|error| {
            let problem =
                format!("{error}: want {{\"path\", \"pid\", \"camid\" (optional), \"split\"}}");
            Error::Manifest { path: path.into(), line, problem }
        })?;
        rows.push(Row {
            line,
            path: row.path,
            pid: row.pid.into(),
            camid: row.camid.map(String::from),
            split: row.split,
        });
    }
    Ok(rows)
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::io(path, source))
}
