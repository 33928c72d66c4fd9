//! Market-1501 (Zheng et al., ICCV 2015): everything is in the file name,
//! `0002_c1s1_000451_03.jpg`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use centroids_core::{CamId, Pid};
use regex::Regex;

use super::place;
use crate::dataset::{Dataset, Split};
use crate::error::Error;
use crate::listing::Listing;
use crate::oddity;
use crate::record::ImageRecord;

/// The sets that have Market-1501's file names, each in three folders of its own.
pub(super) struct Family {
    pub(super) name: &'static str,
    /// Folders below the root in which the three parts are looked for too.
    pub(super) subfolders: &'static [&'static str],
    /// The folders of train, query and gallery.
    pub(super) folders: [&'static str; 3],
}

/// Market-1501's own three folders.
pub(super) const FOLDERS: [&str; 3] = ["bounding_box_train", "query", "bounding_box_test"];

const MARKET: Family = Family {
    name: "market1501",
    subfolders: &["market1501", "Market-1501-v15.09.15"],
    folders: FOLDERS,
};

pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    MARKET.load(root)
}

pub(super) fn recognises(root: &Path) -> bool {
    MARKET.base(root).is_some()
}

impl Family {
    /// Reads the three parts, in `root` itself or in one of the subfolders.
    pub(super) fn load(&self, root: &Path) -> Result<Dataset, Error> {
        let base = self.base(root).ok_or_else(|| {
            let [train, query, gallery] = self.folders;
            let parts = format!("{train}/, {query}/ and {gallery}/");
            place::no_base(root, self.subfolders, &parts)
        })?;
        let mut dataset =
            Dataset { name: self.name.into(), root: root.into(), ..Dataset::default() };
        for (split, folder) in Split::ALL.into_iter().zip(self.folders) {
            let records = read_folder(&base.join(folder), split, &mut dataset.oddities)?;
            *dataset.split_mut(split) = records;
        }
        Ok(dataset)
    }

    /// The folder that holds the three parts.
    pub(super) fn base(&self, root: &Path) -> Option<PathBuf> {
        let has_parts = |dir: &Path| self.folders.iter().all(|folder| dir.join(folder).is_dir());
        place::base(root, self.subfolders, has_parts)
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
