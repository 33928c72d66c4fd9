//! Stanford Online Products (Song et al., CVPR 2016): `Ebay_{train,test}.txt` with a row
//! `image_id class_id super_class_id path` per image.

use std::path::Path;

use centroids_core::{CamId, Pid};

use super::place::{self, KnownFiles};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::record::ImageRecord;

const SUBFOLDERS: [&str; 3] = ["Stanford_Online_Products", "sop", "SOP"];

/// Reads both lists.
///
/// In the literature every test image is looked for among all *other* test images. So the test
/// images are query and gallery at once, and each gets a camera number of its own: the camera rules
/// `market` and `cross` then leave out exactly the query itself, also from its product's centroid.
/// Under the rule `any` every query would find itself.
pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    let some_list = |dir: &Path| {
        ["Ebay_train.txt", "Ebay_test.txt"].iter().any(|list| dir.join(list).is_file())
    };
    let base = place::base(root, &SUBFOLDERS, some_list)
        .ok_or_else(|| place::no_base(root, &SUBFOLDERS, "Ebay_train.txt and Ebay_test.txt"))?;
    let mut files = KnownFiles::default();
    let mut read = |list: &str| {
        let list = base.join(list);
        let records = read_list(&list, &base)?;
        files.check(&list, records.iter().map(|record| &record.path))?;
        Ok::<_, Error>(records)
    };
    let train = read("Ebay_train.txt")?;
    let mut query = read("Ebay_test.txt")?;
    for (record, camera) in query.iter_mut().zip(0..) {
        record.camid = Some(CamId(camera));
    }
    let rule = "query and gallery: the same images, each a camera of its own, so that the camera \
                rules market and cross leave out the query itself (do not use any)";
    Ok(Dataset {
        name: "sop".into(),
        root: root.into(),
        train,
        gallery: query.clone(),
        query,
        oddities: vec![rule.into()],
        ..Dataset::default()
    })
}

pub(super) fn recognises(root: &Path) -> bool {
    let complete = |dir: &Path| {
        ["Ebay_train.txt", "Ebay_test.txt"].iter().all(|list| dir.join(list).is_file())
    };
    place::base(root, &SUBFOLDERS, complete).is_some()
}

fn read_list(list: &Path, base: &Path) -> Result<Vec<ImageRecord>, Error> {
    let lines = place::lines(list)?.into_iter();
    let record = |(line, text): (u64, String)| {
        let fields: Vec<&str> = text.splitn(4, char::is_whitespace).collect();
        let pid = fields.get(1).and_then(|pid| pid.parse().ok()).filter(|pid| *pid >= 0);
        match (pid, fields.get(3)) {
            (Some(pid), Some(name)) if place::stays_below(name) => {
                Ok(ImageRecord { path: base.join(name), pid: Pid(pid), camid: None })
            }
            _ => Err(place::broken(
                list,
                line,
                format!("`{text}`: want `image_id class_id super_class_id path`"),
            )),
        }
    };
    lines.filter(|(_, text)| !text.starts_with("image_id ")).map(record).collect()
}
