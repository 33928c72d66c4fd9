//! The reference's pair of `.npy` files (`inference/create_embeddings.py`).
//!
//! Only float32 matrices and Unicode strings (`<U…`) are read, never pickled objects. Format:
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

mod array;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Failure, FileFault, write_atomically};
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::pids_from_names;
use array::{read_matrix, read_strings, write_array};

pub use array::{NpyValues, write_npy};

pub(super) fn read_pair(path: &Path) -> Result<Embeddings, Failure> {
    let ([rows, dim], values) = read_matrix(path)?;
    let paths_file = find_paths_file(path)?;
    let paths = read_strings(&paths_file).map_err(|failure| match failure {
        Failure::System(source) => Failure::Elsewhere(Error::Read { path: paths_file, source }),
        Failure::Fault(fault) => Failure::Elsewhere(Error::BadFile { path: paths_file, fault }),
        elsewhere => elsewhere,
    })?;
    if paths.len() != rows {
        let list_length = Error::ListLength { list: "paths", found: paths.len(), rows };
        return Err(FileFault::Content(Box::new(list_length)).into());
    }
    let names: Vec<&str> = paths.iter().map(|path| pid_name(path)).collect();
    let (pids, pid_names) = pids_from_names(&names);
    let camids = vec![None; pids.len()];
    let embeddings = Embeddings::of_values(dim, values, pids, camids, paths)
        .map_err(|error| FileFault::Content(Box::new(error)))?;
    Ok(embeddings.with_pid_names(pid_names))
}

/// Writes both files and only then puts them in place, so that a full disk changes neither.
pub(super) fn write_pair(embeddings: &Embeddings, path: &Path) -> Result<(), Failure> {
    let paths_file = paths_files(path).swap_remove(0);
    for file in [path, &paths_file] {
        if file.is_dir() {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(Failure::Elsewhere(Error::Write { path: file.into(), source }));
        }
    }
    write_atomically(path, |out: &mut dyn Write| {
        let shape = [embeddings.len(), embeddings.dim()];
        write_array(out, NpyValues::F32(embeddings.values()), &shape)?;
        out.flush()?;
        let paths: Vec<&str> = embeddings.paths().iter().map(String::as_str).collect();
        let paths_of =
            |out: &mut dyn Write| write_array(out, NpyValues::Text(&paths), &[paths.len()]);
        write_atomically(&paths_file, paths_of).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", paths_file.display()))
        })
    })?;
    Ok(())
}

/// The identity of an image: the name of its folder, or all of it where there is none.
fn pid_name(path: &str) -> &str {
    match path.rsplit('/').nth(1) {
        Some(folder) => folder,
        None => path,
    }
}

/// Where the paths may be, the name we write first: `paths.npy` for `embeddings.npy`, so that the
/// reference finds it; `<name>_paths.npy` for others, so that several pairs share a folder.
fn paths_files(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default();
    let mut own = stem.to_owned();
    own.push("_paths.npy");
    let mut files = vec![path.with_file_name(own), path.with_file_name("paths.npy")];
    if stem == "embeddings" {
        files.reverse();
    }
    files
}

fn find_paths_file(path: &Path) -> Result<PathBuf, FileFault> {
    let files = paths_files(path);
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let found = files.into_iter().find(|file| file.exists());
    found.ok_or_else(|| FileFault::NoPaths(names.join(" nor in ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_is_the_folder_or_the_whole_entry() {
        assert_eq!(pid_name("gallery/alice_001/al_00.png"), "alice_001");
        assert_eq!(pid_name("alice_001"), "alice_001");
    }
}
