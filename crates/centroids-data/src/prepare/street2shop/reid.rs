//! Which photo is in which set, as whom.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::metadata::{CATEGORIES, Category, Photo};
use super::photo_folder::PhotoFolder;
use crate::prepare::boxes::CocoBox;
use crate::prepare::coco::{Annotation, CocoList, Identity, Image, Source};
use crate::prepare::crop::{CropJob, DrawnOn, Outcome};

/// The sets of a re-identification dataset.
pub(super) const SETS: [&str; 3] = ["train", "query", "gallery"];

/// All crops to make, and what each is.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) jobs: Vec<CropJob>,
    entries: Vec<PlannedCrop>,
    /// Boxes below the minimum area.
    pub(super) too_small: usize,
}

/// What a crop is.
#[derive(Debug, Clone, Copy)]
struct PlannedCrop {
    /// Index into [`SETS`].
    set: usize,
    category: u32,
    product: u64,
    source: Source,
    area: u64,
}

impl Plan {
    /// Plans a file in `folder/<set>/` for every photo and product of every set, by category, set
    /// and photo; boxes below `minimum_area` are left out.
    pub(super) fn new(
        categories: &[Category],
        photos: &PhotoFolder,
        folder: &Path,
        minimum_area: u64,
    ) -> Self {
        let mut plan = Self::default();
        for (category, lists) in (0..).zip(categories) {
            for (set, members) in members(lists).into_iter().enumerate() {
                for Member { photo, source, index } in members {
                    let part: Option<CocoBox> = photo.bbox.map(Into::into);
                    let area = part.map_or(0, |part| part.area());
                    if part.is_some() && area < minimum_area {
                        plan.too_small += 1;
                        continue;
                    }
                    let name = format!("{:09}_{category}_{index}.jpg", photo.photo);
                    plan.jobs.push(CropJob {
                        source: photos.path(photo.photo),
                        target: folder.join(SETS[set]).join(name),
                        part: part.map(Into::into),
                        drawn_on: DrawnOn::Source,
                    });
                    let product = photo.product;
                    plan.entries.push(PlannedCrop { set, category, product, source, area });
                }
            }
        }
        plan
    }

    /// The list of every set. Images are numbered from 1 through all sets, annotations from 1 in
    /// each; pair ids, one per category and product, from 0 through all sets in the order in which
    /// they are met, by pictures that are there.
    pub(super) fn lists(
        &self,
        jobs: &[CropJob],
        outcomes: &[Outcome],
        size: [u32; 2],
    ) -> [CocoList; 3] {
        let categories = || CATEGORIES.into_iter().enumerate().map(|(i, name)| (i as u32, name));
        let mut lists = SETS.map(|_| CocoList::new(categories()));
        let mut pair_ids: HashMap<(u32, u64), u64> = HashMap::new();
        let mut image_id = 0;
        for ((entry, job), outcome) in self.entries.iter().zip(jobs).zip(outcomes) {
            if !outcome.is_there() {
                continue;
            }
            image_id += 1;
            let next = pair_ids.len() as u64;
            let pair_id = *pair_ids.entry((entry.category, entry.product)).or_insert(next);
            let identity = Identity { pair_id, style: entry.category, source: entry.source };
            let list = &mut lists[entry.set];
            list.images.push(Image::new(image_id, job.name(), size));
            let id = list.annotations.len() as u64 + 1;
            list.annotations.push(Annotation::of_crop(id, image_id, entry.area, identity));
        }
        lists
    }
}

/// A photo in a set of its category.
struct Member {
    photo: Photo,
    source: Source,
    /// Which of the products on this photo, in this set.
    index: usize,
}

/// Who is in the sets of a category, by photo: street photos of the train list are for training,
/// with the shop photos of their products; street photos of the test list are queries, all other
/// shop photos the gallery.
fn members(Category { train, test, retrieval }: &Category) -> [Vec<Member>; 3] {
    let trained: HashSet<u64> = train.iter().map(|photo| photo.product).collect();
    let (known, new): (Vec<Photo>, Vec<Photo>) =
        retrieval.iter().partition(|photo| trained.contains(&photo.product));
    [(&train[..], &known[..]), (test, &[]), (&[], &new)].map(|(street, shop)| {
        let street = street.iter().map(|photo| (*photo, Source::User));
        let mut all: Vec<_> =
            street.chain(shop.iter().map(|photo| (*photo, Source::Shop))).collect();
        all.sort_by_key(|(photo, _)| photo.photo); // stable: street before shop
        let mut members: Vec<Member> = Vec::with_capacity(all.len());
        for (photo, source) in all {
            let same = members.last().filter(|last| last.photo.photo == photo.photo);
            let index = same.map_or(0, |last| last.index + 1);
            members.push(Member { photo, source, index });
        }
        members
    })
}
