//! The `.safetensors` form.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{FORMAT, Failure, FileFault, numbers, write_atomically};
use crate::embeddings::Embeddings;
use crate::ids::{CamId, Pid};
use crate::values::Values;

/// What every version's `format` begins with.
const FORMAT_FAMILY: &str = "centroids.embeddings.v";

/// Headers are no longer than this in any safetensors implementation.
const MAX_HEADER: u64 = 100_000_000;

/// Bytes of the header's length at the beginning of a file.
const LENGTH_BYTES: u64 = 8;

pub(super) fn read(path: &Path) -> Result<Embeddings, Failure> {
    let mut file = TensorFile::open(path)?;
    let texts = file.header.metadata().clone().unwrap_or_default();
    check_format(texts.get("format"))?;
    let (n, dim) = match *file.shape("embeddings", Dtype::F32)? {
        [n, dim] => (n, dim),
        ref other => return Err(wrong_shape("embeddings", other, "[n, d]".to_owned())),
    };
    for list in ["pids", "camids"] {
        let shape = file.shape(list, Dtype::I64)?;
        if *shape != [n] {
            return Err(wrong_shape(list, shape, format!("[{n}]")));
        }
    }
    let values = file.values("embeddings", n * dim)?;
    let pids = file.numbers("pids", n, |bytes| Pid(i64::from_le_bytes(bytes)))?;
    let camids = cameras(&file.numbers("camids", n, i64::from_le_bytes)?)?;
    let paths = from_json(&texts, "paths", "a JSON array of strings")?
        .ok_or(FileFault::MissingMetadata("paths"))?;
    let embeddings = Embeddings::of_values(dim, values, pids, camids, paths)
        .map_err(|error| FileFault::Content(Box::new(error)))?;
    let names = from_json(&texts, "pid_names", "a JSON object from pid to name")?;
    let normalized = from_json(&texts, "normalized", "`true` or `false`")?;
    Ok(embeddings
        .with_model(texts.get("model").cloned().unwrap_or_default())
        .with_model_path(texts.get("model_path").cloned().unwrap_or_default())
        .with_pid_names(names.unwrap_or_default())
        .with_normalized(normalized.unwrap_or(false)))
}

pub(super) fn write(embeddings: &Embeddings, path: &Path) -> Result<(), Failure> {
    let values = |out: &mut dyn Write| numbers::write(out, embeddings.values(), f32::to_le_bytes);
    write_rows(&Labels::of(embeddings), path, values)
}

/// Writes a file whose numbers, `[n, dim]` row-major, come from `values`.
pub(super) fn write_rows(
    labels: &Labels<'_>,
    path: &Path,
    values: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let header = header(labels);
    if header.len() as u64 > MAX_HEADER {
        return Err(FileFault::TooMuchText(header.len()).into());
    }
    let pids: Vec<i64> = labels.pids.iter().map(|pid| pid.0).collect();
    let camids = labels.camids.iter();
    let camids: Vec<i64> = camids.map(|camid| camid.map_or(-1, |camid| camid.0.into())).collect();
    write_atomically(path, |out: &mut dyn Write| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        numbers::write(out, &pids, i64::to_le_bytes)?;
        numbers::write(out, &camids, i64::to_le_bytes)?;
        values(out)
    })?;
    Ok(())
}

/// All of a file but its numbers.
pub(super) struct Labels<'a> {
    pub(super) dim: usize,
    pub(super) pids: &'a [Pid],
    pub(super) camids: &'a [Option<CamId>],
    pub(super) paths: &'a [String],
    pub(super) pid_names: &'a BTreeMap<Pid, String>,
    pub(super) model: &'a str,
    pub(super) model_path: &'a str,
    pub(super) normalized: bool,
}

impl<'a> Labels<'a> {
    pub(super) fn of(embeddings: &'a Embeddings) -> Self {
        Self {
            dim: embeddings.dim(),
            pids: embeddings.pids(),
            camids: embeddings.camids(),
            paths: embeddings.paths(),
            pid_names: embeddings.pid_names(),
            model: embeddings.model(),
            model_path: embeddings.model_path(),
            normalized: embeddings.normalized(),
        }
    }
}

/// The header in a fixed order (the safetensors crate would order the metadata at random). The
/// tensors with the larger numbers come first, so that all are aligned.
fn header(labels: &Labels<'_>) -> String {
    let mut texts = BTreeMap::from([
        ("format", FORMAT.to_owned()),
        ("model", labels.model.to_owned()),
        ("normalized", labels.normalized.to_string()),
        ("paths", json!(labels.paths).to_string()),
    ]);
    if !labels.model_path.is_empty() {
        texts.insert("model_path", labels.model_path.to_owned());
    }
    if !labels.pid_names.is_empty() {
        texts.insert("pid_names", json!(labels.pid_names).to_string());
    }
    let (n, dim) = (labels.pids.len(), labels.dim);
    let tensor = |dtype: &str, shape: Value, start: usize, end: usize| json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
    let header = json!({
        "__metadata__": texts,
        "pids": tensor("I64", json!([n]), 0, 8 * n),
        "camids": tensor("I64", json!([n]), 8 * n, 16 * n),
        "embeddings": tensor("F32", json!([n, dim]), 16 * n, 16 * n + 4 * n * dim),
    });
    let mut header = header.to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    header
}

