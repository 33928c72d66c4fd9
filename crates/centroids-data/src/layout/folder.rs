//! One folder per identity, with or without splits above.

use std::path::{Path, PathBuf};

use super::camera_pattern::CameraPattern;
use super::named::{NamedImage, number};
use super::{DatasetSource, holdout};
use crate::dataset::{Dataset, Split};
use crate::error::Error;
use crate::listing::Listing;
use crate::oddity;

/// Reads `root/{train,query,gallery}/<identity>/<image>`, or `root/<identity>/<image>` where none
/// of the three is there. An identity is any folder that holds images, named by its path below the
/// root or split.
pub(super) fn load(source: &DatasetSource) -> Result<Dataset, Error> {
    let root = &source.root;
    let pattern = source.camera_pattern.as_deref().map(CameraPattern::new).transpose()?;
    let name = root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned();
    let mut dataset = Dataset { name, root: root.clone(), ..Dataset::default() };

    let mut images = Vec::new();
    let mut splits = Vec::new();
    for (split, dir) in parts(root) {
        images.extend(identities(&dir, pattern.as_ref(), &mut dataset.oddities)?);
        splits.resize(images.len(), split);
    }
    if let Some(pattern) = &pattern {
        check_cameras(pattern, &images, &mut dataset.oddities)?;
    }

    let (records, pid_names) = number(images);
    dataset.pid_names = pid_names;
    let mut undivided = Vec::new();
    for (split, record) in splits.into_iter().zip(records) {
        match split {
            Some(split) => dataset.split_mut(split).push(record),
            None => undivided.push(record),
        }
    }
    holdout::divide(undivided, source.holdout, &mut dataset)?;
    Ok(dataset)
}

/// The folders of the splits that are there, or the root itself without a split.
fn parts(root: &Path) -> Vec<(Option<Split>, PathBuf)> {
    let folder = |split: Split| (Some(split), root.join(split.name()));
    let parts: Vec<_> =
        Split::ALL.map(folder).into_iter().filter(|(_, dir)| dir.is_dir()).collect();
    if parts.is_empty() { vec![(None, root.into())] } else { parts }
}

/// The images below `dir` that lie in an identity's folder.
fn identities(
    dir: &Path,
    pattern: Option<&CameraPattern>,
    oddities: &mut Vec<String>,
) -> Result<Vec<NamedImage>, Error> {
    let listing = Listing::of_tree(dir)?;
    if listing.images.is_empty() {
        return Err(Error::NoImages { path: dir.into() });
    }
    let place = dir.file_name().unwrap_or_default().to_string_lossy();
    oddities.extend(oddity::of_listing(&place, &listing));
    let (loose, held): (Vec<_>, Vec<_>) =
        listing.images.into_iter().partition(|path| path.parent() == Some(dir));
    if held.is_empty() {
        return Err(Error::layout(
            dir,
            "its images lie in no identity's folder: sort them into one folder per identity \
             or use a manifest",
        ));
    }
    oddities.extend(oddity::of_paths(
        &place,
        "images outside of any identity's folder, left out",
        &loose,
    ));
    if let Some(path) = held.iter().find(|path| path.to_str().is_none()) {
        return Err(Error::layout(path, "its name is not UTF-8: rename the file or folder"));
    }
    let named = |path: PathBuf| NamedImage {
        pid: identity(dir, &path),
        camera: pattern.and_then(|pattern| pattern.camera(&path)),
        path,
    };
    Ok(held.into_iter().map(named).collect())
}

/// The path of the image's folder below `dir`, its parts joined by `/` on every system.
fn identity(dir: &Path, image: &Path) -> String {
    let folder = image.parent().and_then(|parent| parent.strip_prefix(dir).ok());
    let parts = folder.into_iter().flat_map(Path::iter).map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

fn check_cameras(
    pattern: &CameraPattern,
    images: &[NamedImage],
    oddities: &mut Vec<String>,
) -> Result<(), Error> {
    let without: Vec<_> = images
        .iter()
        .filter(|image| image.camera.is_none())
        .map(|image| image.path.clone())
        .collect();
    if without.len() == images.len()
        && let Some(first) = without.first()
    {
        return Err(pattern.unmatched(first));
    }
    oddities.extend(oddity::of_paths("all", "names without a camera", &without));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_named_by_their_path() {
        assert_eq!(identity(Path::new("d"), Path::new("d/Greek/alpha/1.png")), "Greek/alpha");
        assert_eq!(identity(Path::new("d/train"), Path::new("d/train/0007/1.png")), "0007");
    }
}
