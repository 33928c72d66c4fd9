//! The folder of the parts: names, and what is whole in it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use centroids_store::ContentHash;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::plan::{BulkPlan, PartNote};
use crate::Error;
use crate::files::write_json;

/// Nobody takes this long to write a file: one that was not touched since is of a killed worker.
const STALE: Duration = Duration::from_secs(3600);

/// A folder of parts and its plan.
#[derive(Debug)]
pub struct BulkFolder {
    path: PathBuf,
    plan: BulkPlan,
}

/// What is there of a part.
#[derive(Clone, Debug, PartialEq)]
pub enum PartState {
    /// Its file is whole and what the note says.
    Complete(PartNote),
    /// Nobody has finished it.
    Missing,
    /// It was finished, but is not what it should be: why.
    Damaged(String),
}

impl BulkFolder {
    /// The folder of a plan, made if it is not there.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it was begun with another plan; whatever the file system reports.
    pub fn begin(path: &Path, plan: BulkPlan) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let file = path.join("plan.json");
        if !file.exists() {
            write_json(&file, &plan)?;
        }
        // Also after writing: another worker may have had the same idea.
        let begun = Self::open(path)?;
        match begun.plan.difference(&plan) {
            None => Ok(begun),
            Some(difference) => {
                let reason =
                    format!("{difference}: give another --out-dir, or what it was made of");
                Err(Error::BadFile { path: file, reason })
            }
        }
    }

    /// A folder that was begun.
    ///
    /// # Errors
    /// [`Error::BadFile`] for a folder without a plan, or with a broken one.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = path.join("plan.json");
        let bad = |reason: String| Error::BadFile { path: file.clone(), reason };
        let plan: BulkPlan = match read_json(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let reason = "is no folder of parts (has no plan.json): give the --out-dir of `centroids embed --shards`";
                return Err(Error::BadFile { path: path.to_owned(), reason: reason.to_owned() });
            }
            read => read.map_err(|error| bad(format!("{error}: remove it and embed again")))?,
        };
        match plan.is_known() {
            true => Ok(Self { path: path.to_owned(), plan }),
            false => {
                Err(bad("is no plan of this version: use the version that wrote it".to_owned()))
            }
        }
    }

    /// What the workers agreed on.
    pub fn plan(&self) -> &BulkPlan {
        &self.plan
    }

    /// The embeddings of a part.
    pub fn file(&self, part: usize) -> PathBuf {
        self.path.join(format!("part-{part:05}.safetensors"))
    }

    /// What is noted of a part.
    pub fn note(&self, part: usize) -> PathBuf {
        self.path.join(format!("part-{part:05}.json"))
    }

    /// Looks at a part: its note must belong to the plan, its file have the length and the hash noted.
    pub fn state(&self, part: usize) -> PartState {
        let note: PartNote = match read_json(&self.note(part)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return PartState::Missing,
            Err(error) => return PartState::Damaged(format!("its note: {error}")),
            Ok(note) => note,
        };
        if !note.belongs_to(&self.plan, part) {
            return PartState::Damaged("made of another list or by another model".to_owned());
        }
        match digest(&self.file(part)) {
            Err(error) => PartState::Damaged(format!("its file: {error}")),
            Ok((bytes, _)) if bytes != note.bytes => {
                PartState::Damaged(format!("{bytes} bytes long instead of {}", note.bytes))
            }
            Ok((_, sha256)) if sha256 != note.sha256 => {
                PartState::Damaged("its bytes have changed".to_owned())
            }
            Ok(_) => PartState::Complete(note),
        }
    }

    /// The notes of all parts.
    ///
    /// # Errors
    /// [`Error::BadFile`] when a part is not complete.
    pub fn complete(&self) -> Result<Vec<PartNote>, Error> {
        let (mut notes, mut lacking) = (Vec::new(), Vec::new());
        for part in 0..self.plan.shards() {
            match self.state(part) {
                PartState::Complete(note) => notes.push(note),
                PartState::Missing => lacking.push(format!("part {part} is missing")),
                PartState::Damaged(reason) => {
                    lacking.push(format!("part {part} is damaged, {reason}"))
                }
            }
        }
        let Some(first) = lacking.first() else {
            return Ok(notes);
        };
        let (lack, all) = (lacking.len(), self.plan.shards());
        let reason =
            format!("{lack} of {all} parts are not complete ({first}): run the workers again");
        Err(Error::BadFile { path: self.path.clone(), reason })
    }

    /// Removes files that killed workers were writing; returns how many.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn clean(&self) -> Result<usize, Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let mut removed = 0;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let temporary = name.starts_with(".part-") && name.ends_with(".tmp");
            // One that has just been renamed has no age.
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            if temporary && age().is_some_and(|age| age > STALE) {
                removed += usize::from(fs::remove_file(entry.path()).is_ok());
            }
        }
        Ok(removed)
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Length and SHA-256 of a file.
pub(super) fn digest(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut piece, mut length) = (vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((length, ContentHash(hash.finalize().into()).to_string()));
        }
        hash.update(&piece[..read]);
        length += read as u64;
    }
}
