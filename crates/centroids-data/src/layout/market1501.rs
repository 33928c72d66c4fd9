//! Market-1501 (Zheng et al., ICCV 2015): everything is in the file name,
//! `0002_c1s1_000451_03.jpg`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use centroids_core::{CamId, Pid};
use regex::Regex;

use crate::dataset::{Dataset, Split};
use crate::error::Error;
use crate::listing::Listing;
use crate::oddity;
use crate::record::ImageRecord;

/// Folders below the root in which the three parts are looked for too.
const SUBFOLDERS: [&str; 2] = ["market1501", "Market-1501-v15.09.15"];

pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    load_named(root, "market1501", &SUBFOLDERS)
}

pub(super) fn recognises(root: &Path) -> bool {
    base(root, &SUBFOLDERS).is_some()
}

/// Reads a set with Market-1501's folders and file names, in `root` itself or in one of its
/// `subfolders`.
pub(super) fn load_named(root: &Path, name: &str, subfolders: &[&str]) -> Result<Dataset, Error> {
    let base = base(root, subfolders).ok_or_else(|| {
        let places = subfolders.join("`, `");
        let problem = format!(
            "no bounding_box_train/, query/ and bounding_box_test/ in it or in `{places}`: \
             give the folder that holds these three"
        );
        Error::layout(root, problem)
    })?;
    let mut dataset = Dataset { name: name.into(), root: root.into(), ..Dataset::default() };
    for split in Split::ALL {
        let records = read_folder(&base.join(folder_of(split)), split, &mut dataset.oddities)?;
        *dataset.split_mut(split) = records;
    }
    Ok(dataset)
}

/// The folder that holds the three parts.
pub(super) fn base(root: &Path, subfolders: &[&str]) -> Option<PathBuf> {
    let candidates = std::iter::once(root.to_path_buf())
        .chain(subfolders.iter().map(|subfolder| root.join(subfolder)));
    let has_parts =
        |dir: &PathBuf| Split::ALL.iter().all(|split| dir.join(folder_of(*split)).is_dir());
    candidates.into_iter().find(has_parts)
}

fn folder_of(split: Split) -> &'static str {
    match split {
        Split::Train => "bounding_box_train",
        Split::Query => "query",
        Split::Gallery => "bounding_box_test",
    }
}

fn read_folder(
    dir: &Path,
    split: Split,
    oddities: &mut Vec<String>,
) -> Result<Vec<ImageRecord>, Error> {
    let listing = Listing::of_folder(dir)?;
    if listing.images.is_empty() {
        return Err(Error::NoImages { path: dir.into() });
    }
    oddities.extend(oddity::of_listing(split, &listing));
    let mut records = Vec::with_capacity(listing.images.len());
    let mut nameless = Vec::new();
    for path in listing.images {
        match parse(&path) {
            Some((pid, camid)) => records.push(ImageRecord { path, pid, camid: Some(camid) }),
            None => nameless.push(path),
        }
    }
    if records.is_empty() {
        return Err(Error::layout(
            dir,
            "no file is named like 0002_c1s1_000451_03.jpg (identity, camera): rename them \
             or choose another layout",
        ));
    }
    oddities.extend(oddity::of_paths(
        split,
        "names without identity and camera, left out",
        &nameless,
    ));
    Ok(records)
}

/// Identity and camera of a file: the first `<pid>_c<camera>` in its name, cameras counted from 1
/// there.
fn parse(path: &Path) -> Option<(Pid, CamId)> {
    static NAME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(-?\d+)_c(\d+)").expect("the pattern is a constant"));
    let name = path.file_name()?.to_string_lossy();
    let groups = NAME.captures(&name)?;
    let pid = groups[1].parse().ok().filter(|&pid| pid >= Pid::JUNK.0)?;
    let camera: u32 = groups[2].parse().ok()?;
    Some((Pid(pid), CamId(camera.checked_sub(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_identity_and_camera() {
        let parse = |name: &str| parse(&Path::new("/data/9_c9/query").join(name));
        assert_eq!(parse("0002_c1s1_000451_03.jpg"), Some((Pid(2), CamId(0))));
        assert_eq!(parse("-1_c6s3_000001_00.jpg"), Some((Pid(-1), CamId(5))));
        assert_eq!(parse("0000_c2_f0046182.jpg"), Some((Pid(0), CamId(1))));
        assert_eq!(parse("0002_c0.jpg"), None, "cameras count from 1");
        assert_eq!(parse("holiday.jpg"), None, "the folder's own name does not count");
        assert_eq!(parse("99999999999999999999_c1.jpg"), None);
    }
}
