//! A part of a file name, taken by a regular expression.

use std::path::Path;

use regex::Regex;

/// A regular expression with exactly one group.
#[derive(Debug, Clone)]
pub(crate) struct NamePattern(Regex);

impl NamePattern {
    /// # Errors
    /// In words what is wrong with the expression; `what` is the thing its group should hold.
    pub(crate) fn new(pattern: &str, what: &str, example: &str) -> Result<Self, String> {
        // The last line of the parser's message says what is wrong, the lines above only draw
        // where.
        let last_line = |error: regex::Error| {
            error.to_string().lines().last().unwrap_or("no regular expression").to_string()
        };
        let regex = Regex::new(pattern).map_err(last_line)?;
        match regex.captures_len() {
            2 => Ok(Self(regex)),
            n => Err(format!(
                "has {} groups: put the {what}, and only it, into one group, e.g. `{example}`",
                n - 1
            )),
        }
    }

    /// The text of the group in the file's name.
    pub(crate) fn group(&self, path: &Path) -> Option<String> {
        let name = path.file_name()?.to_string_lossy();
        Some(self.0.captures(&name)?.get(1)?.as_str().to_string())
    }

    /// What is wrong when no file matched.
    pub(crate) fn unmatched(&self, example: &Path) -> String {
        let example = example.file_name().unwrap_or_default().to_string_lossy();
        format!("matches no file name (the first is `{example}`): adapt it")
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
