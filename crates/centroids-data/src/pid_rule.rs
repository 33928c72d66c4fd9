//! Who an image shows, by its path.

use std::collections::BTreeMap;
use std::path::Path;

use centroids_core::{Pid, pids_from_names};

use crate::error::Error;
use crate::name_pattern::NamePattern;
use crate::record::ImageRecord;

/// What in an image's path names its identity.
#[derive(Debug, Clone)]
pub struct PidRule(Part);

#[derive(Debug, Clone)]
enum Part {
    /// The folder it lies in.
    Folder,
    /// All of it.
    Path,
    /// The group of a pattern on the file name.
    Name(NamePattern),
}

impl PidRule {
    /// The name of the folder it lies in, as the reference does.
    pub fn folder() -> Self {
        Self(Part::Folder)
    }

    /// The whole path: every image is an identity of its own.
    pub fn path() -> Self {
        Self(Part::Path)
    }

    /// The one group of a regular expression on the file name, e.g. `^([^_]+)_` for the part before
    /// the first `_`.
    ///
    /// # Errors
    /// [`Error::PidPattern`]: no regular expression, or not exactly one group.
    pub fn pattern(pattern: &str) -> Result<Self, Error> {
        let refuse = |problem| Error::PidPattern { pattern: pattern.into(), problem };
        let pattern = NamePattern::new(pattern, "identity", "^([^_]+)_").map_err(refuse)?;
        Ok(Self(Part::Name(pattern)))
    }

    /// Numbers the records by the names this rule finds (see [`pids_from_names`]); returns the
    /// names of the numbers.
    ///
    /// # Errors
    /// [`Error::PidPattern`] naming the first file that has no such name.
    pub fn apply(&self, records: &mut [ImageRecord]) -> Result<BTreeMap<Pid, String>, Error> {
        let names: Vec<String> =
            records.iter().map(|record| self.name(&record.path)).collect::<Result<_, _>>()?;
        let (pids, pid_names) = pids_from_names(&names);
        for (record, pid) in records.iter_mut().zip(pids) {
            record.pid = pid;
        }
        Ok(pid_names)
    }

    fn name(&self, path: &Path) -> Result<String, Error> {
        match &self.0 {
            Part::Path => Ok(path.to_string_lossy().into_owned()),
            Part::Folder => folder_name(path),
            Part::Name(pattern) => pattern.group(path).ok_or_else(|| Error::PidPattern {
                pattern: pattern.as_str().into(),
                problem: format!("does not match the name of `{}`: adapt it", path.display()),
            }),
        }
    }
}

/// The name of the folder a file lies in, also where the path does not spell it (`a.jpg`, `./a.jpg`).
fn folder_name(path: &Path) -> Result<String, Error> {
    let whole = std::path::absolute(path).map_err(|source| Error::io(path, source))?;
    let folder = whole.parent().and_then(Path::file_name);
    let none = || Error::layout(path, "lies in no folder whose name could be its identity");
    folder.map(|name| name.to_string_lossy().into_owned()).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pids(rule: &PidRule, paths: &[&str]) -> Result<(Vec<i64>, Vec<String>), String> {
        let record = |path: &&str| ImageRecord { path: path.into(), pid: Pid(9), camid: None };
        let mut records: Vec<ImageRecord> = paths.iter().map(record).collect();
        let names = rule.apply(&mut records).map_err(|error| error.to_string())?;
        let pids = records.iter().map(|record| record.pid.0).collect();
        Ok((pids, names.into_values().collect()))
    }

    #[test]
    fn identities_are_folders_paths_or_parts_of_names() {
        let paths = ["x/shoe/12_a.jpg", "y/shoe/7_b.jpg", "x/hat/12_c.jpg"];
        let by = |rule| pids(&rule, &paths).unwrap();
        assert_eq!(by(PidRule::folder()), (vec![2, 2, 1], vec!["hat".into(), "shoe".into()]));
        assert_eq!(by(PidRule::path()).0, [2, 3, 1]);
        assert_eq!(by(PidRule::pattern("^([^_]+)_").unwrap()), (vec![12, 7, 12], vec![]));
    }

    #[test]
    fn a_name_without_an_identity_is_refused() {
        let rule = PidRule::pattern("^([^_]+)_").unwrap();
        let message = pids(&rule, &["a_1.jpg", "plain.jpg"]).unwrap_err();
        assert!(message.contains("plain.jpg") && message.contains("^([^_]+)_"), "{message}");
        let message = PidRule::pattern("_").unwrap_err().to_string();
        assert!(message.contains("pid pattern `_`") && message.contains("0 groups"), "{message}");
    }
}
