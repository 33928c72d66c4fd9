//! Which picture is in which set, as whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::lists::{BoxLine, Boxes, SUBSETS};
use super::tree::Tree;
use crate::prepare::coco::{Annotation, CocoList, Identity, Image, Source};
use crate::prepare::crop::{CropJob, Outcome};

/// What the numbers of the clothes types mean.
const CATEGORIES: [(u32, &str); 3] = [(1, "upper-body"), (2, "lower-body"), (3, "full-body")];

/// All crops to make, and what each is.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) jobs: Vec<CropJob>,
    entries: Vec<PlannedCrop>,
    /// Folders of the partition that have no boxes.
    pub(super) without_boxes: Vec<PathBuf>,
}

/// What a crop is.
#[derive(Debug)]
struct PlannedCrop {
    /// Index into [`SUBSETS`].
    subset: usize,
    pair_id: u64,
    clothes: u32,
    source: Source,
}

impl Plan {
    /// Plans a file in `folder/<subset>/` for every picture of the partition's items, by subset,
    /// folder and file. An item is known by its folder's name; pair ids number them from 0 in the
    /// order in which they are met.
    pub(super) fn new(
        partition: &[BTreeSet<String>; 3],
        boxes: &Boxes,
        tree: &Tree,
        folder: &Path,
    ) -> Self {
        let mut plan = Self::default();
        let (mut pair_ids, mut names) = (HashMap::new(), FileNames::default());
        let items = |subset: usize| partition[subset].iter().map(move |item| (subset, item));
        for (subset, item) in (0..SUBSETS.len()).flat_map(items) {
            let next = pair_ids.len() as u64;
            let pair_id = *pair_ids.entry(last_part(item)).or_insert(next);
            let Some(files) = boxes.get(item) else {
                plan.without_boxes.push(item.into());
                continue;
            };
            for (file, BoxLine { clothes, source, part }) in files {
                let (picture, drawn_on) = tree.find_picture(item, file);
                plan.jobs.push(CropJob {
                    source: picture,
                    target: folder.join(SUBSETS[subset]).join(names.of(item, file)),
                    part: Some(*part),
                    drawn_on,
                });
                let (clothes, source) = (*clothes, *source);
                plan.entries.push(PlannedCrop { subset, pair_id, clothes, source });
            }
        }
        plan
    }

    /// The lists of train, val and test, of the pictures that are there. Images and annotations are
    /// numbered from 0 through all of them.
    pub(super) fn lists(
        &self,
        jobs: &[CropJob],
        outcomes: &[Outcome],
        size: [u32; 2],
    ) -> [CocoList; 3] {
        let mut lists = SUBSETS.map(|_| CocoList::new(CATEGORIES.into_iter()));
        let there = self.entries.iter().zip(jobs).zip(outcomes).filter(|(_, o)| o.is_there());
        for (id, ((entry, job), _)) in (0..).zip(there) {
            let list = &mut lists[entry.subset];
            list.images.push(Image::new(id, job.name(), size));
            let PlannedCrop { pair_id, clothes: style, source, .. } = *entry;
            let identity = Identity { pair_id, style, source };
            list.annotations.push(Annotation::of_crop(id, id, 0, identity));
        }
        lists
    }
}

/// Query and gallery: the users' pictures of test, and the shops' pictures of test and val. Their
/// pair ids are numbered anew, from 0 without gaps.
pub(super) fn query_and_gallery(val: &CocoList, test: &CocoList) -> [CocoList; 2] {
    let mut lists = [(); 2].map(|()| CocoList::new(CATEGORIES.into_iter()));
    let members = [(test, Source::User, 0), (test, Source::Shop, 1), (val, Source::Shop, 1)];
    for (from, wanted, to) in members {
        // Every image has one annotation, and both are in the same order.
        for (image, annotation) in from.images.iter().zip(&from.annotations) {
            if annotation.identity.is_some_and(|identity| identity.source == wanted) {
                lists[to].images.push(image.clone());
                lists[to].annotations.push(annotation.clone());
            }
        }
    }
    let old: BTreeSet<u64> = lists.iter().flat_map(CocoList::pair_ids).collect();
    let new: BTreeMap<u64, u64> = old.into_iter().zip(0..).collect();
    for annotation in lists.iter_mut().flat_map(|list| &mut list.annotations) {
        if let Some(identity) = &mut annotation.identity {
            identity.pair_id = new[&identity.pair_id];
        }
    }
    lists
}

/// `<item>_<file>`, as the reference names crops.
#[derive(Debug, Default)]
struct FileNames {
    /// Whose a name is.
    taken: HashMap<String, String>,
}

impl FileNames {
    /// With the whole path before it where another folder's item of the same name has that file.
    fn of(&mut self, item: &str, file: &str) -> String {
        let name = format!("{}_{file}", last_part(item));
        match self.taken.get(&name) {
            Some(other) if other != item => format!("{}_{file}", item.replace('/', "_")),
            _ => {
                self.taken.insert(name.clone(), item.to_owned());
                name
            }
        }
    }
}

fn last_part(item: &str) -> &str {
    item.rsplit('/').next().unwrap_or(item)
}
