//! MSMT17 (Wei et al., CVPR 2018): four lists of `<path> <identity>`, the camera in the file name
//! `0000_000_01_0303morning_0008_0.jpg`.

use std::path::{Path, PathBuf};

use centroids_core::{CamId, Pid};

use super::place::{self, KnownFiles};
use crate::dataset::{Dataset, Split};
use crate::error::Error;
use crate::record::ImageRecord;

const SUBFOLDERS: [&str; 6] =
    ["MSMT17_V1", "MSMT17_V2", "MSMT17", "msmt17", "msmt17/MSMT17_V1", "msmt17/MSMT17_V2"];
/// The lists of each split. Training and validation images together are the 32,621 training images
/// of the paper.
const LISTS: [(Split, &str); 4] = [
    (Split::Train, "list_train.txt"),
    (Split::Train, "list_val.txt"),
    (Split::Query, "list_query.txt"),
    (Split::Gallery, "list_gallery.txt"),
];
/// The folders of training and test images, in version 1 and in version 2 (blurred faces).
const FOLDERS: [[&str; 2]; 2] = [["train", "test"], ["mask_train_v2", "mask_test_v2"]];

/// Reads the lists. Train and test identities are both numbered from 0 there, so those of train are
/// moved behind the others.
pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    let some_list = |dir: &Path| LISTS.iter().any(|(_, list)| dir.join(list).is_file());
    let base = place::base(root, &SUBFOLDERS, some_list)
        .ok_or_else(|| place::no_base(root, &SUBFOLDERS, "list_train.txt (and its companions)"))?;
    let [train, test] = folders(&base).ok_or_else(|| {
        let problem = "no train/ and test/ (or mask_train_v2/ and mask_test_v2/) beside its lists: \
                       unpack the images there";
        Error::layout(&base, problem)
    })?;
    let mut dataset = Dataset { name: "msmt17".into(), root: root.into(), ..Dataset::default() };
    let mut files = KnownFiles::default();
    for (split, list) in LISTS {
        let folder = if split == Split::Train { &train } else { &test };
        let list = base.join(list);
        let records = read_list(&list, folder)?;
        files.check(&list, records.iter().map(|record| &record.path))?;
        dataset.split_mut(split).extend(records);
    }
    dataset.set_train_apart();
    Ok(dataset)
}

pub(super) fn recognises(root: &Path) -> bool {
    let complete = |dir: &Path| {
        LISTS.iter().all(|(_, list)| dir.join(list).is_file()) && folders(dir).is_some()
    };
    place::base(root, &SUBFOLDERS, complete).is_some()
}

fn folders(base: &Path) -> Option<[PathBuf; 2]> {
    let folders = FOLDERS.map(|pair| pair.map(|folder| base.join(folder)));
    folders.into_iter().find(|pair| pair.iter().all(|folder| folder.is_dir()))
}

fn read_list(list: &Path, folder: &Path) -> Result<Vec<ImageRecord>, Error> {
    let record = |(line, text): (u64, String)| {
        let refuse = |problem: &str| place::broken(list, line, format!("`{text}`: {problem}"));
        let (name, pid) = text
            .rsplit_once(' ')
            .filter(|(name, _)| place::stays_below(name))
            .ok_or_else(|| refuse("want a path below the image folder and an identity"))?;
        let pid = pid.parse().ok().filter(|pid| *pid >= 0);
        let pid = pid.ok_or_else(|| refuse("the identity must be a number from 0"))?;
        let camid = camera(name).ok_or_else(|| {
            refuse("the third part of the name, as in 0000_000_01_….jpg, must be the camera")
        })?;
        Ok(ImageRecord { path: folder.join(name), pid: Pid(pid), camid: Some(camid) })
    };
    place::lines(list)?.into_iter().map(record).collect()
}

/// The third part of a file's name, counted from 1 there.
fn camera(name: &str) -> Option<CamId> {
    let file = name.rsplit('/').next()?;
    let camera: u32 = file.split('_').nth(2)?.parse().ok()?;
    camera.checked_sub(1).map(CamId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_camera() {
        assert_eq!(camera("0000/0000_000_01_0303morning_0008_0.jpg"), Some(CamId(0)));
        assert_eq!(camera("0451/0451_012_15_0114noon_1126_2_ex.jpg"), Some(CamId(14)));
        assert_eq!(camera("1_2_3/0000_000.jpg"), None, "the folder's name does not count");
        assert_eq!(camera("0000/0000_000_00_x.jpg"), None, "cameras count from 1");
    }
}
