//! Findings as files: JSON for programs, a page to look at, a list to edit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use centroids_core::doctor::{Findings, Pair};
use centroids_core::{Embeddings, Pid};

use super::Unreadable;
use super::doctor_cards::sections;
use super::doctor_page::{Thumbnails, page};
use super::search::pid_name;
use crate::Error;
use crate::files::{write_json, write_text};

/// Reasons to look at an image.
const DOUBTS: [&str; 4] = ["outlier", "mislabelled", "leak", "conflict"];

/// What was written.
#[derive(Debug)]
pub struct DoctorFiles {
    /// The page.
    pub index: PathBuf,
    /// All findings.
    pub findings: PathBuf,
    /// A verdict for each image.
    pub keep: PathBuf,
    /// Pictures that cannot be read; they are grey on the page.
    pub missing: Vec<Unreadable>,
}

/// Writes into `dir`, which is made if missing:
///
/// - `findings.json`: everything;
/// - `index.html`: the `worst` findings of each kind with small pictures; needs no other file;
/// - `keep.csv`: a row per row of the gallery with `path`, `pid`, `verdict`, `suggested` and
///   `reasons`, made to be edited. Verdicts: `relabel` (confirmed wrong label of an outlier;
///   `suggested` has the class), `drop` (duplicate of an image of its class that is kept), `check`
///   (outlier, other confirmed wrong label, in both files, or under two labels), `junk`, else `keep`.
///
/// # Errors
/// [`Error::Write`]. Pictures that cannot be read are no error.
pub fn write_findings(
    findings: &Findings,
    gallery: &Embeddings,
    dir: &Path,
    worst: usize,
) -> Result<DoctorFiles, Error> {
    fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.into(), source })?;
    let [index, json, keep] =
        ["index.html", "findings.json", "keep.csv"].map(|name| dir.join(name));
    write_json(&json, findings)?;
    write_keep(findings, gallery, &keep)?;
    let sections = sections(findings, gallery, worst);
    let pictures = Thumbnails::of(&sections);
    write_text(&index, &page(findings, &sections, &pictures))?;
    Ok(DoctorFiles { index, findings: json, keep, missing: pictures.missing() })
}

fn write_keep(findings: &Findings, gallery: &Embeddings, file: &Path) -> Result<(), Error> {
    let reasons = reasons(findings);
    let dropped = dropped(&findings.duplicates.redundant.listed);
    let confirmed = findings.mislabelled.iter().filter(|found| found.confirmed);
    let suggested: BTreeMap<usize, &str> =
        confirmed.map(|found| (found.image.row, found.suggested.name.as_str())).collect();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Error::Write { path: file.into(), source: error.into() };
    csv.write_record(["path", "pid", "verdict", "suggested", "reasons"]).map_err(failed)?;
    for (row, path) in gallery.paths().iter().enumerate() {
        let reasons = reasons.get(&row).map_or(&[][..], Vec::as_slice);
        let verdict = if gallery.pids()[row] == Pid::JUNK {
            "junk"
        } else if ["outlier", "mislabelled"].iter().all(|reason| reasons.contains(reason)) {
            "relabel"
        } else if dropped.contains(&row) {
            "drop"
        } else if reasons.iter().any(|reason| DOUBTS.contains(reason)) {
            "check"
        } else {
            "keep"
        };
        let suggested = suggested.get(&row).copied().unwrap_or("");
        let pid = pid_name(gallery, gallery.pids()[row]);
        csv.write_record([path, &pid, verdict, suggested, &reasons.join(" ")]).map_err(failed)?;
    }
    let bytes = csv.into_inner().map_err(|error| failed(error.into_error().into()))?;
    write_text(file, &String::from_utf8_lossy(&bytes))
}

/// Why each row was found, in a word each.
fn reasons(findings: &Findings) -> BTreeMap<usize, Vec<&'static str>> {
    let mut reasons: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let mut add = |row: usize, reason| {
        let of_row = reasons.entry(row).or_default();
        if !of_row.contains(&reason) {
            of_row.push(reason);
        }
    };
    findings.not_judged.iter().for_each(|image| add(image.row, "alone"));
    findings.outliers.iter().for_each(|found| add(found.image.row, "outlier"));
    for found in &findings.mislabelled {
        add(found.image.row, if found.confirmed { "mislabelled" } else { "unconfirmed" });
    }
    let duplicates = &findings.duplicates;
    for (pairs, reason) in
        [(&duplicates.conflicts, "conflict"), (&duplicates.redundant, "redundant")]
    {
        for pair in &pairs.listed {
            add(pair.first.row, reason);
            add(pair.second.row, reason);
        }
    }
    for pair in duplicates.leaks.iter().flat_map(|pairs| &pairs.listed) {
        add(pair.first.row, "leak");
    }
    reasons
}

/// The later image of each pair, unless the earlier one goes already.
fn dropped(pairs: &[Pair]) -> BTreeSet<usize> {
    let mut dropped = BTreeSet::new();
    for pair in pairs {
        let [first, second] = [pair.first.row, pair.second.row];
        if !dropped.contains(&first) && !dropped.contains(&second) {
            dropped.insert(second);
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use centroids_core::doctor::Image;

    #[test]
    fn an_image_is_dropped_only_for_one_that_is_kept() {
        let image = |row| Image { row, path: String::new(), pid: Pid(1), name: String::new() };
        let pair =
            |(a, b): (usize, usize)| Pair { distance: 0.0, first: image(a), second: image(b) };
        let pairs = [(0, 1), (1, 2), (2, 3), (4, 5), (4, 6), (5, 6)].map(pair);
        assert_eq!(dropped(&pairs), BTreeSet::from([1, 3, 5, 6]));
    }
}
