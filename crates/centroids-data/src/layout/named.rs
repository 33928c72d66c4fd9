//! Images whose identities and cameras are texts, and the numbers they get.

use std::collections::BTreeMap;
use std::path::PathBuf;

use centroids_core::{CamId, Pid, pids_from_names};

use crate::record::ImageRecord;

/// An image before numbering.
#[derive(Debug)]
pub(super) struct NamedImage {
    pub(super) path: PathBuf,
    pub(super) pid: String,
    pub(super) camera: Option<String>,
}

/// The same images with numbers, in the same order, and the names of identities that were no
/// numbers (see [`pids_from_names`]). Cameras likewise: numbers stay, other texts are numbered from
/// 0 by sorted name.
pub(super) fn number(images: Vec<NamedImage>) -> (Vec<ImageRecord>, BTreeMap<Pid, String>) {
    let names: Vec<&str> = images.iter().map(|image| image.pid.as_str()).collect();
    let (pids, pid_names) = pids_from_names(&names);
    let camids = camids_from_names(&images);
    let numbered = images.into_iter().zip(pids).zip(camids);
    let record =
        |((image, pid), camid): ((NamedImage, _), _)| ImageRecord { path: image.path, pid, camid };
    (numbered.map(record).collect(), pid_names)
}

fn camids_from_names(images: &[NamedImage]) -> Vec<Option<CamId>> {
    let known: Vec<&str> = images.iter().filter_map(|image| image.camera.as_deref()).collect();
    let (numbers, names) = pids_from_names(&known);
    let first = if names.is_empty() { 0 } else { 1 };
    let mut camids =
        numbers.into_iter().map(|number| u32::try_from(number.0 - first).ok().map(CamId));
    images.iter().map(|image| image.camera.as_ref().and_then(|_| camids.next().flatten())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(names: &[(&str, Option<&str>)]) -> (Vec<(i64, Option<u32>)>, Vec<String>) {
        let image = |(pid, camera): &(&str, Option<&str>)| NamedImage {
            path: PathBuf::new(),
            pid: pid.to_string(),
            camera: camera.map(str::to_string),
        };
        let (records, names) = number(names.iter().map(image).collect());
        let numbers = records.iter().map(|record| (record.pid.0, record.camid.map(|c| c.0)));
        (numbers.collect(), names.into_values().collect())
    }

    #[test]
    fn integers_stay_and_texts_are_counted() {
        let (numbers, names) =
            numbered(&[("0012", Some("left")), ("-1", Some("back")), ("7", None)]);
        assert_eq!(numbers, [(12, Some(1)), (-1, Some(0)), (7, None)]);
        assert!(names.is_empty());
        let (numbers, names) = numbered(&[("hat", Some("3")), ("7", Some("12"))]);
        assert_eq!(numbers, [(2, Some(3)), (1, Some(12))]);
        assert_eq!(names, ["7", "hat"]);
    }
}
