//! Texts and JSON into files that are whole or untouched.

use std::path::Path;

use centroids_core::write_atomically;
use serde::Serialize;

use crate::Error;

/// # Errors
/// [`Error::Write`]
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// As indented JSON.
///
/// # Errors
/// [`Error::Write`]
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Write { path: path.to_owned(), source: error.into() })?;
    write_text(path, &(text + "\n"))
}
