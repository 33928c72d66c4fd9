//! How datasets lie on disk, and the way from there to a [`Dataset`].

mod camera_pattern;
mod dukemtmcreid;
mod folder;
mod holdout;
mod manifest;
mod market1501;
mod named;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Split};
use crate::error::Error;
use crate::listing::list_images;
use crate::oddity;

/// The share of identities held out for testing where a folder has no splits of its own.
pub const DEFAULT_HOLDOUT: f64 = 0.5;

/// The layouts known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `{bounding_box_train,query,bounding_box_test}/<pid>_c<camera>….jpg`, in the root or in
    /// `market1501/`.
    Market1501,
    /// The same file names under `DukeMTMC-reID/`.
    #[serde(alias = "DukeMTMC-reID")]
    Dukemtmcreid,
    /// `{train,query,gallery}/<identity>/<image>`, or `<identity>/<image>` without splits.
    Folder,
    /// A CSV or JSONL file with `path`, `pid`, `camid` (optional) and `split`.
    Manifest,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 4] = [Self::Market1501, Self::Dukemtmcreid, Self::Folder, Self::Manifest];

    /// The name in configuration files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Market1501 => "market1501",
            Self::Dukemtmcreid => "dukemtmcreid",
            Self::Folder => "folder",
            Self::Manifest => "manifest",
        }
    }

    /// Guesses the layout of a root.
    ///
    /// A file, or a folder with `manifest.csv` or `manifest.jsonl`, is a manifest; a folder with
    /// (or above) the three folders of Market-1501 is `market1501`, or `dukemtmcreid` when its name
    /// says "duke"; any other folder with images in it is `folder`.
    ///
    /// # Errors
    /// When the root is missing or nothing in it looks familiar.
    pub fn detect(root: &Path) -> Result<Self, Error> {
        if !root.exists() {
            return Err(Error::Missing { path: root.into() });
        }
        if manifest::find(root).is_some() {
            return Ok(Self::Manifest);
        }
        if dukemtmcreid::recognises(root) {
            return Ok(Self::Dukemtmcreid);
        }
        if market1501::recognises(root) {
            return Ok(Self::Market1501);
        }
        let wanted = "give a folder with images or a .csv or .jsonl manifest";
        let unknown = |_| Error::UnknownLayout { path: root.into(), wanted };
        list_images(root).map(|_| Self::Folder).map_err(unknown)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = Error;

    /// Reads a layout's name; `DukeMTMC-reID` is taken too.
    fn from_str(name: &str) -> Result<Self, Error> {
        let plain = name.to_ascii_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|layout| layout.name() == plain).ok_or_else(|| {
            let allowed = "market1501, dukemtmcreid, folder, manifest";
            Error::UnknownName { what: "layout", name: name.into(), allowed }
        })
    }
}

/// Where a dataset lies and how to read it.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSource {
    /// The layout.
    pub layout: Layout,
    /// The folder, or the manifest file.
    pub root: PathBuf,
    /// Layout `folder`: a regular expression on the file name whose one group is the camera.
    pub camera_pattern: Option<String>,
    /// Layout `folder` without splits: the share of identities, 0 to 1, that becomes query and
    /// gallery.
    pub holdout: f64,
}

impl DatasetSource {
    /// A source without camera pattern, half of the identities held out where the layout has no
    /// splits.
    pub fn new(layout: Layout, root: impl Into<PathBuf>) -> Self {
        Self { layout, root: root.into(), camera_pattern: None, holdout: DEFAULT_HOLDOUT }
    }

    /// Reads the dataset's file names; no image is opened.
    ///
    /// Images of the junk identity −1 are dropped, those of the distractor identity 0 kept.
    ///
    /// # Errors
    /// When the root or a part of it is missing, holds no usable image, or a pattern or manifest
    /// row is broken.
    pub fn load(&self) -> Result<Dataset, Error> {
        if !self.root.exists() {
            return Err(Error::Missing { path: self.root.clone() });
        }
        if let (Some(pattern), false) = (&self.camera_pattern, self.layout == Layout::Folder) {
            let problem = format!("only layout folder uses one, not {}: remove it", self.layout);
            return Err(Error::CameraPattern { pattern: pattern.clone(), problem });
        }
        let mut dataset = match self.layout {
            Layout::Market1501 => market1501::load(&self.root)?,
            Layout::Dukemtmcreid => dukemtmcreid::load(&self.root)?,
            Layout::Folder => folder::load(self)?,
            Layout::Manifest => manifest::load(&self.root)?,
        };
        drop_junk(&mut dataset);
        if Split::ALL.into_iter().all(|split| dataset.split(split).is_empty()) {
            return Err(Error::layout(&self.root, "all images are junk (pid −1): nothing is left"));
        }
        let found = oddity::of_records(&dataset);
        dataset.oddities.extend(found);
        Ok(dataset)
    }
}

fn drop_junk(dataset: &mut Dataset) {
    for split in Split::ALL {
        let records = dataset.split_mut(split);
        let before = records.len();
        records.retain(|record| record.pid != centroids_core::Pid::JUNK);
        let dropped = before - records.len();
        if dropped > 0 {
            dataset.oddities.push(format!("{split}: junk images (pid −1), dropped: {dropped}"));
        }
    }
}
