//! A file of named tensors that PyTorch or another program wrote.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, View};
use serde_json::{Map, Value};

use super::{Array, safetensors_file, torch};
use crate::Error;

/// A host tensor as it stands in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// Type of an element.
    pub dtype: Dtype,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements, row-major, little-endian.
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// The tensor in single precision.
    ///
    /// # Errors
    /// A type that is no floating point number of 16, 32 or 64 bits; a value that is not finite.
    pub fn to_array(&self) -> Result<Array, String> {
        let values: Vec<f32> = match self.dtype {
            Dtype::F32 => self.elements(f32::from_le_bytes).collect(),
            Dtype::F64 => self.elements(|bytes| f64::from_le_bytes(bytes) as f32).collect(),
            Dtype::F16 => self.elements(|bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::BF16 => self.elements(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
            other => return Err(format!("is of type {other:?}, weights are floating point")),
        };
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(format!("holds {value}")),
            None => Ok(Array { shape: self.shape.clone(), values }),
        }
    }

    fn elements<const N: usize, T>(&self, read: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
        self.bytes.as_chunks().0.iter().map(move |bytes| read(*bytes))
    }
}

impl View for &RawTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// How tensors are packed in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `torch.save` since PyTorch 1.6.
    TorchZip,
    /// `torch.save` before it.
    TorchStream,
    /// `torch.save` before 0.1.10.
    TorchTar,
    /// Safetensors.
    Safetensors,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Container::TorchZip => "PyTorch, zip archive",
            Container::TorchStream => "PyTorch, stream of pickles (before 1.6)",
            Container::TorchTar => "PyTorch, tar archive (before 0.1.10)",
            Container::Safetensors => "safetensors",
        })
    }
}

/// The tensors of a file by name, and what the file says beside them.
#[derive(Clone, Debug)]
pub struct StateDict {
    path: PathBuf,
    container: Container,
    tensors: BTreeMap<String, RawTensor>,
    metadata: BTreeMap<String, String>,
    extra: Map<String, Value>,
}

impl StateDict {
    /// Reads a file of `torch.save` (zip archive or the older stream and tar; a dictionary of tensors, or
    /// one that has it under `state_dict`) or a safetensors file; which, is seen from its content.
    ///
    /// Nothing in the file is executed: of a pickle only what tensors are made of is understood;
    /// objects of other programs beside the tensors are passed over, and calls of other functions
    /// than those that make plain values are refused.
    /// Memory is bounded by the file's size and 64 MiB.
    ///
    /// # Errors
    /// A file that is missing, of another kind, incomplete, contradictory, without tensors, or whose
    /// dictionary of tensors holds anything else.
    pub fn read(path: &Path) -> Result<StateDict, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let reject = |reason: String| Error::File { path: path.to_owned(), reason };
        // Asked before it is opened: a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(reject("is not a file; name a .pth or .safetensors file".to_owned()));
        }
        let file = File::open(path).map_err(io)?;
        // SAFETY: the bytes are only read, and as bytes: any value is valid. Writing to a file of
        // weights while it is read is outside of what any program can bear.
        let bytes = unsafe { Mmap::map(&file) }.map_err(io)?;
        StateDict::of_bytes(path, &bytes)
    }

    /// [`StateDict::read`] of what is in memory; errors name `path`.
    pub(crate) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<StateDict, Error> {
        match parse(bytes) {
            Ok(parsed) => Ok(StateDict { path: path.to_owned(), ..parsed }),
            Err(reason) => Err(Error::File { path: path.to_owned(), reason }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is packed.
    pub fn container(&self) -> Container {
        self.container
    }

    /// Its tensors under the names they have there.
    pub fn tensors(&self) -> &BTreeMap<String, RawTensor> {
        &self.tensors
    }

    /// The texts in the header of a safetensors file.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// What a trainer wrote beside a `state_dict`, as far as it is plain values: `epoch`,
    /// `global_step`, `pytorch-lightning_version`, `hyper_parameters`.
    pub fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }
}

/// What the bytes of a file hold, still without its path.
fn parse(file: &[u8]) -> Result<StateDict, String> {
    let (path, metadata, extra) = (PathBuf::new(), BTreeMap::new(), Map::new());
    // Asked first: the length of its header may look like the beginning of a pickle.
    let parsed = if file.get(8) == Some(&b'{') {
        let safetensors_file::Contents { tensors, metadata } = safetensors_file::read(file)?;
        StateDict { path, container: Container::Safetensors, tensors, metadata, extra }
    } else {
        let read = torch::read(file).unwrap_or_else(|| Err(foreign(file)))?;
        let torch::Contents { container, tensors, extra } = read;
        StateDict { path, container, tensors, metadata, extra }
    };
    if parsed.tensors.is_empty() {
        return Err("holds no tensors".to_owned());
    }
    match parsed.tensors.keys().find(|name| name.contains(char::is_control)) {
        Some(name) => Err(format!("has a tensor of the name `{}`", name.escape_debug())),
        None => Ok(parsed),
    }
}

/// What stands where weights should.
fn foreign(file: &[u8]) -> String {
    let start = file.trim_ascii_start();
    let what = if file.is_empty() {
        "is empty"
    } else if start.starts_with(b"<") {
        "is a web page: the download went wrong"
    } else if start.starts_with(b"version https://git-lfs") {
        "is a pointer of git-lfs: run `git lfs pull`"
    } else {
        "is neither a file of torch.save nor of safetensors"
    };
    format!("{what}; weights are expected")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(dtype: Dtype, bytes: &[u8]) -> RawTensor {
        RawTensor { dtype, shape: vec![1], bytes: bytes.to_vec() }
    }

    #[test]
    fn floating_point_numbers_become_single_precision() {
        let one = |dtype, bytes: &[u8]| raw(dtype, bytes).to_array().unwrap().values[0];
        assert_eq!(one(Dtype::F32, &1.5f32.to_le_bytes()), 1.5);
        assert_eq!(one(Dtype::F64, &(-0.25f64).to_le_bytes()), -0.25);
        assert_eq!(one(Dtype::F16, &[0x00, 0x3e]), 1.5);
        assert_eq!(one(Dtype::BF16, &[0xc0, 0x3f]), 1.5);
        assert!(raw(Dtype::I64, &[0; 8]).to_array().unwrap_err().contains("I64"));
        let infinite = raw(Dtype::F16, &[0x00, 0x7c]).to_array();
        assert!(infinite.unwrap_err().contains("inf"));
    }

    #[test]
    fn what_is_no_weight_file_is_told_by_its_look() {
        let reason = |file: &[u8]| parse(file).unwrap_err();
        assert!(reason(b"").contains("empty"));
        assert!(reason(b"\n<!DOCTYPE html>").contains("web page"));
        assert!(reason(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(reason(b"\x89PNG\r\n\x1a\n").contains("neither"));
    }

    #[test]
    fn no_length_of_a_safetensors_header_is_taken_for_a_pickle() {
        for len in 1..64 {
            let name = "w".repeat(8 * len);
            let one = safetensors::tensor::TensorView::new(Dtype::U8, vec![1], &[7]).unwrap();
            let file = safetensors::serialize([(&name, one)], None).unwrap();
            assert_eq!(parse(&file).unwrap().tensors[&name].bytes, [7], "{}", file[0]);
        }
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = StateDict::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not a file"), "{error}");
        assert!(StateDict::read(&folder.path().join("none")).is_err());
    }
}
