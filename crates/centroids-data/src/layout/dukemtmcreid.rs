//! DukeMTMC-reID (Zheng et al., ICCV 2017): Market-1501's folders and file names,
//! `0001_c2_f0046182.jpg`.

use std::path::Path;

use super::market1501::{FOLDERS, Family};
use crate::dataset::Dataset;
use crate::error::Error;

const DUKE: Family = Family {
    name: "dukemtmcreid",
    subfolders: &["DukeMTMC-reID", "dukemtmcreid"],
    folders: FOLDERS,
};

pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    DUKE.load(root)
}

/// Only the name of the folder tells this set from Market-1501.
pub(super) fn recognises(root: &Path) -> bool {
    let base = DUKE.base(root);
    let name = base.as_ref().and_then(|base| base.file_name());
    name.is_some_and(|name| name.to_string_lossy().to_lowercase().contains("duke"))
}
