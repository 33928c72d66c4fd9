//! DeepFashion In-shop Clothes Retrieval (Liu et al., CVPR 2016):
//! `Eval/list_eval_partition.txt` with a row `image_name item_id evaluation_status` per image.

use std::path::{Path, PathBuf};

use super::named::{NamedImage, number};
use super::place::{self, KnownFiles};
use crate::dataset::{Dataset, Split};
use crate::error::Error;

const SUBFOLDERS: [&str; 4] =
    ["In-shop Clothes Retrieval Benchmark", "In_shop", "inshop", "DeepFashion-Inshop"];
const LISTS: [&str; 2] = ["Eval/list_eval_partition.txt", "list_eval_partition.txt"];
/// Other parts of DeepFashion have a list of the same name with other columns.
const HEADER: [&str; 3] = ["image_name", "item_id", "evaluation_status"];

/// Reads the list; the images are in `img/`, in the root or in `Img/`. There are no cameras.
pub(super) fn load(root: &Path) -> Result<Dataset, Error> {
    let base = place::base(root, &SUBFOLDERS, |dir| list_of(dir).is_some())
        .ok_or_else(|| place::no_base(root, &SUBFOLDERS, LISTS[0]))?;
    let list = list_of(&base).unwrap_or_else(|| base.join(LISTS[0]));
    let images = ["", "Img"].map(|folder| base.join(folder));
    let images = images.iter().find(|dir| dir.join("img").is_dir()).ok_or_else(|| {
        Error::layout(&base, "no img/ in it or in `Img`: unpack the images there")
    })?;
    let (splits, images) = read_list(&list, images)?;
    KnownFiles::default().check(&list, images.iter().map(|image| &image.path))?;
    let (records, pid_names) = number(images);
    let mut dataset =
        Dataset { name: "inshop".into(), root: root.into(), pid_names, ..Dataset::default() };
    for (split, record) in splits.into_iter().zip(records) {
        dataset.split_mut(split).push(record);
    }
    Ok(dataset)
}

pub(super) fn recognises(root: &Path) -> bool {
    let has_list = |dir: &Path| {
        list_of(dir).is_some_and(|list| {
            place::lines(&list).is_ok_and(|lines| lines.get(1).is_some_and(is_header))
        })
    };
    place::base(root, &SUBFOLDERS, has_list).is_some()
}

fn list_of(dir: &Path) -> Option<PathBuf> {
    LISTS.iter().map(|list| dir.join(list)).find(|list| list.is_file())
}

fn is_header((_, text): &(u64, String)) -> bool {
    text.split_whitespace().eq(HEADER)
}

/// The splits and images of a list: the number of rows, the header, the rows.
fn read_list(list: &Path, images: &Path) -> Result<(Vec<Split>, Vec<NamedImage>), Error> {
    let lines = place::lines(list)?;
    let count: Option<usize> = lines[0].1.parse().ok();
    let (Some(count), Some(true)) = (count, lines.get(1).map(is_header)) else {
        let problem = format!("must start with the number of rows and `{}`", HEADER.join(" "));
        return Err(Error::layout(list, problem));
    };
    let rows = &lines[2..];
    if rows.len() != count {
        let problem = format!("announces {count} rows and has {}: restore it", rows.len());
        return Err(Error::layout(list, problem));
    }
    let mut splits = Vec::with_capacity(count);
    let mut found = Vec::with_capacity(count);
    for (line, text) in rows {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let row = match fields[..] {
            [name, item, split] if place::stays_below(name) => Some((name, item, split)),
            _ => None,
        };
        let split = row.and_then(|(_, _, split)| split.parse().ok());
        let (Some((name, item, _)), Some(split)) = (row, split) else {
            let problem = format!("`{text}`: want an image, an item and train, query or gallery");
            return Err(place::broken(list, *line, problem));
        };
        splits.push(split);
        found.push(NamedImage { path: images.join(name), pid: item.into(), camera: None });
    }
    Ok((splits, found))
}
