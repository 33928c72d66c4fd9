//! The camera out of a file name.

use std::path::Path;

use regex::Regex;

use crate::error::Error;

/// A regular expression with exactly one group, the camera.
#[derive(Debug)]
pub(super) struct CameraPattern(Regex);

impl CameraPattern {
    pub(super) fn new(pattern: &str) -> Result<Self, Error> {
        let refuse = |problem: String| Error::CameraPattern { pattern: pattern.into(), problem };
        // The last line of the parser's message says what is wrong, the lines above only draw
        // where.
        let last_line = |error: regex::Error| {
            error.to_string().lines().last().unwrap_or("no regular expression").to_string()
        };
        let regex = Regex::new(pattern).map_err(|error| refuse(last_line(error)))?;
        match regex.captures_len() {
            2 => Ok(Self(regex)),
            n => Err(refuse(format!(
                "has {} groups: put the camera, and only it, into one group, e.g. `_(\\d+)\\.png$`",
                n - 1
            ))),
        }
    }

    /// The text of the group in the file's name.
    pub(super) fn camera(&self, path: &Path) -> Option<String> {
        let name = path.file_name()?.to_string_lossy();
        Some(self.0.captures(&name)?.get(1)?.as_str().to_string())
    }

    /// The error when no file matched.
    pub(super) fn unmatched(&self, example: &Path) -> Error {
        let example = example.file_name().unwrap_or_default().to_string_lossy();
        let problem = format!("matches no file name (the first is `{example}`): adapt it");
        Error::CameraPattern { pattern: self.0.to_string(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_group_is_wanted() {
        let message = |pattern| CameraPattern::new(pattern).unwrap_err().to_string();
        assert!(message(r"_\d+").contains("0 groups"));
        assert!(message(r"(\w)_(\d+)").contains("2 groups"));
        assert!(message("_(").contains("unclosed group"));
        assert_eq!(message("_(").lines().count(), 1);
        let pattern = CameraPattern::new(r"_(\d+)\.png$").unwrap();
        assert_eq!(pattern.camera(Path::new("7_1/a_12.png")), Some("12".into()));
        assert_eq!(pattern.camera(Path::new("7_1.png/a.png")), None);
    }
}
