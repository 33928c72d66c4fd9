//! COCO-style lists with the reference's additions: `pair_id` (the identity), `style` and `source`
//! (user or shop).

use std::collections::BTreeSet;
use std::path::Path;

use centroids_core::write_atomically;
use serde::Serialize;

use super::boxes::CocoBox;
use super::report::SetCount;
use crate::error::Error;

/// A list: the file of one set.
#[derive(Debug, Serialize)]
pub(super) struct CocoList {
    info: Info,
    pub(super) images: Vec<Image>,
    pub(super) annotations: Vec<Annotation>,
    categories: Vec<Category>,
    licenses: [License; 1],
}

#[derive(Debug, Serialize)]
struct Info {
    year: u32,
    version: f64,
    description: &'static str,
    contributor: &'static str,
    url: &'static str,
    date_created: &'static str,
}

#[derive(Debug, Serialize)]
struct License {
    id: u32,
    name: &'static str,
    url: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct Category {
    id: u32,
    name: &'static str,
    supercategory: &'static str,
}

/// A picture.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Image {
    pub(super) id: u64,
    pub(super) file_name: String,
    width: u32,
    height: u32,
    license: u32,
    flickr_url: &'static str,
    coco_url: &'static str,
    date_captured: &'static str,
}

/// What a picture, or a box of it, shows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Annotation {
    pub(super) id: u64,
    pub(super) image_id: u64,
    pub(super) category_id: u32,
    segmentation: &'static str,
    area: u64,
    bbox: Part,
    iscrowd: u32,
    #[serde(flatten)]
    pub(super) identity: Option<Identity>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Part {
    Box(CocoBox),
    /// An empty text: all of the picture.
    Whole(&'static str),
}

/// What makes a list one for re-identification.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Identity {
    pub(super) pair_id: u64,
    pub(super) style: u32,
    pub(super) source: Source,
}

/// Who took a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    User,
    Shop,
}

impl CocoList {
    /// An empty list; categories are the ids and names given.
    pub(super) fn new(categories: impl Iterator<Item = (u32, &'static str)>) -> Self {
        let category = |(id, name)| Category { id, name, supercategory: "fashion" };
        Self {
            // The reference's constants.
            info: Info {
                year: 2019,
                version: 1.0,
                description: "",
                contributor: "",
                url: "",
                date_created: "",
            },
            images: Vec::new(),
            annotations: Vec::new(),
            categories: categories.map(category).collect(),
            licenses: [License { id: 0, name: "", url: "" }],
        }
    }

    /// The pair id of every annotation that has one.
    pub(super) fn pair_ids(&self) -> impl Iterator<Item = u64> {
        self.annotations.iter().filter_map(|annotation| Some(annotation.identity?.pair_id))
    }

    /// How many pair ids and images it has.
    pub(super) fn count(&self, set: &'static str) -> SetCount {
        let pair_ids: BTreeSet<u64> = self.pair_ids().collect();
        SetCount { set, identities: pair_ids.len(), images: self.images.len() }
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, |file| Ok(serde_json::to_writer(file, self)?))
            .map_err(|source| Error::Io { path: path.into(), source })
    }
}

impl Image {
    /// `size` = width, height.
    pub(super) fn new(id: u64, file_name: String, [width, height]: [u32; 2]) -> Self {
        Self {
            id,
            file_name,
            width,
            height,
            license: 0,
            flickr_url: "",
            coco_url: "",
            date_captured: "",
        }
    }
}

impl Annotation {
    /// Without a box the annotation is about the whole picture.
    pub(super) fn new(id: u64, image_id: u64, category_id: u32, part: Option<CocoBox>) -> Self {
        Self {
            id,
            image_id,
            category_id,
            segmentation: "",
            area: part.map_or(0, |part| part.area()),
            bbox: part.map_or(Part::Whole(""), Part::Box),
            iscrowd: 0,
            identity: None,
        }
    }

    /// The annotation of a picture that was cut out: about all of it, with its `area` before.
    pub(super) fn of_crop(id: u64, image_id: u64, area: u64, identity: Identity) -> Self {
        let whole = Self::new(id, image_id, identity.style, None);
        Self { area, identity: Some(identity), ..whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_keys_and_values_of_the_reference() {
        let mut list = CocoList::new([(2, "dresses")].into_iter());
        list.images.push(Image::new(7, "000000012_2_0.jpg".to_owned(), [320, 256]));
        let identity = Identity { pair_id: 5, style: 2, source: Source::User };
        list.annotations.push(Annotation::of_crop(1, 7, 600, identity));
        let part = CocoBox { x: 1.0, y: 2.0, width: 3.0, height: 4.0 };
        list.annotations.push(Annotation::new(2, 7, 2, Some(part)));
        let wanted = serde_json::json!({
            "info": {
                "year": 2019, "version": 1.0, "description": "", "contributor": "", "url": "",
                "date_created": "",
            },
            "images": [{
                "id": 7, "file_name": "000000012_2_0.jpg", "width": 320, "height": 256,
                "license": 0, "flickr_url": "", "coco_url": "", "date_captured": "",
            }],
            "annotations": [
                {
                    "id": 1, "image_id": 7, "category_id": 2, "segmentation": "", "area": 600,
                    "bbox": "", "iscrowd": 0, "pair_id": 5, "style": 2, "source": "user",
                },
                {
                    "id": 2, "image_id": 7, "category_id": 2, "segmentation": "", "area": 12,
                    "bbox": [1.0, 2.0, 3.0, 4.0], "iscrowd": 0,
                },
            ],
            "categories": [{ "id": 2, "name": "dresses", "supercategory": "fashion" }],
            "licenses": [{ "id": 0, "name": "", "url": "" }],
        });
        assert_eq!(serde_json::to_value(&list).unwrap(), wanted);
        assert_eq!(list.count("train"), SetCount { set: "train", identities: 1, images: 1 });
    }
}
