//! The reference's COCO-style fashion sets (DeepFashion, Street2Shop): three JSON files with
//! `images: [{id, file_name}]` and `annotations: [{image_id, pair_id}]`, and the images in
//! `{train,query,gallery}/`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use centroids_core::{CamId, Pid};
use serde::Deserialize;

use super::DatasetSource;
use super::place::{self, KnownFiles};
use crate::dataset::{Dataset, Split};
use crate::error::Error;
use crate::oddity;
use crate::record::ImageRecord;

/// Reads the three files, one record per annotation, by ascending `pair_id`.
///
/// Train and query images have camera 0, gallery images camera 1: no camera rule leaves anything
/// out. The reference's preparation numbers test products anew, so that equal numbers in train and
/// test do not mean the same product: train identities are moved behind the others and named
/// `train/<pair_id>`. Those with one image are dropped from train, as in the reference.
pub(super) fn load(source: &DatasetSource) -> Result<Dataset, Error> {
    let root = folder_of(&source.root);
    let jsons = match explicit_json(source) {
        Some(train) => companions(&train)?,
        None => find_jsons(root)?,
    };
    let images = image_folder(root, &jsons[0])?;
    let name = root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned();
    let mut dataset = Dataset { name, root: source.root.clone(), ..Dataset::default() };
    for (split, json) in Split::ALL.into_iter().zip(&jsons) {
        let records = read_json(json, &images.join(split.name()), split, &mut dataset.oddities)?;
        *dataset.split_mut(split) = records;
    }
    drop_single_images(&mut dataset);
    dataset.set_train_apart();
    Ok(dataset)
}

/// A train JSON, or a folder with the three files in it.
pub(super) fn recognises(root: &Path) -> bool {
    if root.is_file() {
        return is_json(root);
    }
    !triples(root).is_empty() && image_folders(root).len() + image_folders(&parent(root)).len() > 0
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// The dataset's folder, where the root may be its train JSON.
fn folder_of(root: &Path) -> &Path {
    if root.is_file() { root.parent().unwrap_or(root) } else { root }
}

fn parent(dir: &Path) -> PathBuf {
    dir.join("..")
}

/// The train JSON that was given, relative to the working folder or else to the root.
fn explicit_json(source: &DatasetSource) -> Option<PathBuf> {
    match &source.json_train_path {
        Some(path) if !path.exists() && source.root.join(path).exists() => {
            Some(source.root.join(path))
        }
        Some(path) => Some(path.clone()),
        None => source.root.is_file().then(|| source.root.clone()),
    }
}

/// The JSON files of train, query and gallery: "train" is replaced in the file's name, or, as the
/// reference does it, in the whole path.
fn companions(train: &Path) -> Result<[PathBuf; 3], Error> {
    if !train.is_file() {
        return Err(Error::Missing { path: train.into() });
    }
    let name = train.file_name().unwrap_or_default().to_string_lossy();
    let whole = train.to_string_lossy();
    if !whole.contains("train") {
        let problem = "its name must contain `train`: query and gallery are found by replacing it";
        return Err(Error::layout(train, problem));
    }
    let companion = |split: Split| {
        let by_name = train.with_file_name(name.replace("train", split.name()));
        let by_path = PathBuf::from(whole.replace("train", split.name()));
        let found = [&by_name, &by_path].into_iter().find(|path| path.is_file() && *path != train);
        found.cloned().ok_or_else(|| {
            let wanted = if by_name == train { by_path.clone() } else { by_name.clone() };
            Error::layout(train, format!("its companion `{}` is missing", wanted.display()))
        })
    };
    Ok([train.to_path_buf(), companion(Split::Query)?, companion(Split::Gallery)?])
}

/// The only triple of files in the root or, since image folders often lie beside the files, above.
fn find_jsons(root: &Path) -> Result<[PathBuf; 3], Error> {
    let (mut found, mut place) = (triples(root), root.to_path_buf());
    if found.is_empty() {
        place = parent(root);
        found = triples(&place);
    }
    let names = |found: &[PathBuf]| {
        let names = found.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy());
        names.collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [train] => companions(train),
        [] => Err(match train_jsons(&place).first().or(train_jsons(root).first()) {
            Some(train) => companions(train).err().unwrap_or(Error::Missing { path: root.into() }),
            None => Error::layout(
                root,
                "no train, query and gallery JSON in it, such as train_320_320.json, \
                 query_320_320.json and gallery_320_320.json: give datasets.json_train_path",
            ),
        }),
        several => {
            let problem = format!(
                "several train JSONs ({}): give one as the root or in datasets.json_train_path",
                names(several)
            );
            Err(Error::layout(root, problem))
        }
    }
}

