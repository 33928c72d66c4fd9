//! Street2Shop's own lists, as published (`meta/json/`).

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
use crate::prepare::boxes::Street2ShopBox;

/// The categories; their numbers are the category ids.
pub(super) const CATEGORIES: [&str; 11] = [
    "bags",
    "belts",
    "dresses",
    "eyewear",
    "footwear",
    "hats",
    "leggings",
    "outerwear",
    "pants",
    "skirts",
    "tops",
];

/// A photo of a product.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Photo {
    /// Number of the photo.
    pub(super) photo: u64,
    /// Number of the product, within its category.
    pub(super) product: u64,
    /// Where the product is; only street photos have it.
    #[serde(default)]
    pub(super) bbox: Option<Street2ShopBox>,
}

/// The lists of one category.
#[derive(Debug)]
pub(super) struct Category {
    /// Street photos to learn from.
    pub(super) train: Vec<Photo>,
    /// Street photos to search with.
    pub(super) test: Vec<Photo>,
    /// Shop photos of all products.
    pub(super) retrieval: Vec<Photo>,
}

/// Reads the lists of all categories, in their order, from `folder/json` or, where there is none,
/// from `folder`.
///
/// # Errors
/// When a list is missing or is not what it should be.
pub(super) fn read(folder: &Path) -> Result<Vec<Category>, Error> {
    let json = folder.join("json");
    let folder = if json.is_dir() { &json } else { folder };
    let list =
        |kind: &str, category: &str| read_list(&folder.join(format!("{kind}_{category}.json")));
    let category = |name: &&str| {
        Ok(Category {
            train: list("train_pairs", name)?,
            test: list("test_pairs", name)?,
            retrieval: list("retrieval", name)?,
        })
    };
    CATEGORIES.iter().map(category).collect()
}

fn read_list(path: &Path) -> Result<Vec<Photo>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let broken = |error| {
        let wanted = "a list of {\"photo\": …, \"product\": …, \"bbox\": {\"left\": …, …}}";
        Error::layout(path, format!("{error}: this should be {wanted}, as Street2Shop has it"))
    };
    serde_json::from_slice(&bytes).map_err(broken)
}

/// The file name of a photo: nine digits, more if need be.
pub(super) fn file_name(photo: u64) -> String {
    format!("{photo:09}.jpg")
}