fn check_format(found: Option<&String>) -> Result<(), FileFault> {
    let found = found.ok_or(FileFault::NoFormat)?;
    if found == FORMAT {
        return Ok(());
    }
    let version = |format: &str| format.strip_prefix(FORMAT_FAMILY)?.parse::<u32>().ok();
    match version(found) {
        Some(other) if Some(other) > version(FORMAT) => Err(FileFault::NewerFormat(found.clone())),
        Some(_) => Err(FileFault::OlderFormat(found.clone())),
        None => Err(FileFault::OtherFormat(found.clone())),
    }
}

fn cameras(camids: &[i64]) -> Result<Vec<Option<CamId>>, FileFault> {
    let camera = |(row, &camid): (usize, &i64)| match camid {
        -1 => Ok(None),
        _ => match u32::try_from(camid) {
            Ok(number) => Ok(Some(CamId(number))),
            Err(_) => Err(FileFault::BadCamera { row, camid }),
        },
    };
    camids.iter().enumerate().map(camera).collect()
}

fn from_json<T: DeserializeOwned>(
    texts: &HashMap<String, String>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<T>, FileFault> {
    let bad = |problem: serde_json::Error| FileFault::BadMetadata {
        key,
        expected,
        problem: problem.to_string(),
    };
    texts.get(key).map(|text| serde_json::from_str(text)).transpose().map_err(bad)
}

fn wrong_shape(tensor: &'static str, found: &[usize], expected: String) -> Failure {
    FileFault::WrongShape { tensor, found: found.to_vec(), expected }.into()
}

/// An open safetensors file whose header has been checked against the file's length, so that
/// nothing is allocated for bytes that are not there.
struct TensorFile {
    file: BufReader<File>,
    header: Metadata,
    /// Where the tensors begin.
    start: u64,
}

impl TensorFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let mut beginning = Vec::new();
        file.by_ref().take(LENGTH_BYTES + 1).read_to_end(&mut beginning)?;
        let Some((length, [b'{'])) = beginning.split_first_chunk() else {
            let problem = if found == 0 { "it is empty" } else { "it has no header" };
            return Err(FileFault::NotSafetensors(problem.to_owned()).into());
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER {
            let problem = format!("a header of {length} bytes");
            return Err(FileFault::NotSafetensors(problem).into());
        }
        let start = LENGTH_BYTES + length;
        if found < start {
            return Err(FileFault::Length { expected: start, found }.into());
        }
        let mut header = vec![0; length as usize];
        file.seek(SeekFrom::Start(LENGTH_BYTES))?;
        file.read_exact(&mut header)?;
        // This also checks that the tensors lie side by side and fit their shapes.
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|error| FileFault::NotSafetensors(error.to_string()))?;
        let expected = start + header.data_len() as u64;
        if found != expected {
            return Err(FileFault::Length { expected, found }.into());
        }
        Ok(Self { file, header, start })
    }

    fn shape(&self, tensor: &'static str, expected: Dtype) -> Result<&[usize], FileFault> {
        let info = self.header.info(tensor).ok_or(FileFault::MissingTensor(tensor))?;
        if info.dtype != expected {
            let (found, expected) = (format!("{:?}", info.dtype), type_name(expected));
            return Err(FileFault::WrongType { tensor, found, expected });
        }
        Ok(&info.shape)
    }

    fn values(&mut self, tensor: &'static str, count: usize) -> Result<Values, Failure> {
        let info = self.header.info(tensor).ok_or(FileFault::MissingTensor(tensor))?;
        let start = self.start + info.data_offsets.0 as u64;
        Ok(Values::of_file(&mut self.file, start, count)?)
    }

    fn numbers<T, const WIDTH: usize>(
        &mut self,
        tensor: &'static str,
        count: usize,
        from_bytes: impl Fn([u8; WIDTH]) -> T,
    ) -> Result<Vec<T>, Failure> {
        let info = self.header.info(tensor).ok_or(FileFault::MissingTensor(tensor))?;
        self.file.seek(SeekFrom::Start(self.start + info.data_offsets.0 as u64))?;
        Ok(numbers::read(&mut self.file, count, from_bytes)?)
    }
}

fn type_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "F32",
        _ => "I64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_version_is_read() {
        let error = |format: &str| check_format(Some(&format.to_owned())).unwrap_err().to_string();
        assert!(check_format(Some(&FORMAT.to_owned())).is_ok());
        assert!(error("centroids.embeddings.v2").contains("upgrade centroids"));
        assert!(error("centroids.embeddings.v0").contains("embed the images again"));
        assert!(error("centroids.model.v1").contains("not an embedding file"));
        assert!(error("pt").contains("not an embedding file"));
        assert!(check_format(None).unwrap_err().to_string().contains("has no `format`"));
    }

    #[test]
    fn cameras_are_minus_one_or_a_number() {
        assert_eq!(cameras(&[-1, 0, 7]).unwrap(), [None, Some(CamId(0)), Some(CamId(7))]);
        assert!(cameras(&[0, -2]).unwrap_err().to_string().contains("-2 in row 1"));
        assert!(cameras(&[1 << 32]).is_err());
    }
}
