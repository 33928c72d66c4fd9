//! What every worker must agree on, and what is noted of a part that is done.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use centroids_core::Pid;
use centroids_data::{ImageRecord, InputSpec};
use centroids_store::ContentHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::embed::{Images, Unreadable};
use super::super::model_file::ModelFile;
use crate::Error;

/// The `format` of plans.
const PLAN_FORMAT: &str = "centroids.bulk.v1";

/// Which images make which part, and what embeds them. Equal for all workers of a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkPlan {
    format: String,
    /// Images of all parts.
    pub images: usize,
    /// Dimensions of an embedding.
    pub dim: usize,
    /// Backbone and hash of the weights.
    pub model: String,
    /// The model's file.
    pub model_path: String,
    /// Preprocessing.
    pub input: InputSpec,
    /// For each part the SHA-256 of its list: paths, identities with their names, cameras.
    pub parts: Vec<String>,
}

impl BulkPlan {
    /// Cuts a list into `shards` parts of nearly equal size, at least 1.
    ///
    /// # Errors
    /// [`Error::Read`] if the working folder, and with it the model's whole path, is unknown.
    pub fn new(images: &Images, shards: usize, model: &ModelFile) -> Result<Self, Error> {
        let absolute = std::path::absolute(&model.path);
        let path = absolute.map_err(|source| Error::Read { path: model.path.clone(), source })?;
        let mut plan = Self {
            format: PLAN_FORMAT.to_owned(),
            images: images.records.len(),
            dim: model.embedder.dim(),
            model: model.embedder.fingerprint(),
            model_path: path.to_string_lossy().into_owned(),
            input: *model.embedder.input(),
            parts: vec![String::new(); shards.max(1)],
        };
        let names = PartNames::of(images);
        plan.parts = (0..plan.shards())
            .map(|part| hash(&images.records[plan.range(part)], &names.of_part(&plan, part)))
            .collect();
        Ok(plan)
    }

    /// Whether this is a plan that this version understands.
    pub(super) fn is_known(&self) -> bool {
        self.format == PLAN_FORMAT && !self.parts.is_empty()
    }

    /// Number of parts.
    pub fn shards(&self) -> usize {
        self.parts.len()
    }

    /// The images of a part, as places in the list.
    pub fn range(&self, part: usize) -> Range<usize> {
        let cut = |part: usize| {
            let at = part as u128 * self.images as u128 / self.parts.len() as u128;
            at as usize // at most the number of images
        };
        cut(part)..cut(part + 1)
    }

    /// The first thing that differs from another plan.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let [(a, x), (b, y)] = [self, other].map(|plan| (plan.shards(), plan.images));
        let (model, theirs) = (&self.model, &other.model);
        match () {
            () if a != b => Some(format!("of {a} parts, not {b}")),
            () if x != y => Some(format!("of {x} images, not {y}")),
            () if model != theirs => Some(format!("of model {model}, not {theirs}")),
            () if self.model_path != other.model_path => {
                Some(format!("of the model at {}, not {}", self.model_path, other.model_path))
            }
            () if self.parts != other.parts => Some("of another list of images".to_owned()),
            () if self != other => Some("of other preprocessing".to_owned()),
            () => None,
        }
    }
}

/// Which names of identities a part's file holds: those of its own images, and the first part those
/// of no image, so that the parts together have all.
pub(super) struct PartNames<'a> {
    images: &'a Images,
    used: BTreeSet<Pid>,
}

impl<'a> PartNames<'a> {
    pub(super) fn of(images: &'a Images) -> Self {
        Self { images, used: images.records.iter().map(|record| record.pid).collect() }
    }

    pub(super) fn of_part(&self, plan: &BulkPlan, part: usize) -> BTreeMap<Pid, String> {
        let names = &self.images.pid_names;
        let own = self.images.records[plan.range(part)].iter().map(|record| record.pid);
        let mut pids: BTreeSet<Pid> = own.collect();
        if part == 0 {
            pids.extend(names.keys().filter(|pid| !self.used.contains(pid)));
        }
        pids.into_iter().filter_map(|pid| Some((pid, names.get(&pid)?.clone()))).collect()
    }
}

