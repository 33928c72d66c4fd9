//! Files that follow a log: they grow with it and are cut back with it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use centroids_core::write_atomically;

use crate::Error;

/// Makes the file hold `content`.
///
/// What is missing at the end is appended, what is too much is cut off: a TensorBoard that has the
/// file open goes on reading it, which it would not after a rename. Only other content is replaced.
/// A process that is killed here leaves a part of `content`, which the next call completes.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`]
pub(super) fn follow(path: &Path, content: &[u8]) -> Result<(), Error> {
    let old = match fs::read(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    change(path, old.as_deref(), content)
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn change(path: &Path, old: Option<&[u8]>, content: &[u8]) -> io::Result<()> {
    match old {
        Some(old) if old == content => Ok(()),
        Some(old) if content.starts_with(old) => {
            let mut file = File::options().append(true).open(path)?;
            file.write_all(&content[old.len()..])
        }
        Some(old) if old.starts_with(content) => {
            File::options().write(true).open(path)?.set_len(content.len() as u64)
        }
        _ => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            write_atomically(path, |file| file.write_all(content))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_shrinks_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new folder/log");
        for content in ["", "one\n", "one\ntwo\n", "one\ntwo\n", "one\n", "other\n"] {
            follow(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_reader_that_has_it_open_sees_the_end() {
        use std::io::Read as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        follow(&path, b"one\ntwo\n").unwrap();
        let mut reader = File::open(&path).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        follow(&path, b"one\n").unwrap();
        follow(&path, b"one\ntwo\nthree\n").unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\nthree\n");
    }
}
