//! Where the parts of a dataset are: its folder, its lists, the images they name.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;

/// The first of `root` and `root/<subfolder>` that `fits`.
pub(super) fn base(
    root: &Path,
    subfolders: &[&str],
    fits: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    let below = subfolders.iter().map(|subfolder| root.join(subfolder));
    std::iter::once(root.to_path_buf()).chain(below).find(|dir| fits(dir))
}

/// The error when there is no such base.
pub(super) fn no_base(root: &Path, subfolders: &[&str], parts: &str) -> Error {
    let places = subfolders.join("`, `");
    let problem = format!("no {parts} in it or in `{places}`: give the folder that holds them");
    Error::layout(root, problem)
}

/// The lines of a list that are not blank, with their numbers, counted from 1.
pub(super) fn lines(list: &Path) -> Result<Vec<(u64, String)>, Error> {
    let text = fs::read_to_string(list).map_err(|source| Error::io(list, source))?;
    let lines = (1..).zip(text.trim_start_matches('\u{feff}').lines().map(str::trim));
    let lines: Vec<_> = lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| (number, line.to_owned()))
        .collect();
    match lines.is_empty() {
        true => Err(Error::layout(list, "the list is empty: restore it")),
        false => Ok(lines),
    }
}

/// A broken row of a list.
pub(super) fn broken(list: &Path, line: u64, problem: impl Into<String>) -> Error {
    Error::Manifest { path: list.into(), line, problem: problem.into() }
}

/// Whether a path that a file names stays below the folder it is relative to.
pub(super) fn stays_below(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Which files there are; every folder is listed once, since asking for each of 100,000 files costs
/// more than all the rest.
#[derive(Default)]
pub(super) struct KnownFiles {
    folders: HashMap<PathBuf, HashSet<OsString>>,
}

impl KnownFiles {
    pub(super) fn contains(&mut self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        if let Some(files) = self.folders.get(folder) {
            return files.contains(name);
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let files: HashSet<_> = entries.map(|entry| entry.file_name()).collect();
        let found = files.contains(name);
        self.folders.insert(folder.into(), files);
        found
    }

    /// Refuses a `list` that names images which are not there.
    pub(super) fn check<'a>(
        &mut self,
        list: &Path,
        images: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<(), Error> {
        let missing: Vec<_> = images.filter(|path| !self.contains(path)).collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let more = match missing.len() {
            1 => String::new(),
            n => format!(" and {} more images", n - 1),
        };
        let problem = format!(
            "`{}`{more} missing: unpack the images it lists, or correct it",
            first.display()
        );
        Err(Error::layout(list, problem))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_may_not_leave_their_folder() {
        for name in ["a.jpg", "a/b.jpg", "..a/b..jpg", "-1 ü.jpg"] {
            assert!(stays_below(name), "{name}");
        }
        for name in ["", "/a.jpg", "../a.jpg", "a/../../b.jpg", "./a.jpg", ".."] {
            assert!(!stays_below(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_stays_below_never_leads_out(name in "[a./\\\\]{0,12}") {
            let joined = Path::new("root").join(&name);
            let leaves = joined.components().any(|part| part == Component::ParentDir);
            prop_assert!(!stays_below(&name) || joined.starts_with("root") && !leaves);
        }
    }

    #[test]
    fn missing_images_are_counted_and_the_first_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jpg"), "").unwrap();
        let paths = ["a.jpg", "b.jpg", "gone/c.jpg"].map(|name| dir.path().join(name));
        let mut files = KnownFiles::default();
        let error = files.check(Path::new("list.txt"), paths.iter()).unwrap_err().to_string();
        assert!(error.contains("list.txt") && error.contains("b.jpg` and 1 more"), "{error}");
        assert!(files.check(Path::new("list.txt"), paths[..1].iter()).is_ok());
    }
}
