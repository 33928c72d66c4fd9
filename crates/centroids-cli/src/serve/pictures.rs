//! Pictures that were added over HTTP: files named by the hash of their content.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use centroids::core::write_atomically;
use centroids::store::ContentHash;

/// The folder.
///
/// A picture is written, synced and only then its member added; a member is removed and then its
/// picture. One lock keeps these pairs apart, or an addition could find a file that a removal is
/// about to take.
pub(crate) struct Pictures {
    folder: PathBuf,
    order: RwLock<()>,
}

impl Pictures {
    /// Pictures in a folder, which the first of them makes.
    ///
    /// # Errors
    /// When there is no current folder to start a relative path from.
    pub(crate) fn new(folder: &Path) -> io::Result<Pictures> {
        Ok(Pictures { folder: std::path::absolute(folder)?, order: RwLock::new(()) })
    }

    /// Held while pictures are kept and their members added.
    pub(crate) fn adding(&self) -> RwLockReadGuard<'_, ()> {
        self.order.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while members are removed and their pictures deleted.
    pub(crate) fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.order.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a picture: on the disk when this returns. The path is made of the hash alone.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn keep(&self, hash: ContentHash, bytes: &[u8]) -> io::Result<PathBuf> {
        let name = hash.to_string();
        let folder = self.folder.join(&name[..2]);
        let path = folder.join(format!("{name}.{}", extension(bytes)));
        if path.metadata().is_ok_and(|file| file.len() == bytes.len() as u64) {
            return Ok(path);
        }
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
            fs::File::open(&self.folder)?.sync_all()?;
        }
        write_atomically(&path, |file| file.write_all(bytes))?;
        Ok(path)
    }

    /// Deletes the picture of a member that is gone, if it is one of these.
    pub(crate) fn forget(&self, key: &str) {
        let path = Path::new(key);
        if path.parent().and_then(Path::parent) == Some(&self.folder)
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, key, "cannot delete the picture of a removed member");
        }
    }
}

/// By the first bytes; nothing here goes by it.
fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xd8, ..] => "jpg",
        [0x89, b'P', b'N', b'G', ..] => "png",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        [b'B', b'M', ..] => "bmp",
        [b'I', b'I', ..] | [b'M', b'M', ..] => "tiff",
        _ => "ppm",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_kept_once_and_only_those_kept_here_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside.png");
        fs::write(&outside, "x").unwrap();
        let pictures = Pictures::new(&folder.path().join("uploads")).unwrap();
        let bytes = b"\x89PNG, it says";
        let path = pictures.keep(ContentHash::of(bytes), bytes).unwrap();
        assert_eq!(pictures.keep(ContentHash::of(bytes), bytes).unwrap(), path);
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), path.extension().unwrap()),
            (&bytes[..], "png".as_ref())
        );
        for key in [outside.to_str().unwrap(), "", "/", "uploads"] {
            pictures.forget(key);
        }
        assert!(outside.exists() && path.exists());
        pictures.forget(path.to_str().unwrap());
        assert!(!path.exists());
    }
}