fn hash(records: &[ImageRecord], names: &BTreeMap<Pid, String>) -> String {
    let mut hash = Sha256::new();
    let mut mix = |text: &[u8]| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for record in records {
        mix(record.path.to_string_lossy().as_bytes());
        mix(&record.pid.0.to_le_bytes());
        mix(&record.camid.map_or(-1, |camid| i64::from(camid.0)).to_le_bytes());
    }
    for (pid, name) in names {
        mix(&pid.0.to_le_bytes());
        mix(name.as_bytes());
    }
    ContentHash(hash.finalize().into()).to_string()
}

/// What is known of a part whose file is complete; `part-00012.json` beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartNote {
    /// Which part, from 0.
    pub part: usize,
    /// Of how many.
    pub shards: usize,
    /// Images of its list.
    pub images: usize,
    /// SHA-256 of its list.
    pub list: String,
    /// Backbone and hash of the weights.
    pub model: String,
    /// Preprocessing.
    pub input: InputSpec,
    /// Rows of its file.
    pub embeddings: usize,
    /// Dimensions of a row.
    pub dim: usize,
    /// Length of its file.
    pub bytes: u64,
    /// SHA-256 of its file.
    pub sha256: String,
    /// How long it took.
    pub seconds: f64,
    /// Images that could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl PartNote {
    /// Whether it is a note of this plan's part.
    pub(super) fn belongs_to(&self, plan: &BulkPlan, part: usize) -> bool {
        let of_list = (self.part, self.shards, self.images, self.list.as_str());
        let of_model = (self.dim, &self.model, self.input);
        of_list == (part, plan.shards(), plan.range(part).len(), &plan.parts[part])
            && of_model == (plan.dim, &plan.model, plan.input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(images: usize, shards: usize) -> BulkPlan {
        BulkPlan {
            format: PLAN_FORMAT.to_owned(),
            images,
            dim: 2,
            model: "m".to_owned(),
            model_path: String::new(),
            input: InputSpec::default(),
            parts: vec![String::new(); shards],
        }
    }

    #[test]
    fn parts_cover_the_list_in_order_and_are_of_nearly_one_size() {
        for (images, shards) in [(10, 3), (3, 5), (0, 2), (7, 7), (1, 1), (1_000_003, 64)] {
            let plan = plan(images, shards);
            let mut end = 0;
            for part in 0..shards {
                let range = plan.range(part);
                assert_eq!(range.start, end);
                assert!(range.len().abs_diff(images / shards) <= 1, "{images} / {shards}");
                end = range.end;
            }
            assert_eq!(end, images);
        }
    }

    #[test]
    fn names_of_no_image_are_in_the_first_part() {
        let record = |pid| ImageRecord { path: "a.jpg".into(), pid: Pid(pid), camid: None };
        let names = [(1, "bag"), (2, "hat"), (3, "gone")];
        let images = Images {
            records: vec![record(2), record(1), record(-1)],
            pid_names: names.map(|(pid, name)| (Pid(pid), name.to_owned())).into(),
            ..Images::default()
        };
        let names = PartNames::of(&images);
        let of_part = |part| {
            let names = names.of_part(&plan(3, 3), part);
            names.into_values().collect::<Vec<_>>()
        };
        assert_eq!(of_part(0), ["hat", "gone"]);
        assert_eq!((of_part(1), of_part(2)), (vec!["bag".to_owned()], vec![]));
    }

    #[test]
    fn a_list_is_told_from_another_by_its_hash() {
        let record = |path: &str, pid, camid: Option<u32>| ImageRecord {
            path: path.into(),
            pid: Pid(pid),
            camid: camid.map(centroids_core::CamId),
        };
        let lists = [
            vec![record("a", 1, None), record("b", 1, None)],
            vec![record("b", 1, None), record("a", 1, None)],
            vec![record("a", 1, None), record("b", 2, None)],
            vec![record("a", 1, None), record("b", 1, Some(0))],
            vec![record("a", 1, None)],
        ];
        let mut hashes: Vec<String> = lists.iter().map(|list| hash(list, &[].into())).collect();
        hashes.push(hash(&lists[0], &[(Pid(1), "x".to_owned())].into()));
        assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
    }
}
