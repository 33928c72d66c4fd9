//! One image of a dataset.

use std::path::PathBuf;

use centroids_core::{CamId, Pid};

/// Where an image lies, whom it shows and which camera took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// The image file.
    pub path: PathBuf,
    /// The identity shown, as the dataset numbers it.
    pub pid: Pid,
    /// The camera, counted from 0; `None` where the set has none.
    pub camid: Option<CamId>,
}
