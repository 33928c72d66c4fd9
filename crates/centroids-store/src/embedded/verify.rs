//! Whether every sum is that of its members.

use std::collections::{BTreeMap, BTreeSet};

use centroids_core::Pid;
use rusqlite::Transaction;

use super::fault::Fault;
use super::ledger::{Ledger, PartId, decode_embedding, sum_members, sum_parts};
use super::sub_centroids::Division;
use crate::gallery::Verification;
use crate::part::{Contribution, Part, direction};
use crate::precision::{Precision, decode_f64};
use crate::scan::RowId;
use crate::settings::Settings;

/// Largest difference of a sum, relative to the sum of its members' lengths.
const TOLERANCE: f64 = 1e-9;

/// What was found, and where sums are to be made anew.
pub(super) struct Findings {
    pub(super) result: Verification,
    parts: BTreeSet<PartId>,
    classes: BTreeSet<i64>,
}

/// Compares everything with the members.
pub(super) fn run(transaction: &Transaction<'_>, settings: &Settings) -> Result<Findings, Fault> {
    let mut findings = Findings {
        result: Verification::default(),
        parts: BTreeSet::new(),
        classes: BTreeSet::new(),
    };
    integrity(transaction, &mut findings)?;
    let wanted = wanted_parts(transaction, &mut findings)?;
    let kept = kept_parts(transaction)?;
    for &id in wanted.union(&kept) {
        compare_part(transaction, settings, id, &mut findings)?;
    }
    let pids: BTreeSet<i64> = wanted.iter().map(|id| id.pid).collect();
    compare_centroids(transaction, settings, &pids, &mut findings)?;
    if settings.sub_centroids > 1 {
        compare_sub_centroids(transaction, settings, pids, &mut findings)?;
    }
    compare_classes(transaction, &mut findings)?;
    findings.result.name_some();
    Ok(findings)
}

/// Makes the sums anew that were found wrong; returns in how many classes.
pub(super) fn repair(ledger: &mut Ledger<'_>, findings: &Findings) -> Result<usize, Fault> {
    let mut classes = findings.classes.clone();
    for &part in &findings.parts {
        ledger.distrust(part)?;
        classes.insert(part.pid);
    }
    for &pid in &classes {
        let sql = "INSERT OR IGNORE INTO class (pid)
                   SELECT ?1 WHERE EXISTS (SELECT 1 FROM member WHERE pid = ?1)";
        ledger.transaction.execute(sql, [pid])?;
        ledger.touch(pid);
    }
    Ok(classes.len())
}

impl Findings {
    fn problem(&mut self, text: String) {
        self.result.problems.push(text);
    }
}

/// What the database says of its own pages and indexes.
fn integrity(transaction: &Transaction<'_>, findings: &mut Findings) -> Result<(), Fault> {
    let mut statement = transaction.prepare("PRAGMA integrity_check")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    for line in lines {
        let line = line?;
        if line != "ok" {
            findings.problem(format!("database: {}", line.replace('\n', " ")));
        }
    }
    Ok(())
}

/// Parts that there must be, for a member counts in them.
fn wanted_parts(
    transaction: &Transaction<'_>,
    findings: &mut Findings,
) -> Result<BTreeSet<PartId>, Fault> {
    let count = "SELECT count(*) FROM member";
    let members: i64 = transaction.query_row(count, [], |row| row.get(0))?;
    findings.result.members = members as usize;
    parts(transaction, "SELECT DISTINCT pid, camid FROM member WHERE quarantined = 0")
}

fn kept_parts(transaction: &Transaction<'_>) -> Result<BTreeSet<PartId>, Fault> {
    parts(transaction, "SELECT pid, camid FROM part")
}

