//! VehicleID (Liu et al., CVPR 2016): lists of `<image> <vehicle>` in `train_test_split/`, images
//! `image/0000001.jpg`, no cameras.

use std::collections::BTreeMap;
use std::path::Path;

use centroids_core::Pid;
use rand::RngExt as _;

use super::place::{self, KnownFiles};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::random_stream::{Purpose, random_stream};
use crate::record::ImageRecord;

const SUBFOLDERS: [&str; 3] = ["VehicleID_V1.0", "VehicleID", "vehicleid"];

/// Reads the training list and the test list of `vehicles` (800, 1600 or 2400) vehicles.
pub(super) fn load(root: &Path, vehicles: usize) -> Result<Dataset, Error> {
    let has_lists = |dir: &Path| dir.join("train_test_split").is_dir();
    let base = place::base(root, &SUBFOLDERS, has_lists)
        .ok_or_else(|| place::no_base(root, &SUBFOLDERS, "train_test_split/"))?;
    if !base.join("image").is_dir() {
        return Err(Error::layout(&base, "no image/ in it: unpack the images there"));
    }
    let mut files = KnownFiles::default();
    let mut read = |name: &str| {
        let list = base.join("train_test_split").join(name);
        let records = read_list(&list, &base.join("image"))?;
        files.check(&list, records.iter().map(|record| &record.path))?;
        Ok::<_, Error>(records)
    };
    let train = read("train_list.txt")?;
    let (query, gallery) = divide(read(&format!("test_list_{vehicles}.txt"))?);
    let name = if vehicles == 800 { "vehicleid".into() } else { format!("vehicleid{vehicles}") };
    Ok(Dataset { name, root: root.into(), train, query, gallery, ..Dataset::default() })
}

pub(super) fn recognises(root: &Path) -> bool {
    let complete = |dir: &Path| {
        dir.join("train_test_split/train_list.txt").is_file() && dir.join("image").is_dir()
    };
    place::base(root, &SUBFOLDERS, complete).is_some()
}

fn read_list(list: &Path, images: &Path) -> Result<Vec<ImageRecord>, Error> {
    let record = |(line, text): (u64, String)| {
        let mut fields = text.split_whitespace();
        let row = (fields.next(), fields.next().and_then(|pid| pid.parse().ok()), fields.next());
        match row {
            (Some(name), Some(pid), None) if place::stays_below(name) && pid >= 0 => {
                let path = images.join(format!("{name}.jpg"));
                Ok(ImageRecord { path, pid: Pid(pid), camid: None })
            }
            _ => Err(place::broken(
                list,
                line,
                format!("`{text}`: want an image and a vehicle, like `0000001 13`"),
            )),
        }
    };
    place::lines(list)?.into_iter().map(record).collect()
}

/// The protocol of the field: one image of every vehicle, drawn at random, is the gallery, and the
/// others are queries. The draw is always the same one.
fn divide(records: Vec<ImageRecord>) -> (Vec<ImageRecord>, Vec<ImageRecord>) {
    let mut by_pid: BTreeMap<Pid, Vec<usize>> = BTreeMap::new();
    for (i, record) in records.iter().enumerate() {
        by_pid.entry(record.pid).or_default().push(i);
    }
    let mut random = random_stream(0, Purpose::Holdout, 0, 0);
    let mut chosen = vec![false; records.len()];
    for images in by_pid.values() {
        chosen[images[random.random_range(0..images.len())]] = true;
    }
    let mut chosen = chosen.into_iter();
    records.into_iter().partition(|_| !chosen.next().unwrap_or(false))
}
