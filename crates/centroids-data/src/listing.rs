//! Which files of a folder are images.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Extensions taken for images, in lower case: the reference's list and PBM/PNM.
pub const EXTENSIONS: [&str; 11] =
    ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "pbm", "pnm"];

/// All images under a folder, at any depth, sorted by path. Hidden files and folders are left out.
///
/// # Errors
/// When the folder is missing, cannot be read or holds no image.
pub fn list_images(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = Listing::of_tree(dir)?;
    match listing.images.is_empty() {
        true => Err(Error::NoImages { path: dir.into() }),
        false => Ok(listing.images),
    }
}

/// All files under a folder that are neither images nor hidden, sorted by path: those that
/// [`list_images`] passes over.
///
/// # Errors
/// When the folder is missing or cannot be read.
pub fn list_others(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut others = Listing::of_tree(dir)?.others;
    others.sort();
    Ok(others)
}

/// The files found, images and others apart.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) images: Vec<PathBuf>,
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) others: Vec<PathBuf>,
}

impl Listing {
    /// Everything under `dir`, sorted by path.
    pub(crate) fn of_tree(dir: &Path) -> Result<Self, Error> {
        let mut listing = Self::default();
        listing.descend(dir, &mut Vec::new())?;
        listing.images.sort();
        Ok(listing)
    }

    /// The files of `dir` itself, sorted by path.
    pub(crate) fn of_folder(dir: &Path) -> Result<Self, Error> {
        let mut listing = Self::default();
        listing.take(dir)?;
        listing.images.sort();
        Ok(listing)
    }

    /// `ancestors` are the real paths of the folders above: a link back to one of them is not
    /// followed.
    fn descend(&mut self, dir: &Path, ancestors: &mut Vec<PathBuf>) -> Result<(), Error> {
        let real = dir.canonicalize().map_err(|source| Error::io(dir, source))?;
        if ancestors.contains(&real) {
            return Ok(());
        }
        ancestors.push(real);
        for folder in self.take(dir)? {
            self.descend(&folder, ancestors)?;
        }
        ancestors.pop();
        Ok(())
    }

    /// Files the entries of `dir` and returns its sub-folders.
    fn take(&mut self, dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let failed = |source| Error::io(dir, source);
        if dir.is_file() {
            return Err(Error::NotAFolder { path: dir.into() });
        }
        let mut folders = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if is_hidden(&path) {
                self.hidden.push(path);
            } else if path.is_dir() {
                folders.push(path);
            } else if has_image_extension(&path) {
                self.images.push(path);
            } else {
                self.others.push(path);
            }
        }
        Ok(folders)
    }
}

pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

pub(crate) fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }

    #[test]
    fn images_are_found_at_any_depth_sorted_and_without_hidden_ones() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.PNG", "a/z.jpg", "a/b/c.webp", ".thumbs/x.jpg", "a/._z.jpg", "notes.txt"] {
            touch(dir.path().join(name));
        }
        let found = list_images(dir.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("a/b/c.webp"), Path::new("a/z.jpg"), Path::new("b.PNG")]);
        let listing = Listing::of_tree(dir.path()).unwrap();
        assert_eq!((listing.hidden.len(), listing.others.len()), (2, 1));
        assert_eq!(list_others(dir.path()).unwrap(), [dir.path().join("notes.txt")]);
    }

    #[test]
    fn missing_empty_and_wrong_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = |path: &Path| list_images(path).unwrap_err().to_string();
        assert!(message(dir.path()).contains("holds no images"));
        assert!(message(&dir.path().join("gone")).contains("gone` does not exist"));
        touch(dir.path().join("a.jpg"));
        assert!(message(&dir.path().join("a.jpg")).contains("not a folder"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends_the_walk() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path().join("a/b.jpg"));
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        assert_eq!(list_images(dir.path()).unwrap().len(), 1);
    }
}
