//! DeepFashion's own lists, as published: two lines of header, then columns between spaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::prepare::boxes::CornerBox;
use crate::prepare::coco::Source;

/// Lines before the first entry: their number, and the names of the columns.
const HEADER: usize = 2;

/// The sets of the partition.
pub(super) const SUBSETS: [&str; 3] = ["train", "val", "test"];

/// A line of `list_bbox_consumer2shop.txt`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BoxLine {
    /// 1 upper body, 2 lower body, 3 full body.
    pub(super) clothes: u32,
    pub(super) source: Source,
    /// Corners in pixels of the small pictures (`img`).
    pub(super) part: CornerBox,
}

/// The boxes of all pictures: folder of the item (without the leading `img/`) → file → line.
pub(super) type Boxes = BTreeMap<String, BTreeMap<String, BoxLine>>;

/// Reads `img/CLOTHING/Blouse/id_00003551/comsumer_01.jpg 1 2 22 23 192 299` and the like.
///
/// # Errors
/// When the list is missing, or with the number of the line that is broken.
pub(super) fn read_boxes(path: &Path) -> Result<Boxes, Error> {
    let mut boxes = Boxes::new();
    for_lines(path, |columns| {
        let [file, clothes, source, corners @ ..] = columns else {
            return Err("must be: image, clothes type, source type, x1, y1, x2, y2".to_owned());
        };
        let (folder, file) = split_path(file)?;
        let line = BoxLine {
            clothes: match number(clothes)? as u32 {
                clothes @ 1..=3 => clothes,
                _ => return Err(format!("clothes type `{clothes}`: must be 1, 2 or 3")),
            },
            source: match *source {
                "1" => Source::Shop,
                "2" => Source::User,
                _ => return Err(format!("source type `{source}`: must be 1 (shop) or 2 (user)")),
            },
            part: match corners {
                [x1, y1, x2, y2] => {
                    CornerBox { x1: number(x1)?, y1: number(y1)?, x2: number(x2)?, y2: number(y2)? }
                }
                _ => return Err(format!("{} numbers for a box: must be 4", corners.len())),
            },
        };
        boxes.entry(folder.to_owned()).or_default().insert(file.to_owned(), line);
        Ok(())
    })?;
    Ok(boxes)
}

/// The folders of items by [`SUBSETS`], from lines like
/// `img/…/comsumer_01.jpg img/…/shop_01.jpg id_00003551 train`.
///
/// # Errors
/// When the list is missing, or with the number of the line that is broken.
pub(super) fn read_partition(path: &Path) -> Result<[BTreeSet<String>; 3], Error> {
    let mut folders = SUBSETS.map(|_| BTreeSet::new());
    for_lines(path, |columns| {
        let [consumer, _shop, _item, subset] = columns else {
            return Err("must be: consumer image, shop image, item, subset".to_owned());
        };
        let (folder, _) = split_path(consumer)?;
        let index = SUBSETS.iter().position(|name| name == subset);
        let index = index.ok_or(format!("subset `{subset}`: must be train, val or test"))?;
        if !folders[index].contains(folder) {
            folders[index].insert(folder.to_owned());
        }
        Ok(())
    })?;
    Ok(folders)
}

/// Gives every line's columns to `take`, whose complaint becomes an error with the line's number.
fn for_lines(
    path: &Path,
    mut take: impl FnMut(&[&str]) -> Result<(), String>,
) -> Result<(), Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut empty = true;
    for (line, text) in (1..).zip(text.lines()).skip(HEADER) {
        let columns: Vec<&str> = text.split_whitespace().collect();
        if columns.is_empty() {
            continue;
        }
        empty = false;
        take(&columns).map_err(|problem| Error::Manifest { path: path.into(), line, problem })?;
    }
    match empty {
        true => Err(Error::layout(path, "has no entries after its two lines of header")),
        false => Ok(()),
    }
}

/// `img/a/b/c.jpg` → `a/b`, `c.jpg`. Nothing outside of the dataset can be named.
fn split_path(path: &str) -> Result<(&str, &str), String> {
    let inner = path.strip_prefix("img/").unwrap_or(path);
    let is_plain = inner.split('/').all(|part| !matches!(part, "" | "." | ".."));
    match inner.rsplit_once('/') {
        Some(parts) if is_plain => Ok(parts),
        _ => Err(format!("`{path}`: must be like img/CLOTHING/Blouse/id_00003551/shop_01.jpg")),
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or(format!("`{text}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(line: &str) -> Result<Boxes, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        let header = "1\r\nimage_name clothes_type source_type x_1 y_1 x_2 y_2\r\n";
        fs::write(&path, format!("{header}{line}\r\n\r\n")).unwrap();
        read_boxes(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_read_as_published() {
        let read =
            boxes("img/CLOTHING/Blouse/id_00003551/comsumer_01.jpg   1   2  022 023 192 299");
        let part = CornerBox { x1: 22.0, y1: 23.0, x2: 192.0, y2: 299.0 };
        let line = BoxLine { clothes: 1, source: Source::User, part };
        let files = BTreeMap::from([("comsumer_01.jpg".to_owned(), line)]);
        let wanted = BTreeMap::from([("CLOTHING/Blouse/id_00003551".to_owned(), files)]);
        assert_eq!(read.unwrap(), wanted);
    }

    #[test]
    fn a_broken_line_is_named_with_what_is_wrong() {
        let cases = [
            ("img/A/B/id_1/shop_01.jpg 1 1 22 23 192", "3 numbers for a box"),
            ("img/A/B/id_1/shop_01.jpg 1 1 22 23 left 9", "`left` is not a number"),
            ("img/A/B/id_1/shop_01.jpg 1 1 22 23 1e999 9", "`1e999` is not a number"),
            ("img/A/B/id_1/shop_01.jpg 9 1 22 23 192 299", "clothes type `9`"),
            ("img/A/B/id_1/shop_01.jpg 1 3 22 23 192 299", "source type `3`"),
            ("../../secret/id_1/shop_01.jpg 1 1 22 23 192 299", "must be like img/"),
            ("shop_01.jpg 1 1 22 23 192 299", "must be like img/"),
            ("img/A/B/id_1/shop_01.jpg", "must be: image"),
        ];
        for (line, problem) in cases {
            let error = boxes(line).unwrap_err();
            assert!(error.contains("line 3") && error.contains(problem), "{line}: {error}");
        }
        assert!(boxes("").unwrap_err().contains("no entries"));
    }
}
