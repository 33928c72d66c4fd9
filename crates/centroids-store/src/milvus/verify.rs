//! Whether every centroid is that of its members.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{CLASSES, Change, Tally};
use super::rows::{COUNTER, CentroidRow, ClassRow, MemberRow};
use super::shelf::{Shelf, one_of};
use crate::error::Error;
use crate::gallery::Verification;

/// Largest difference of a sum, relative to the sum of its members' lengths.
const TOLERANCE: f64 = 1e-9;

/// What was found, and where centroids are to be made anew.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) result: Verification,
    classes: BTreeSet<i64>,
}

/// Compares everything with the members.
pub(super) fn run(shelf: &Shelf) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    let members = shelf.pids::<MemberRow>("")?;
    findings.result.members = members.len();
    let rows = shelf.pids::<CentroidRow>("")?;
    let mut classes: BTreeMap<i64, ClassRow> =
        shelf.now::<ClassRow>("")?.into_iter().map(|row| (row.pid, row)).collect();
    classes.remove(&COUNTER);
    let pids: BTreeSet<i64> = members.iter().chain(&rows).map(|(_, pid)| *pid).collect();
    let pids: Vec<i64> = pids.into_iter().chain(classes.keys().copied()).collect();
    let pids: BTreeSet<i64> = pids.into_iter().collect();
    for pids in pids.into_iter().collect::<Vec<_>>().chunks(CLASSES) {
        let tallies = Tally::of(shelf, pids)?;
        let mut kept: BTreeMap<i64, Vec<CentroidRow>> = BTreeMap::new();
        for row in shelf.now::<CentroidRow>(&one_of("pid", pids.iter().copied()))? {
            kept.entry(row.pid).or_default().push(row);
        }
        for &pid in pids {
            let kept = kept.remove(&pid).unwrap_or_default();
            findings.compare(shelf, pid, (tallies.get(&pid), classes.get(&pid)), &kept)?;
        }
    }
    findings.result.name_some();
    Ok(findings)
}

/// Makes the centroids anew that were found wrong; returns in how many classes.
pub(super) fn repair(shelf: &Shelf, findings: &Findings) -> Result<usize, Error> {
    let mut change = Change::begin(shelf)?;
    change.announce(findings.classes.iter().copied())?;
    change.close()
}

impl Findings {
    fn compare(
        &mut self,
        shelf: &Shelf,
        pid: i64,
        (tally, class): (Option<&Tally>, Option<&ClassRow>),
        kept: &[CentroidRow],
    ) -> Result<(), Error> {
        let before = self.result.problems.len();
        let problems = &mut self.result.problems;
        let mut problem = |text: &str| problems.push(format!("pid {pid}: {text}"));
        match (tally, class) {
            (Some(_), None) => problem("has members, but is no class"),
            (None, Some(_)) => problem("is a class without members"),
            (Some(tally), Some(class)) if class.stale || tally.class(class) != *class => {
                problem(match class.stale {
                    true => "a change was broken off",
                    false => "the counts of the class are not its members'",
                });
            }
            _ => {}
        }
        let nameless = ClassRow { pid, ..ClassRow::default() };
        let right = match tally {
            Some(tally) => tally.centroids(shelf, class.unwrap_or(&nameless))?,
            None => Vec::new(),
        };
        let length = tally.map_or(0.0, |tally| tally.length);
        for right in &right {
            match kept.iter().find(|kept| kept.without == right.without) {
                None => problem(&format!("{} is missing", called(right))),
                Some(kept) => {
                    self.result.parts += 1;
                    let difference = difference(kept, right) / length.max(f64::MIN_POSITIVE);
                    let largest = &mut self.result.largest_difference;
                    *largest = largest.max(difference);
                    if difference > TOLERANCE || !alike(kept, right) {
                        problem(&format!("{} is not its members'", called(right)));
                    }
                }
            }
        }
        if kept.iter().any(|kept| right.iter().all(|right| right.without != kept.without)) {
            problem("has a centroid of no members");
        }
        if self.result.problems.len() > before {
            self.classes.insert(pid);
        }
        Ok(())
    }
}

fn called(row: &CentroidRow) -> String {
    match row.without {
        -1 => "the centroid".to_owned(),
        camera => format!("the centroid without camera {camera}"),
    }
}

/// Length of the difference of two sums.
fn difference(a: &CentroidRow, b: &CentroidRow) -> f64 {
    a.sum.iter().zip(&b.sum).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Whether everything but the sums agrees.
fn alike(kept: &CentroidRow, right: &CentroidRow) -> bool {
    let close = |a: f64, b: f64, most: f64| (a - b).abs() <= most * a.abs().max(b.abs());
    let largest = right.vector.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let vectors = kept.vector.iter().zip(&right.vector);
    kept.members == right.members
        && kept.name == right.name
        && kept.cameras == right.cameras
        && close(kept.weight, right.weight, TOLERANCE)
        && kept.vector.len() == right.vector.len()
        && vectors.into_iter().all(|(a, b)| (a - b).abs() <= 1e-6 * largest)
}
