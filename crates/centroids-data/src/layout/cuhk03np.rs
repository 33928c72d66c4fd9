//! CUHK03 in the new protocol (Zhong et al., CVPR 2017): Market-1501's folders and file names,
//! `0001_c1_1.png`, once for boxes drawn by hand (`labeled`) and once for detected ones.

use std::path::Path;

use super::market1501::{FOLDERS, Family};
use crate::dataset::Dataset;
use crate::error::Error;

const CUHK: Family = Family {
    name: "cuhk03np",
    subfolders: &[
        "labeled",
        "detected",
        "cuhk03-np/labeled",
        "cuhk03-np/detected",
        "CUHK03-NP/labeled",
        "CUHK03-NP/detected",
        "cuhk03np/labeled",
        "cuhk03np/detected",
    ],
    folders: FOLDERS,
};

/// Reads the one kind of boxes that is there; of two, the root must name one.
pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    if let Some(base) = CUHK.base(root)
        && base != root
        && let Some(set) = base.parent()
        && ["labeled", "detected"].iter().all(|boxes| set.join(boxes).is_dir())
    {
        let problem = format!(
            "holds labeled/ and detected/, which are two sets: give `{0}/labeled` or `{0}/detected`",
            set.display()
        );
        return Err(Error::layout(root, problem));
    }
    CUHK.load(root)
}

/// The names of the folders tell this set from Market-1501.
pub(super) fn recognises(root: &Path) -> bool {
    let Some(base) = CUHK.base(root) else {
        return false;
    };
    let name = |dir: &Path| dir.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    base != root
        || ["labeled", "detected"].contains(&name(root).as_str())
        || name(root).contains("cuhk03")
}
