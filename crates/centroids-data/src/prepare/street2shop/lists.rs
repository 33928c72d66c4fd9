//! The lists that come before the crops: photos as text, and all street photos with their boxes as
//! COCO.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::metadata::{CATEGORIES, Category, Photo, file_name};
use super::photo_folder::PhotoFolder;
use crate::error::Error;
use crate::prepare::coco::{Annotation, CocoList, Image};
use crate::prepare::picture::{measure, write};
use crate::prepare::work::{Progress, for_all};

/// Writes `train_data.txt`, `test_data.txt` and `train_all.txt` (a line per street photo and
/// product) and `<category>_products.txt` (a line per shop photo); returns their paths.
pub(super) fn write_texts(folder: &Path, categories: &[Category]) -> Result<Vec<PathBuf>, Error> {
    let lines = |photos: &mut dyn Iterator<Item = u64>| -> String {
        photos.map(|photo| file_name(photo) + "\n").collect()
    };
    let all = |set: fn(&Category) -> &Vec<Photo>| {
        lines(&mut categories.iter().flat_map(set).map(|photo| photo.photo))
    };
    let (train, test) = (all(|category| &category.train), all(|category| &category.test));
    let mut texts = vec![
        ("train_all.txt".to_owned(), [train.as_str(), test.as_str()].concat()),
        ("train_data.txt".to_owned(), train),
        ("test_data.txt".to_owned(), test),
    ];
    for (name, category) in CATEGORIES.iter().zip(categories) {
        let photos: BTreeSet<u64> = category.retrieval.iter().map(|photo| photo.photo).collect();
        texts.push((format!("{name}_products.txt"), lines(&mut photos.into_iter())));
    }
    let write_text = |(name, text): (String, String)| {
        let path = folder.join(name);
        write(&path, text.as_bytes()).map(|()| path)
    };
    texts.into_iter().map(write_text).collect()
}

/// All street photos, train first, with the boxes of their products. Photos that are missing or
/// broken are left out with their boxes; the reference gives them a size of 1×1. It also gives all
/// test photos the last category, and lists a photo once per product.
pub(super) fn street_photos(
    categories: &[Category],
    photos: &PhotoFolder,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Option<CocoList>, Error> {
    let train = categories.iter().map(|category| &category.train).enumerate();
    let test = categories.iter().map(|category| &category.test).enumerate();
    let street: Vec<(u32, &Photo)> = train
        .chain(test)
        .flat_map(|(category, list)| list.iter().map(move |photo| (category as u32, photo)))
        .collect();
    let mut known = BTreeSet::new();
    let mut numbers: Vec<u64> = street.iter().map(|(_, photo)| photo.photo).collect();
    numbers.retain(|number| known.insert(*number));

    let files: Arc<Vec<PathBuf>> = Arc::new(numbers.iter().map(|n| photos.path(*n)).collect());
    let size = |file: &PathBuf| Ok(measure(file).ok());
    let Some(sizes) = for_all("measuring", &files, threads, size, progress)? else {
        return Ok(None);
    };
    let sizes: HashMap<u64, [u32; 2]> =
        numbers.iter().zip(sizes).filter_map(|(number, size)| Some((*number, size?))).collect();

    let mut list = CocoList::new(CATEGORIES.into_iter().enumerate().map(|(i, n)| (i as u32, n)));
    for number in numbers {
        if let Some(size) = sizes.get(&number) {
            list.images.push(Image::new(number, file_name(number), *size));
        }
    }
    for (category, photo) in street {
        if sizes.contains_key(&photo.photo) {
            let (id, part) = (list.annotations.len() as u64, photo.bbox.map(Into::into));
            list.annotations.push(Annotation::new(id, photo.photo, category, part));
        }
    }
    Ok(Some(list))
}
