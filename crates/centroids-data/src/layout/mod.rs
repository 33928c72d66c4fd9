//! How datasets lie on disk, and the way from there to a [`Dataset`].

mod camera_pattern;
mod coco;
mod cuhk03np;
mod dukemtmcreid;
mod folder;
mod holdout;
mod inshop;
mod manifest;
mod market1501;
mod msmt17;
pub(crate) mod named;
mod place;
mod sop;
mod vehicleid;
mod veri776;

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
    /// The same file names under `cuhk03-np/{labeled,detected}/`.
    Cuhk03np,
    /// `list_{train,val,query,gallery}.txt` and two folders of images.
    Msmt17,
    /// `image_{train,query,test}/<vehicle>_c<camera>….jpg`.
    Veri776,
    /// `train_test_split/` and `image/`, tested on 800 vehicles.
    Vehicleid,
    /// The same, tested on 1,600 vehicles.
    Vehicleid1600,
    /// The same, tested on 2,400 vehicles.
    Vehicleid2400,
    /// Stanford Online Products: `Ebay_{train,test}.txt`, each test image searched for among the
    /// others.
    Sop,
    /// DeepFashion In-shop: `Eval/list_eval_partition.txt` and `img/`.
    Inshop,
    /// The reference's fashion sets: three JSON files and `{train,query,gallery}/`.
    Coco,
    /// `{train,query,gallery}/<identity>/<image>`, or `<identity>/<image>` without splits.
    Folder,
    /// A CSV or JSONL file with `path`, `pid`, `camid` (optional) and `split`.
    Manifest,
}

/// The names of all layouts, for messages.
const NAMES: &str = "market1501, dukemtmcreid, cuhk03np, msmt17, veri776, vehicleid, vehicleid1600, \
                     vehicleid2400, sop, inshop, coco (df1, street2shop), folder, manifest";

/// Whether a root has the parts of a layout.
type Sign = fn(&Path) -> bool;

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 13] = [
        Self::Market1501,
        Self::Dukemtmcreid,
        Self::Cuhk03np,
        Self::Msmt17,
        Self::Veri776,
        Self::Vehicleid,
        Self::Vehicleid1600,
        Self::Vehicleid2400,
        Self::Sop,
        Self::Inshop,
        Self::Coco,
        Self::Folder,
        Self::Manifest,
    ];

    /// The name in configuration files and on the command line.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// The name and its other spellings, in lower case without dashes.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Market1501 => &["market1501", "market"],
            Self::Dukemtmcreid => &["dukemtmcreid", "dukemtmc", "duke"],
            Self::Cuhk03np => &["cuhk03np", "cuhk03"],
            Self::Msmt17 => &["msmt17", "msmt17v1", "msmt17v2"],
            Self::Veri776 => &["veri776", "veri"],
            Self::Vehicleid => &["vehicleid", "vehicleid800"],
            Self::Vehicleid1600 => &["vehicleid1600"],
            Self::Vehicleid2400 => &["vehicleid2400"],
            Self::Sop => &["sop", "stanfordonlineproducts"],
            Self::Inshop => &["inshop", "deepfashioninshop"],
            Self::Coco => &["coco", "df1", "street2shop", "deepfashion"],
            Self::Folder => &["folder"],
            Self::Manifest => &["manifest"],
        }
    }

    /// Guesses the layout of a root by its lists and folders.
    ///
    /// A file, or a folder with `manifest.csv` or `manifest.jsonl`, is a manifest (a `.json` file:
    /// `coco`); a folder with the parts of a public set in it or in its usual subfolder is that set.
    /// Market-1501, DukeMTMC-reID and CUHK03-NP have the same three folders: only a folder's name
    /// tells them apart. Any other folder with images in it is `folder`.
    ///
    /// # Errors
    /// When the root is missing or nothing in it looks familiar.
    pub fn detect(root: &Path) -> Result<Self, Error> {
        if !root.exists() {
            return Err(Error::Missing { path: root.into() });
        }
        let signs: [(Sign, Self); 10] = [
            (|root| manifest::find(root).is_some(), Self::Manifest),
            (sop::recognises, Self::Sop),
            (inshop::recognises, Self::Inshop),
            (vehicleid::recognises, Self::Vehicleid),
            (msmt17::recognises, Self::Msmt17),
            (veri776::recognises, Self::Veri776),
            (cuhk03np::recognises, Self::Cuhk03np),
            (dukemtmcreid::recognises, Self::Dukemtmcreid),
            (market1501::recognises, Self::Market1501),
            (coco::recognises, Self::Coco),
        ];
        if let Some((_, layout)) = signs.iter().find(|(recognises, _)| recognises(root)) {
            return Ok(*layout);
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

    /// Reads a layout's name in any usual spelling: case, dashes and the like do not count.
    fn from_str(name: &str) -> Result<Self, Error> {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_ascii_lowercase();
        let found = Self::ALL.into_iter().find(|layout| layout.names().contains(&plain.as_str()));
        found.ok_or_else(|| Error::UnknownName {
            what: "layout",
            name: name.into(),
            allowed: NAMES,
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
    /// Layout `coco`: the JSON file of the training images; `None` = the only one in the root.
    pub json_train_path: Option<PathBuf>,
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
        Self {
            layout,
            root: root.into(),
            json_train_path: None,
            camera_pattern: None,
            holdout: DEFAULT_HOLDOUT,
        }
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
            Layout::Cuhk03np => cuhk03np::load(&self.root)?,
            Layout::Msmt17 => msmt17::load(&self.root)?,
            Layout::Veri776 => veri776::load(&self.root)?,
            Layout::Vehicleid => vehicleid::load(&self.root, 800)?,
            Layout::Vehicleid1600 => vehicleid::load(&self.root, 1600)?,
            Layout::Vehicleid2400 => vehicleid::load(&self.root, 2400)?,
            Layout::Sop => sop::load(&self.root)?,
            Layout::Inshop => inshop::load(&self.root)?,
            Layout::Coco => coco::load(self)?,
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