fn parts(transaction: &Transaction<'_>, sql: &str) -> Result<BTreeSet<PartId>, Fault> {
    let mut statement = transaction.prepare(sql)?;
    let rows =
        statement.query_map([], |row| Ok(PartId { pid: row.get(0)?, camid: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn compare_part(
    transaction: &Transaction<'_>,
    settings: &Settings,
    id: PartId,
    findings: &mut Findings,
) -> Result<(), Fault> {
    findings.result.parts += 1;
    let (right, length) = match sum_with_length(transaction, settings, id) {
        Err(Fault::Damaged(problem)) => {
            findings.problem(format!("{problem} is unreadable: remove this member"));
            return Ok(());
        }
        other => other?,
    };
    let sql = "SELECT members, weight, sum FROM part WHERE pid = ?1 AND camid = ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([id.pid, id.camid])?;
    let kept = match rows.next()? {
        None => None,
        Some(row) => {
            let sum = decode_f64(row.get_ref(2)?.as_blob().unwrap_or_default(), settings.dim);
            sum.map(|sum| {
                Ok::<_, rusqlite::Error>(Part { members: row.get(0)?, weight: row.get(1)?, sum })
            })
            .transpose()?
        }
    };
    let Some(kept) = kept else {
        findings.problem(format!("{}: the sum is missing or unreadable", named(id)));
        findings.parts.insert(id);
        return Ok(());
    };
    let difference = kept.sum.iter().zip(&right.sum).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let relative = difference.sqrt() / length.max(f64::MIN_POSITIVE);
    findings.result.largest_difference = findings.result.largest_difference.max(relative);
    let weight = (kept.weight - right.weight).abs() / right.weight.max(f64::MIN_POSITIVE);
    if kept.members != right.members {
        let (kept, right) = (kept.members, right.members);
        findings.problem(format!("{}: counts {kept} members of {right}", named(id)));
    } else if relative > TOLERANCE || weight > TOLERANCE {
        let worst = relative.max(weight);
        findings.problem(format!("{}: the sum is not its members' by {worst:.1e}", named(id)));
    } else {
        return Ok(());
    }
    findings.parts.insert(id);
    Ok(())
}

fn named(PartId { pid, camid }: PartId) -> String {
    match camid {
        -1 => format!("pid {pid}, unknown camera"),
        camid => format!("pid {pid}, camera {camid}"),
    }
}

/// The sum that must be there, and the sum of its members' lengths.
fn sum_with_length(
    transaction: &Transaction<'_>,
    settings: &Settings,
    id: PartId,
) -> Result<(Part, f64), Fault> {
    let part = sum_members(transaction, settings, id)?;
    let sql = "SELECT key, time, weight, embedding FROM member
               WHERE pid = ?1 AND camid = ?2 AND quarantined = 0";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([id.pid, id.camid])?;
    let mut length = 0.0;
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        let embedding = decode_embedding(settings, row, 3, &key)?;
        length +=
            Contribution::new(settings, embedding, row.get(2)?, (&key, row.get(1)?))?.length();
    }
    Ok((part, length))
}

/// The rows that search reads must be what follows from the parts.
fn compare_centroids(
    transaction: &Transaction<'_>,
    settings: &Settings,
    pids: &BTreeSet<i64>,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let mut statement = transaction.prepare("SELECT pid, norm, direction FROM centroid")?;
    let mut rows = statement.query([])?;
    let mut kept: BTreeMap<i64, bool> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let pid: i64 = row.get(0)?;
        let bytes = row.get_ref(2)?.as_blob().unwrap_or_default();
        let vector = Precision::F32.decode(bytes, settings.dim);
        let right = vector.is_some_and(|vector| {
            follows(transaction, settings, pid, (&vector, row.get(1).unwrap_or(f64::NAN)))
        });
        kept.insert(pid, right);
    }
    let wrong = kept.iter().filter(|(pid, right)| !**right || !pids.contains(pid));
    let missing = pids.iter().filter(|pid| !kept.contains_key(pid));
    let wrong: BTreeSet<i64> = wrong.map(|(pid, _)| *pid).chain(missing.copied()).collect();
    for pid in wrong {
        findings.problem(format!("pid {pid}: the centroid does not follow from its sums"));
        findings.classes.insert(pid);
    }
    Ok(())
}

fn follows(
    transaction: &Transaction<'_>,
    settings: &Settings,
    pid: i64,
    (vector, length): (&[f32], f64),
) -> bool {
    let mut whole = Part::empty(settings.dim);
    match sum_parts(transaction, RowId::centroid(Pid(pid), 0), None, &mut whole) {
        // A part that is unreadable was named already.
        Err(_) => true,
        Ok(()) => whole.members > 0 && is_direction(vector, length, &whole.mean()),
    }
}

/// Whether this is the direction and the length of a mean.
fn is_direction(vector: &[f32], length: f64, mean: &[f64]) -> bool {
    let (right, norm) = direction(mean);
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-30);
    close(length, norm) && vector.iter().zip(&right).all(|(a, b)| (a - b).abs() <= 1e-6)
}

/// Sub-centroids must be those that the members of each class want.
fn compare_sub_centroids(
    transaction: &Transaction<'_>,
    settings: &Settings,
    mut pids: BTreeSet<i64>,
    findings: &mut Findings,
) -> Result<(), Fault> {
    for table in ["sub_member", "sub_part", "sub_centroid"] {
        let mut statement = transaction.prepare(&format!("SELECT DISTINCT pid FROM {table}"))?;
        let divided = statement.query_map([], |row| row.get::<_, i64>(0))?;
        pids.extend(divided.collect::<Result<Vec<_>, _>>()?);
    }
    for pid in pids {
        let wanted = match Division::of_members(transaction, settings, pid) {
            // A member that is unreadable was named already.
            Err(Fault::Damaged(_)) => continue,
            other => other?,
        };
        if !is_divided_so(transaction, settings, pid, wanted.unwrap_or_default())? {
            findings.problem(format!("pid {pid}: the sub-centroids are not its members'"));
            findings.classes.insert(pid);
        }
    }
    Ok(())
}

fn is_divided_so(
    transaction: &Transaction<'_>,
    settings: &Settings,
    pid: i64,
    wanted: Division,
) -> Result<bool, Fault> {
    let mut statement =
        transaction.prepare_cached("SELECT member, sub FROM sub_member WHERE pid = ?1")?;
    let members = statement.query_map([pid], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut right = members.collect::<Result<BTreeMap<i64, i64>, _>>()? == wanted.members;

    let sql = "SELECT sub, camid, members, weight, sum FROM sub_part WHERE pid = ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([pid])?;
    let mut parts = wanted.parts.len();
    while let Some(row) = rows.next()? {
        let camid = row.get(1)?;
        let mut kept = Part::empty(settings.dim);
        let readable = kept.absorb_row(row, 2, PartId { pid, camid }).is_ok();
        let wanted = wanted.parts.get(&(row.get(0)?, camid));
        right &= readable && wanted.is_some_and(|(part, length)| is_sum(&kept, part, *length));
        parts = parts.wrapping_sub(1);
    }

    let sql = "SELECT sub, norm, direction FROM sub_centroid WHERE pid = ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([pid])?;
    let mut means = wanted.means(settings.dim);
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(2)?.as_blob().unwrap_or_default();
        let vector = Precision::F32.decode(bytes, settings.dim);
        let mean = means.remove(&row.get(0)?);
        let both = vector.zip(mean);
        let length = row.get(1)?;
        right &= both.is_some_and(|(vector, mean)| is_direction(&vector, length, &mean));
    }
    Ok(right && parts == 0 && means.is_empty())
}

fn is_sum(kept: &Part, right: &Part, length: f64) -> bool {
    let difference = kept.sum.iter().zip(&right.sum).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let close = |difference: f64, scale: f64| difference <= TOLERANCE * scale;
    kept.members == right.members
        && close(difference.sqrt(), length)
        && close((kept.weight - right.weight).abs(), right.weight)
}

/// Every member has its class, and every class a member.
fn compare_classes(transaction: &Transaction<'_>, findings: &mut Findings) -> Result<(), Fault> {
    for (sql, problem) in [
        (
            "SELECT DISTINCT pid FROM member WHERE pid NOT IN (SELECT pid FROM class)",
            "has members, but is no class",
        ),
        (
            "SELECT pid FROM class WHERE pid NOT IN (SELECT pid FROM member)",
            "is a class without members",
        ),
    ] {
        let mut statement = transaction.prepare(sql)?;
        let pids = statement.query_map([], |row| row.get::<_, i64>(0))?;
        for pid in pids {
            let pid = pid?;
            findings.problem(format!("pid {pid}: {problem}"));
            findings.classes.insert(pid);
        }
    }
    Ok(())
}
