//! Several embedding files → one, without holding their numbers.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::tensors::{Labels, write_rows};
use super::{FileFault, numbers};
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::{CamId, Pid};

/// What [`concatenate`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concatenated {
    /// Rows, those of all files.
    pub rows: usize,
    /// Dimensions of each row.
    pub dim: usize,
}

/// Writes the rows of `files` one behind the other as the `.safetensors` file `out`, byte for byte
/// as [`Embeddings::save`] would write them all. Identities' names are united.
///
/// Identities, cameras and paths of all files are in memory, the vectors of one file at a time.
///
/// # Errors
/// As [`Embeddings::load`] and [`Embeddings::save`]; [`Error::BadFile`] for a file that differs from
/// the first in dimensions or model, or that gives an identity another name; and if there
/// is no file.
pub fn concatenate(files: &[PathBuf], out: &Path) -> Result<Concatenated, Error> {
    let (first, others) = files.split_first().ok_or_else(|| bad(out, FileFault::NoParts))?;
    let mut all = Rows::of(Embeddings::load(first)?);
    for file in others {
        all.append(Embeddings::load(file)?).map_err(|fault| bad(file, fault))?;
    }
    let written = write_rows(&all.labels(), out, |out| {
        for file in files {
            let part = Embeddings::load(file).map_err(io::Error::other)?;
            numbers::write(out, part.values(), f32::to_le_bytes)?;
        }
        Ok(())
    });
    written.map_err(|failure| failure.of_writing(out))?;
    Ok(Concatenated { rows: all.pids.len(), dim: all.like.dim() })
}

fn bad(file: &Path, fault: FileFault) -> Error {
    Error::BadFile { path: file.to_owned(), fault }
}

/// What is known of all rows but their numbers.
struct Rows {
    /// No rows, but dimensions and model.
    like: Embeddings,
    pids: Vec<Pid>,
    camids: Vec<Option<CamId>>,
    paths: Vec<String>,
    pid_names: BTreeMap<Pid, String>,
}

impl Rows {
    fn of(first: Embeddings) -> Self {
        Self {
            like: first.select(&[]).with_pid_names(BTreeMap::new()),
            pids: first.pids().to_vec(),
            camids: first.camids().to_vec(),
            paths: first.paths().to_vec(),
            pid_names: first.pid_names().clone(),
        }
    }

    fn append(&mut self, part: Embeddings) -> Result<(), FileFault> {
        let like = &self.like;
        let same = |what, a: &str, b: &str| match a == b {
            true => Ok(()),
            false => Err(FileFault::OtherPart { what, found: b.to_owned(), first: a.to_owned() }),
        };
        same("dimensions", &like.dim().to_string(), &part.dim().to_string())?;
        same("model", like.model(), part.model())?;
        same("model_path", like.model_path(), part.model_path())?;
        same("normalized", &like.normalized().to_string(), &part.normalized().to_string())?;
        for (pid, name) in part.pid_names() {
            let known = self.pid_names.entry(*pid).or_insert_with(|| name.clone());
            same("pid_names", known, name)?;
        }
        self.pids.extend(part.pids());
        self.camids.extend(part.camids());
        self.paths.extend_from_slice(part.paths());
        Ok(())
    }

    fn labels(&self) -> Labels<'_> {
        Labels {
            pids: &self.pids,
            camids: &self.camids,
            paths: &self.paths,
            pid_names: &self.pid_names,
            ..Labels::of(&self.like)
        }
    }
}
