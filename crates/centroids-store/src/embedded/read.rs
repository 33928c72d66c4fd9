//! Looking things up.

use std::collections::BTreeMap;
use std::path::Path;

use centroids_core::Pid;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use serde_json::{Map, Value};

use super::fault::Fault;
use super::ledger::decode_embedding;
use crate::gallery::{ClassInfo, Known, Stats};
use crate::member::{ClassRef, ContentHash, Member, MemberId};
use crate::part::camera_of;
use crate::settings::Settings;

/// The class meant, if there is one.
pub(super) fn find_class(
    transaction: &Transaction<'_>,
    class: &ClassRef,
) -> Result<Option<Pid>, Fault> {
    let one = |sql: &str, value: &dyn rusqlite::ToSql| -> Result<Option<i64>, Fault> {
        Ok(transaction.prepare_cached(sql)?.query_row([value], |row| row.get(0)).optional()?)
    };
    let found = match class {
        ClassRef::Pid(pid) => one("SELECT pid FROM class WHERE pid = ?1", &pid.0)?,
        ClassRef::Name(name) => {
            let named = one("SELECT pid FROM class WHERE name = ?1", name)?;
            match (named, name.parse::<i64>()) {
                (None, Ok(pid)) => {
                    one("SELECT pid FROM class WHERE pid = ?1 AND name IS NULL", &pid)?
                }
                _ => named,
            }
        }
    };
    Ok(found.map(Pid))
}

/// Name of a class, if it has one.
pub(super) fn name_of(transaction: &Transaction<'_>, pid: Pid) -> Result<Option<String>, Fault> {
    let sql = "SELECT name FROM class WHERE pid = ?1";
    let name = transaction.prepare_cached(sql)?.query_row([pid.0], |row| row.get(0)).optional()?;
    Ok(name.flatten())
}

/// Names of all classes that have one.
pub(super) fn names(transaction: &Transaction<'_>) -> Result<BTreeMap<Pid, String>, Fault> {
    let sql = "SELECT pid, name FROM class WHERE name IS NOT NULL";
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((Pid(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether any class has one.
pub(super) fn has_names(transaction: &Transaction<'_>) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM class WHERE name IS NOT NULL)";
    Ok(transaction.query_row(sql, [], |row| row.get(0))?)
}

/// Which images are members.
pub(super) fn known(
    transaction: &Transaction<'_>,
    hashes: &[ContentHash],
) -> Result<Vec<Option<Known>>, Fault> {
    let mut statement = transaction.prepare_cached("SELECT id, pid FROM member WHERE hash = ?1")?;
    let mut one = |hash: &ContentHash| {
        let known = |row: &Row<'_>| Ok(Known { id: MemberId(row.get(0)?), pid: Pid(row.get(1)?) });
        Ok(statement.query_row([&hash.0[..]], known).optional()?)
    };
    hashes.iter().map(&mut one).collect()
}

/// A page of classes.
pub(super) fn classes(
    transaction: &Transaction<'_>,
    after: Option<Pid>,
    limit: usize,
) -> Result<Vec<ClassInfo>, Fault> {
    let sql = "SELECT pid, name,
                 (SELECT count(*) FROM member WHERE member.pid = class.pid AND quarantined = 0),
                 (SELECT count(*) FROM member WHERE member.pid = class.pid AND quarantined = 1),
                 (SELECT count(*) FROM part WHERE part.pid = class.pid AND camid >= 0)
               FROM class WHERE ?1 IS NULL OR pid > ?1 ORDER BY pid LIMIT ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    let values = params![after.map(|pid| pid.0), as_limit(limit)];
    let rows = statement.query_map(values, |row| {
        Ok(ClassInfo {
            pid: Pid(row.get(0)?),
            name: row.get(1)?,
            members: row.get::<_, i64>(2)? as usize,
            quarantined: row.get::<_, i64>(3)? as usize,
            cameras: row.get::<_, i64>(4)? as usize,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A page of members.
pub(super) fn members(
    transaction: &Transaction<'_>,
    settings: &Settings,
    of: Option<Pid>,
    (after, limit): (Option<MemberId>, usize),
) -> Result<Vec<Member>, Fault> {
    let of_class = if of.is_some() { "pid = ?3" } else { "?3 IS NULL" };
    let sql = format!(
        "SELECT id, key, hash, pid, (SELECT name FROM class WHERE class.pid = member.pid),
                camid, time, weight, quarantined, attributes, embedding
         FROM member WHERE id > ?1 AND {of_class} ORDER BY id LIMIT ?2"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let after = after.map_or(i64::MIN, |id| id.0);
    let mut rows = statement.query(params![after, as_limit(limit), of.map(|pid| pid.0)])?;
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        members.push(member(settings, row)?);
    }
    Ok(members)
}

fn member(settings: &Settings, row: &Row<'_>) -> Result<Member, Fault> {
    let key: String = row.get(1)?;
    let damaged = |what: &str| Fault::Damaged(format!("the {what} of {key}"));
    let hash: Option<Vec<u8>> = row.get(2)?;
    let hash = hash.map(|bytes| bytes.try_into().map(ContentHash).map_err(|_| damaged("hash")));
    let attributes: Map<String, Value> =
        serde_json::from_str(row.get_ref(9)?.as_str().map_err(rusqlite::Error::from)?)
            .map_err(|_| damaged("attributes"))?;
    Ok(Member {
        id: MemberId(row.get(0)?),
        hash: hash.transpose()?,
        pid: Pid(row.get(3)?),
        name: row.get(4)?,
        camid: camera_of(row.get(5)?),
        time: row.get(6)?,
        weight: row.get(7)?,
        quarantined: row.get(8)?,
        attributes,
        embedding: decode_embedding(settings, row, 10, &key)?,
        key,
    })
}

/// Counts.
pub(super) fn stats(transaction: &Transaction<'_>, path: &Path) -> Result<Stats, Fault> {
    let count = |sql: &str| -> Result<i64, Fault> {
        Ok(transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    };
    let counted = count("SELECT count(*) FROM member WHERE quarantined = 0")?;
    Ok(Stats {
        classes: count("SELECT count(*) FROM class")? as usize,
        members: counted as usize,
        quarantined: (count("SELECT count(*) FROM member")? - counted) as usize,
        cameras: count("SELECT count(DISTINCT camid) FROM part WHERE camid >= 0")? as usize,
        parts: count("SELECT count(*) FROM part")? as usize,
        bytes: std::fs::metadata(path).ok().map(|file| file.len()),
        revision: revision(transaction)?,
    })
}

/// Number of the last change; 0 if there was none.
pub(super) fn revision(transaction: &Transaction<'_>) -> Result<i64, Fault> {
    let sql = "SELECT coalesce(max(revision), 0) FROM change";
    Ok(transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
