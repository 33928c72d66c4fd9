//! VeRi-776 (Liu et al., ECCV 2016): vehicles, `0002_c002_00030600_0.jpg`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use super::market1501::Family;
use super::place::{self, KnownFiles};
use crate::dataset::{Dataset, Split};
use crate::error::Error;
use crate::oddity;

const VERI: Family = Family {
    name: "veri776",
    subfolders: &["VeRi", "veri", "VeRi-776", "veri776", "VeRi_with_plate"],
    folders: ["image_train", "image_query", "image_test"],
};

/// Reads the three folders. Where `name_{train,query,test}.txt` is there too, exactly its images are
/// taken.
pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    let mut dataset = VERI.load(root)?;
    let base = VERI.base(root).unwrap_or_else(|| root.into());
    for (split, folder) in Split::ALL.into_iter().zip(VERI.folders) {
        let list = base.join(format!("{}.txt", folder.replace("image", "name")));
        if list.is_file() {
            keep_listed(&list, &base.join(folder), split, &mut dataset)?;
        }
    }
    Ok(dataset)
}

pub(super) fn recognises(root: &Path) -> bool {
    VERI.base(root).is_some()
}

fn keep_listed(
    list: &Path,
    folder: &Path,
    split: Split,
    dataset: &mut Dataset,
) -> Result<(), Error> {
    let lines = place::lines(list)?;
    if let Some((line, name)) = lines.iter().find(|(_, name)| !place::stays_below(name)) {
        return Err(place::broken(list, *line, format!("`{name}` is no file name: correct it")));
    }
    let images: Vec<_> = lines.iter().map(|(_, name)| folder.join(name)).collect();
    KnownFiles::default().check(list, images.iter())?;
    let names: HashSet<OsString> = lines.into_iter().map(|(_, name)| name.into()).collect();
    let listed = |path: &Path| path.file_name().is_some_and(|name| names.contains(name));
    let records = std::mem::take(dataset.split_mut(split));
    let (kept, others): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| listed(&record.path));
    *dataset.split_mut(split) = kept;
    let others: Vec<_> = others.into_iter().map(|record| record.path).collect();
    let what =
        format!("images not in {}, left out", list.file_name().unwrap_or_default().display());
    dataset.oddities.extend(oddity::of_paths(split, &what, &others));
    Ok(())
}
