//! Parts → one file.

use std::path::{Path, PathBuf};

use centroids_core::{CentroidOf, CentroidsInParts, Concatenated, Embeddings, concatenate};

use super::folder::BulkFolder;
use super::plan::PartNote;
use crate::Error;

/// Joins the complete parts of a folder into a `.safetensors` file, byte for byte the one that a
/// single process makes of all images. The vectors of one part at a time are in memory.
///
/// # Errors
/// [`Error::BadFile`] when a part is not complete; [`Error::NothingEmbedded`] when all are empty.
pub fn merge_parts(folder: &BulkFolder, out: &Path) -> Result<Concatenated, Error> {
    Ok(concatenate(&files_of(folder)?, out)?)
}

/// The mean of every identity over the complete parts of a folder, bit for bit as one process makes
/// them. Reads the parts twice; the sums are in memory, and the vectors of one part.
///
/// # Errors
/// As [`merge_parts`].
pub fn merge_centroids(folder: &BulkFolder) -> Result<Embeddings, Error> {
    let files = files_of(folder)?;
    let mut means = CentroidsInParts::like(&Embeddings::load(&files[0])?, CentroidOf::Raw);
    for file in &files {
        means.add(&Embeddings::load(file)?)?;
    }
    let mut means = means.average();
    for file in &files {
        means.choose(&Embeddings::load(file)?);
    }
    Ok(means.finish()?)
}

fn files_of(folder: &BulkFolder) -> Result<Vec<PathBuf>, Error> {
    let notes = folder.complete()?;
    if notes.iter().all(|note| note.embeddings == 0) {
        let reason = |note: &PartNote| Some(note.unreadable.first()?.reason.clone());
        let first = notes.iter().find_map(reason).unwrap_or_default();
        return Err(Error::NothingEmbedded { images: folder.plan().images, first });
    }
    Ok((0..folder.plan().shards()).map(|part| folder.file(part)).collect())
}
