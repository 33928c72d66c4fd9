//! Exact Street2Shop (Kiapour et al., ICCV 2015) → COCO-style lists and crops.

mod lists;
mod metadata;
mod photo_folder;
mod reid;

use std::path::PathBuf;
use std::sync::Arc;

use self::photo_folder::PhotoFolder;
use self::reid::{Plan, SETS};
use super::CropOptions;
use super::crop::crop_all;
use super::report::CropReport;
use super::target_folder::{claim, make};
use super::work::Progress;
use crate::error::Error;

/// Where Street2Shop is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Street2ShopOptions {
    /// Folder of everything; the other folders are in it unless they are absolute.
    pub root: PathBuf,
    /// Folder of the published lists, in itself or in its sub-folder `json`.
    pub metadata: PathBuf,
    /// Folder of the photos, named by their numbers.
    pub images: PathBuf,
    /// Folder for the lists made.
    pub save: PathBuf,
    /// Boxes of fewer pixels are left out.
    pub minimum_area: u64,
    /// How boxes are cut out.
    pub crop: CropOptions,
}

/// Writes the lists of the reference's two scripts to `save` and the crops to
/// `images_reid_cropped_W_H/{train,query,gallery}`; `None` when `progress` breaks it off.
///
/// # Errors
/// When a list or the folder of photos is missing or broken, when the folder of the crops holds
/// something else, when a file cannot be written, or with `strict`, when a photo is missing or
/// broken.
pub fn prepare_street2shop(
    options: &Street2ShopOptions,
    progress: &mut Progress<'_>,
) -> Result<Option<CropReport>, Error> {
    let Street2ShopOptions { root, crop, .. } = options;
    let categories = metadata::read(&root.join(&options.metadata))?;
    let photos = PhotoFolder::open(&root.join(&options.images))?;
    let save = root.join(&options.save);
    make(&save)?;
    let mut report = CropReport {
        images: root.join(format!("images_reid_cropped_{}", crop.size_name())),
        lists: lists::write_texts(&save, &categories)?,
        ..CropReport::default()
    };

    let Some(street) = lists::street_photos(&categories, &photos, crop.threads, progress)? else {
        return Ok(None);
    };
    report.lists.push(save.join("all_street_train.json"));
    street.write(&save.join("all_street_train.json"))?;
    drop(street);

    let mut plan = Plan::new(&categories, &photos, &report.images, options.minimum_area);
    drop(categories);
    report.boxes_left_out = plan.too_small;
    claim(&report.images, "centroids data prepare street2shop", &plan.jobs)?;
    let jobs = Arc::new(std::mem::take(&mut plan.jobs));
    let Some(outcomes) = crop_all(&jobs, *crop, &mut report, progress)? else {
        return Ok(None);
    };
    for (set, list) in SETS.into_iter().zip(plan.lists(&jobs, &outcomes, crop.size)) {
        let path = save.join(format!("{set}_coco_reid.json"));
        list.write(&path)?;
        report.lists.push(path);
        report.sets.push(list.count(set));
    }
    Ok(Some(report))
}
