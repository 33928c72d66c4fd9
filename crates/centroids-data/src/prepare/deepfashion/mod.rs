//! DeepFashion Consumer-to-shop (Liu et al., CVPR 2016) → COCO-style lists and crops.

mod lists;
mod reid;
mod tree;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use self::lists::{SUBSETS, read_boxes, read_partition};
use self::reid::{Plan, query_and_gallery};
use self::tree::Tree;
use super::CropOptions;
use super::coco::{CocoList, Image};
use super::crop::crop_all;
use super::picture::write;
use super::report::{CropReport, Failure};
use super::target_folder::{claim, make_clean};
use super::work::Progress;
use crate::error::Error;

/// Writes `{train,val,test,query,gallery}_reid_cropped_W_H.json` to `root` and the crops to
/// `root/W_H_cropped_images/`, a folder per list; `None` when `progress` breaks it off. Pictures of
/// query and gallery are further names (hard links) of those of test and val, or copies where the
/// file system has none.
///
/// Pictures come from `img_highres`, or from `img` where that is all there is. Boxes are corners in
/// pixels of `img`: for `img_highres` they are scaled by the ratio of both pictures' sizes, without
/// `img` by that of the longer side to 300.
///
/// # Errors
/// When a list is missing or broken or there are no pictures, when the folder of the crops holds
/// something else, when a file cannot be written, or with `strict`, when a picture is missing or
/// broken.
pub fn prepare_deepfashion(
    root: &Path,
    options: CropOptions,
    progress: &mut Progress<'_>,
) -> Result<Option<CropReport>, Error> {
    let partition = read_partition(&root.join("Eval/list_eval_partition.txt"))?;
    let boxes_list = root.join("Anno/list_bbox_consumer2shop.txt");
    let boxes = read_boxes(&boxes_list)?;
    let tree = Tree::find(root)?;
    let size = options.size_name();
    let images = root.join(format!("{size}_cropped_images"));
    let mut report = CropReport { images, ..CropReport::default() };
    let mut plan = Plan::new(&partition, &boxes, &tree, &report.images);
    drop((partition, boxes));
    for item in plan.without_boxes.drain(..) {
        let (list, item_name) = (boxes_list.display(), item.display());
        let reason = format!("`{item_name}`: has no pictures in `{list}`");
        report.broken.push(Failure { path: item, reason });
    }
    let made_by = format!("centroids data prepare deepfashion, from {}", tree.name());
    claim(&report.images, &made_by, &plan.jobs)?;
    let jobs = Arc::new(std::mem::take(&mut plan.jobs));
    let Some(outcomes) = crop_all(&jobs, options, &mut report, progress)? else {
        return Ok(None);
    };
    let [train, val, test] = plan.lists(&jobs, &outcomes, options.size);
    let [query, gallery] = query_and_gallery(&val, &test);
    link(&query.images, "query", &report.images)?;
    link(&gallery.images, "gallery", &report.images)?;
    let named: [(&str, &CocoList); 5] = [
        (SUBSETS[0], &train),
        (SUBSETS[1], &val),
        (SUBSETS[2], &test),
        ("query", &query),
        ("gallery", &gallery),
    ];
    for (set, list) in named {
        let path = root.join(format!("{set}_reid_cropped_{size}.json"));
        list.write(&path)?;
        report.lists.push(path);
        report.sets.push(list.count(set));
    }
    Ok(Some(report))
}

/// Makes `folder/<set>/` with pictures that are in test or val.
fn link(pictures: &[Image], set: &'static str, folder: &Path) -> Result<(), Error> {
    make_clean(&folder.join(set))?;
    for image in pictures {
        let target = folder.join(set).join(&image.file_name);
        if target.exists() {
            continue;
        }
        let source = ["test", "val"].map(|subset| folder.join(subset).join(&image.file_name));
        let source = if source[0].exists() { &source[0] } else { &source[1] };
        if fs::hard_link(source, &target).is_err() {
            let bytes = fs::read(source).map_err(|error| Error::io(source, error))?;
            write(&target, &bytes)?;
        }
    }
    Ok(())
}
