//! The camera out of a file name.

use std::path::Path;

use crate::error::Error;
use crate::name_pattern::NamePattern;

/// A regular expression with exactly one group, the camera.
#[derive(Debug)]
pub(super) struct CameraPattern(NamePattern);

impl CameraPattern {
    pub(super) fn new(pattern: &str) -> Result<Self, Error> {
        let refuse = |problem| Error::CameraPattern { pattern: pattern.into(), problem };
        NamePattern::new(pattern, "camera", r"_(\d+)\.png$").map(Self).map_err(refuse)
    }

    /// The text of the group in the file's name.
    pub(super) fn camera(&self, path: &Path) -> Option<String> {
        self.0.group(path)
    }

    /// The error when no file matched.
    pub(super) fn unmatched(&self, example: &Path) -> Error {
        let (pattern, problem) = (self.0.as_str().into(), self.0.unmatched(example));
        Error::CameraPattern { pattern, problem }
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