fn train_jsons(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        is_json(path) && path.file_name().unwrap_or_default().to_string_lossy().contains("train")
    };
    let mut jsons: Vec<_> = entries.filter(named).collect();
    jsons.sort();
    jsons
}

/// The train JSONs of a folder that have both companions.
fn triples(dir: &Path) -> Vec<PathBuf> {
    train_jsons(dir).into_iter().filter(|train| companions(train).is_ok()).collect()
}

/// The folder with `train/`, `query/` and `gallery/`: the root, the one in it, or the one whose
/// name has the size that the JSON's name has (`320_320`).
fn image_folder(root: &Path, json: &Path) -> Result<PathBuf, Error> {
    let found = image_folders(root);
    if let [only] = found.as_slice() {
        return Ok(only.clone());
    }
    let size = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let digits = name.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        digits.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut of_size = found.iter().filter(|folder| size(folder) == size(json));
    match (found.is_empty(), of_size.next(), of_size.next()) {
        (true, ..) => Err(Error::layout(
            root,
            "no folder with train/, query/ and gallery/ in it: give the folder with these three",
        )),
        (_, Some(only), None) => Ok(only.clone()),
        _ => Err(Error::layout(
            root,
            "several folders in it hold train/, query/ and gallery/: give one of them",
        )),
    }
}

fn image_folders(root: &Path) -> Vec<PathBuf> {
    let complete = |dir: &PathBuf| Split::ALL.iter().all(|split| dir.join(split.name()).is_dir());
    if complete(&root.to_path_buf()) {
        return vec![root.into()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = entries.filter(complete).collect();
    folders.sort();
    folders
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    images: Vec<ImageInfo<'a>>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct ImageInfo<'a> {
    id: i64,
    #[serde(borrow)]
    file_name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    pair_id: i64,
}

fn read_json(
    json: &Path,
    folder: &Path,
    split: Split,
    oddities: &mut Vec<String>,
) -> Result<Vec<ImageRecord>, Error> {
    let bytes = fs::read(json).map_err(|source| Error::io(json, source))?;
    let content: Content<'_> = serde_json::from_slice(&bytes).map_err(|error| {
        let wanted = "want images: [{id, file_name}] and annotations: [{image_id, pair_id}]";
        Error::layout(json, format!("{error}: {wanted}"))
    })?;
    let paths = image_paths(json, folder, &content.images)?;
    let mut records = Vec::with_capacity(content.annotations.len());
    let mut dangling = Vec::new();
    for annotation in &content.annotations {
        let Annotation { image_id, pair_id } = *annotation;
        if pair_id < 0 {
            let problem = format!(
                "pair_id {pair_id} of image_id {image_id} is negative: number products from 0"
            );
            return Err(Error::layout(json, problem));
        }
        let camid = Some(CamId(u32::from(split == Split::Gallery)));
        match paths.get(&image_id) {
            Some(path) => {
                records.push(ImageRecord { path: path.clone(), pid: Pid(pair_id), camid })
            }
            None => dangling.push(image_id),
        }
    }
    if records.is_empty() {
        return Err(Error::layout(json, "no annotation names an image of it: restore the file"));
    }
    let what = "annotations whose image_id is no image's id, left out";
    oddities.extend(oddity::of_items(split, what, dangling.iter()));
    KnownFiles::default().check(json, records.iter().map(|record| &record.path))?;
    records.sort_by_key(|record| record.pid);
    Ok(records)
}

fn image_paths(
    json: &Path,
    folder: &Path,
    images: &[ImageInfo<'_>],
) -> Result<HashMap<i64, PathBuf>, Error> {
    let mut paths = HashMap::with_capacity(images.len());
    for ImageInfo { id, file_name } in images {
        if !place::stays_below(file_name) {
            let problem = format!(
                "file_name `{}` of image {id} leads out of `{}`: give a path below it",
                file_name.escape_debug(),
                folder.display()
            );
            return Err(Error::layout(json, problem));
        }
        let path = folder.join(&**file_name);
        if paths.get(id).is_some_and(|known| *known != path) {
            let problem = format!("two images have the id {id}: number images without repeats");
            return Err(Error::layout(json, problem));
        }
        paths.insert(*id, path);
    }
    Ok(paths)
}

fn drop_single_images(dataset: &mut Dataset) {
    let mut counts: HashMap<Pid, usize> = HashMap::new();
    for record in &dataset.train {
        *counts.entry(record.pid).or_default() += 1;
    }
    let mut dropped = Vec::new();
    dataset.train.retain(|record| {
        let alone = counts[&record.pid] == 1;
        dropped.extend(alone.then_some(record.pid));
        !alone
    });
    let what = "pair_ids with one image, dropped";
    dataset.oddities.extend(oddity::of_items(Split::Train, what, dropped.iter()));
}
