//! What looks wrong or unusual in a dataset, one line each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use centroids_core::Pid;
use rayon::prelude::*;

use crate::dataset::{Dataset, Split};
use crate::decode::{DEFAULT_MAX_PIXELS, decode_file, format_of};

use crate::listing::Listing;
use crate::record::ImageRecord;

/// How many examples a line gives.
const EXAMPLES: usize = 3;
/// Bytes in which every known format shows its signature.
const SIGNATURE: u64 = 64;

/// Oddities that the records alone show.
pub(crate) fn of_records(dataset: &Dataset) -> Vec<String> {
    let empty = Split::ALL.into_iter().filter(|split| dataset.split(*split).is_empty());
    let mut found: Vec<String> = empty.map(|split| format!("{split}: no images")).collect();
    found.extend(single_images(&dataset.train));
    found.extend(trained_and_tested(dataset));
    found.extend(unanswerable_queries(dataset));
    found.extend(listed_twice(dataset));
    found
}

/// Oddities that need a look into the files: empty ones, such as are no images, extensions that lie,
/// and pictures that cannot be decoded. Decodes every file.
pub fn inspect_files(dataset: &Dataset) -> Vec<String> {
    let mut found = Vec::new();
    for split in Split::ALL {
        let records = dataset.split(split).par_iter();
        let verdicts: Vec<_> = records
            .filter_map(|record| Some((verdict(&record.path)?, record.path.clone())))
            .collect();
        let mut by_verdict: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
        for (verdict, path) in verdicts {
            by_verdict.entry(verdict).or_default().push(path);
        }
        let lines =
            by_verdict.iter().filter_map(|(verdict, paths)| of_paths(split, verdict, paths));
        found.extend(lines);
    }
    found
}

fn verdict(path: &Path) -> Option<&'static str> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIGNATURE).read_to_end(&mut start));
    match read {
        Err(_) => Some("files that cannot be opened"),
        Ok(0) => Some("empty files"),
        Ok(_) => match format_of(&start) {
            None => Some("files that are no known image format"),
            Some(format) => {
                let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
                let fits = format.extensions_str().iter().any(|known| extension == **known);
                match (fits, decode_file(path, DEFAULT_MAX_PIXELS)) {
                    (_, Err(_)) => Some("pictures that are broken, cut off or too large"),
                    (false, _) => Some("files whose extension is not that of their format"),
                    (true, Ok(_)) => None,
                }
            }
        },
    }
}

/// Files of a folder that are not taken.
pub(crate) fn of_listing(place: impl Display, listing: &Listing) -> Vec<String> {
    let hidden = of_paths(&place, "hidden files or folders, left out", &listing.hidden);
    let others = of_paths(&place, "files that are no images, left out", &listing.others);
    hidden.into_iter().chain(others).collect()
}

/// `place: what: n (a.jpg, b.jpg and n−2 more)`; nothing when there are no paths.
pub(crate) fn of_paths(place: impl Display, what: &str, paths: &[PathBuf]) -> Option<String> {
    let names = paths.iter().map(|path| path.file_name().unwrap_or_default().display());
    line(&format!("{place}: {what}"), names)
}

/// `place: what: n (a, b and n−2 more)`; nothing when there are no items.
pub(crate) fn of_items(
    place: impl Display,
    what: &str,
    items: impl ExactSizeIterator<Item = impl Display>,
) -> Option<String> {
    line(&format!("{place}: {what}"), items)
}

fn single_images(train: &[ImageRecord]) -> Option<String> {
    let mut counts: BTreeMap<Pid, usize> = BTreeMap::new();
    for record in train {
        *counts.entry(record.pid).or_default() += 1;
    }
    counts.retain(|_, count| *count == 1);
    line("train: pids with one image, which P×K sampling leaves out", counts.keys())
}

fn trained_and_tested(dataset: &Dataset) -> Option<String> {
    let train = pids(&dataset.train);
    let tested = &pids(&dataset.query) | &pids(&dataset.gallery);
    let mut both = &train & &tested;
    both.remove(&Pid::DISTRACTOR);
    line("pids both in train and in query or gallery, which flatters results", both.iter())
}

/// Queries without a gallery image of their identity from another camera (from any where cameras
/// are unknown).
fn unanswerable_queries(dataset: &Dataset) -> Option<String> {
    let mut cameras: HashMap<Pid, BTreeSet<_>> = HashMap::new();
    for record in &dataset.gallery {
        cameras.entry(record.pid).or_default().insert(record.camid);
    }
    let answerable = |query: &&ImageRecord| {
        let seen = cameras.get(&query.pid);
        seen.is_some_and(|seen| seen.iter().any(|camid| camid.is_none() || *camid != query.camid))
    };
    let lost: Vec<PathBuf> = dataset
        .query
        .iter()
        .filter(|query| !answerable(query))
        .map(|query| query.path.clone())
        .collect();
    of_paths(Split::Query, "images without a match from another camera in the gallery", &lost)
}

/// A query that lies in the gallery too, of the same identity and camera, is no oddity: the camera
/// rules leave it out.
fn listed_twice(dataset: &Dataset) -> Option<String> {
    let mut seen: HashMap<&Path, (Split, &ImageRecord)> = HashMap::new();
    let mut twice = Vec::new();
    for split in Split::ALL {
        for record in dataset.split(split) {
            let left_out = |(before, first): (Split, &ImageRecord)| {
                (before, split) == (Split::Query, Split::Gallery)
                    && record.camid.is_some()
                    && first == record
            };
            if seen.insert(&record.path, (split, record)).is_some_and(|first| !left_out(first)) {
                twice.push(record.path.clone());
            }
        }
    }
    of_paths("all", "paths listed more than once", &twice)
}

fn pids(records: &[ImageRecord]) -> BTreeSet<Pid> {
    records.iter().map(|record| record.pid).collect()
}

/// `what: n (a, b and n−2 more)`; nothing when there are no items.
fn line(what: &str, items: impl ExactSizeIterator<Item = impl Display>) -> Option<String> {
    let count = items.len();
    let shown: Vec<String> = items.take(EXAMPLES).map(|item| item.to_string()).collect();
    let shown = shown.join(", ");
    match count.saturating_sub(EXAMPLES) {
        _ if count == 0 => None,
        0 => Some(format!("{what}: {count} ({shown})")),
        more => Some(format!("{what}: {count} ({shown} and {more} more)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_all_and_shows_some() {
        assert_eq!(line("odd", [0; 0].iter()), None);
        assert_eq!(line("odd", [7, 8].iter()).as_deref(), Some("odd: 2 (7, 8)"));
        assert_eq!(line("odd", 1..6).as_deref(), Some("odd: 5 (1, 2, 3 and 2 more)"));
    }
}
