//! A dataset: its three splits and what is odd about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use centroids_core::Pid;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::record::ImageRecord;

/// The three parts of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Images the model learns from.
    Train,
    /// Images that are looked for.
    Query,
    /// Images that are searched.
    Gallery,
}

impl Split {
    /// All splits in the order of tables.
    pub const ALL: [Self; 3] = [Self::Train, Self::Query, Self::Gallery];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Query => "query",
            Self::Gallery => "gallery",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|split| split.name() == name).ok_or_else(|| Error::UnknownName {
            what: "split",
            name: name.into(),
            allowed: "train, query, gallery",
        })
    }
}

/// Images of a dataset by split, in listing order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// What it is called: the layout or the folder.
    pub name: String,
    /// The folder (or manifest) it was read from.
    pub root: PathBuf,
    /// Training images.
    pub train: Vec<ImageRecord>,
    /// Query images.
    pub query: Vec<ImageRecord>,
    /// Gallery images, distractors included, junk left out.
    pub gallery: Vec<ImageRecord>,
    /// Names of identities that the set names by text; empty where it numbers them.
    pub pid_names: BTreeMap<Pid, String>,
    /// What looked wrong or unusual, one line each.
    pub oddities: Vec<String>,
}

impl Dataset {
    /// The images of one split.
    pub fn split(&self, split: Split) -> &[ImageRecord] {
        match split {
            Split::Train => &self.train,
            Split::Query => &self.query,
            Split::Gallery => &self.gallery,
        }
    }

    pub(crate) fn split_mut(&mut self, split: Split) -> &mut Vec<ImageRecord> {
        match split {
            Split::Train => &mut self.train,
            Split::Query => &mut self.query,
            Split::Gallery => &mut self.gallery,
        }
    }

    /// Identities, images and cameras of each split.
    pub fn table(&self) -> Vec<SplitSummary> {
        Split::ALL.into_iter().map(|split| SplitSummary::of(split, self.split(split))).collect()
    }
}

/// One row of a dataset's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SplitSummary {
    /// The split.
    pub split: Split,
    /// Distinct identities, distractors counted as one.
    pub identities: usize,
    /// Images.
    pub images: usize,
    /// Distinct cameras; 0 where the set has none.
    pub cameras: usize,
}

impl SplitSummary {
    fn of(split: Split, records: &[ImageRecord]) -> Self {
        let pids: BTreeSet<_> = records.iter().map(|record| record.pid).collect();
        let cameras: BTreeSet<_> = records.iter().filter_map(|record| record.camid).collect();
        Self { split, identities: pids.len(), images: records.len(), cameras: cameras.len() }
    }
}

#[cfg(test)]
mod tests {
    use centroids_core::CamId;

    use super::*;

    #[test]
    fn the_table_counts_distinct_identities_and_cameras() {
        let record = |pid, camera: u32| ImageRecord {
            path: "x.jpg".into(),
            pid: Pid(pid),
            camid: Some(CamId(camera)),
        };
        let train = vec![record(1, 0), record(1, 1), record(2, 1)];
        let dataset = Dataset { train, ..Dataset::default() };
        let row = dataset.table()[0];
        assert_eq!((row.identities, row.images, row.cameras), (2, 3, 2));
        assert_eq!("gallery".parse::<Split>().unwrap(), Split::Gallery);
        assert!("test".parse::<Split>().unwrap_err().to_string().contains("train, query, gallery"));
    }
}
