//! Folders that pictures are written to, again and again if need be.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::crop::CropJob;
use super::picture::write;
use crate::error::Error;

/// Beside the folders of the sets.
const RECORD: &str = "prepared.json";

/// What the pictures of a folder are made from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The command, and what it took.
    made_by: String,
    /// Hash of all boxes and names.
    plan: String,
}

/// Makes sure that the pictures in `folder` are those of this plan: what another plan has left
/// there would silently be taken for ours.
///
/// # Errors
/// When the folder holds anything else, or cannot be written to.
pub(super) fn claim(folder: &Path, made_by: &str, jobs: &[CropJob]) -> Result<(), Error> {
    let record = Record { made_by: made_by.to_owned(), plan: hash(folder, jobs) };
    let path = folder.join(RECORD);
    match fs::read(&path) {
        Ok(bytes) if serde_json::from_slice::<Record>(&bytes).ok().as_ref() == Some(&record) => {}
        Ok(_) => {
            let problem = "holds pictures made from other metadata, images or settings: remove this \
                           folder to make it anew";
            return Err(Error::layout(folder, problem));
        }
        Err(_) if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) => {
            let problem = "holds files of something else: remove this folder to make it anew";
            return Err(Error::layout(folder, problem));
        }
        Err(_) => {
            make(folder)?;
            let text = serde_json::to_vec(&record)
                .map_err(|error| Error::layout(&path, error.to_string()))?;
            write(&path, &text)?;
        }
    }
    make_parents(jobs.iter().map(|job| job.target.as_path()))
}

/// [`make_clean`] for the folders of all `files`.
///
/// # Errors
/// When a folder cannot be made.
pub(super) fn make_parents<'a>(files: impl Iterator<Item = &'a Path>) -> Result<(), Error> {
    let folders: BTreeSet<&Path> = files.filter_map(Path::parent).collect();
    folders.into_iter().try_for_each(make_clean)
}

/// Makes a folder and removes what killed runs have left half-written in it.
///
/// # Errors
/// When the folder cannot be made.
pub(super) fn make_clean(folder: &Path) -> Result<(), Error> {
    make(folder)?;
    for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, source))? {
        let path = entry.map_err(|source| Error::io(folder, source))?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(b".tmp") {
            // Whoever cannot remove it will not be able to write either, and hear of that.
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Makes a folder with those above it.
pub(super) fn make(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })
}

/// 64-bit FNV-1a over name and box of every picture.
fn hash(folder: &Path, jobs: &[CropJob]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for job in jobs {
        let name = job.target.strip_prefix(folder).unwrap_or(&job.target);
        add(name.as_os_str().as_encoded_bytes());
        for edge in job.part.iter().flat_map(|part| [part.x1, part.y1, part.x2, part.y2]) {
            add(&edge.to_bits().to_le_bytes());
        }
        add(&[0]);
    }
    format!("{hash:016x}")
}
