//! Images whose identities and cameras are texts, and the numbers they get.

use std::collections::BTreeMap;
use std::path::PathBuf;

use centroids_core::{CamId, Pid, pids_from_names};
use serde::Deserialize;

use crate::record::ImageRecord;

/// An image before numbering.
#[derive(Debug)]
pub(crate) struct NamedImage {
    pub(crate) path: PathBuf,
    pub(crate) pid: String,
    pub(crate) camera: Option<String>,
}

/// The same images with numbers, in the same order, and the names of identities that were no
/// numbers (see [`pids_from_names`]). A camera that is a number keeps it, −1 is unknown, any other
/// text gets a number of its own that is the same in every dataset.
pub(crate) fn number(images: Vec<NamedImage>) -> (Vec<ImageRecord>, BTreeMap<Pid, String>) {
    let names: Vec<&str> = images.iter().map(|image| image.pid.as_str()).collect();
    let (pids, pid_names) = pids_from_names(&names);
    let record = |(image, pid): (NamedImage, Pid)| {
        let camid = image.camera.as_deref().and_then(camera);
        ImageRecord { path: image.path, pid, camid }
    };
    (images.into_iter().zip(pids).map(record).collect(), pid_names)
}

/// Cameras have no names in embedding files, and query and gallery are often read apart: the number
/// of a text must not depend on the other texts. It is a hash (32-bit FNV-1a), far from small
/// numbers; that two of a thousand cameras share one has a chance of 1 in 4,000.
fn camera(name: &str) -> Option<CamId> {
    if let Ok(number) = name.parse() {
        return Some(CamId(number));
    }
    let hash = || {
        name.bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    };
    (name.trim() != "-1").then(|| CamId(hash() | 1 << 31))
}

/// A pid or a camid as JSON has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "pid and camid are integers or texts")]
pub(crate) enum NumberOrText {
    Number(i64),
    Text(String),
}

impl From<NumberOrText> for String {
    fn from(value: NumberOrText) -> Self {
        match value {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        }
    }
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
        let [left, back] = ["left", "back"].map(|name| camera(name).map(|camid| camid.0));
        assert_eq!(numbers, [(12, left), (-1, back), (7, None)]);
        assert!(left != back && left > Some(1_000_000));
        assert_eq!(camera("-1"), None);
        assert!(camera("-5").is_some() && camera("4294967296").is_some());
        assert!(names.is_empty());
        let (numbers, names) = numbered(&[("hat", Some("3")), ("7", Some("12"))]);
        assert_eq!(numbers, [(2, Some(3)), (1, Some(12))]);
        assert_eq!(names, ["7", "hat"]);
    }
}
