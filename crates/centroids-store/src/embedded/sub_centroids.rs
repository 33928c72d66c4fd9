//! Sub-centroids follow from the members alone.
//!
//! With every transaction that touches a class its members are divided anew, in the order of their
//! keys, so that the result does not depend on the history: reading the class costs what its
//! embeddings weigh. Of a class of more than [`SAMPLE`] members evenly spaced ones decide on the
//! centres; all then belong to their nearest.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::fault::Fault;
use super::ledger::decode_embedding;
use crate::part::{Contribution, Part, direction};
use crate::precision::{Precision, encode_f64};
use crate::settings::Settings;
use crate::subdivision::{self, DIVISIBLE};

/// Members that decide on the centres.
const SAMPLE: usize = 1000;

/// A class of several looks; without members one that has a single centroid.
#[derive(Default)]
pub(super) struct Division {
    /// Number of the sub-centroid by member.
    pub(super) members: BTreeMap<i64, i64>,
    /// Sums by sub-centroid and camera, with the sum of the lengths of what was added.
    pub(super) parts: BTreeMap<(i64, i64), (Part, f64)>,
}

impl Division {
    /// The division that the members of a class want; `None` if they are best off with one centroid.
    pub(super) fn of_members(
        transaction: &Transaction<'_>,
        settings: &Settings,
        pid: i64,
    ) -> Result<Option<Self>, Fault> {
        let sql = "SELECT id FROM member WHERE pid = ?1 AND quarantined = 0 ORDER BY key";
        let mut statement = transaction.prepare_cached(sql)?;
        let ids = statement.query_map([pid], |row| row.get(0))?;
        let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
        if ids.len() < DIVISIBLE {
            return Ok(None);
        }
        let sample = ids.iter().step_by(ids.len().div_ceil(SAMPLE));
        let vectors = sample.map(|&id| Ok(read_image(transaction, settings, id)?.1.embedding));
        let vectors = vectors.collect::<Result<Vec<_>, Fault>>()?;
        let centres = subdivision::centres(&vectors, settings.sub_centroids);
        if centres.len() == 1 {
            return Ok(None);
        }
        let mut division = Self::default();
        for id in ids {
            let (camid, image) = read_image(transaction, settings, id)?;
            let sub = subdivision::nearest(&centres, &image.embedding) as i64 + 1;
            division.members.insert(id, sub);
            let empty = || (Part::empty(settings.dim), 0.0);
            let (part, length) = division.parts.entry((sub, camid)).or_insert_with(empty);
            part.count(&image, 1);
            *length += image.length();
        }
        Ok(Some(division))
    }

    /// Means by number.
    pub(super) fn means(&self, dim: usize) -> BTreeMap<i64, Vec<f64>> {
        let mut wholes: BTreeMap<i64, Part> = BTreeMap::new();
        for (&(sub, _), (part, _)) in &self.parts {
            wholes.entry(sub).or_insert_with(|| Part::empty(dim)).absorb(part);
        }
        wholes.into_iter().map(|(sub, whole)| (sub, whole.mean())).collect()
    }
}

fn read_image(
    transaction: &Transaction<'_>,
    settings: &Settings,
    id: i64,
) -> Result<(i64, Contribution), Fault> {
    let sql = "SELECT camid, key, time, weight, embedding FROM member WHERE id = ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([id])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let key: String = row.get(1)?;
    let embedding = decode_embedding(settings, row, 4, &key)?;
    let image = Contribution::new(settings, embedding, row.get(3)?, (&key, row.get(2)?))?;
    Ok((row.get(0)?, image))
}

/// Divides a class anew.
pub(super) fn write(
    transaction: &Transaction<'_>,
    settings: &Settings,
    pid: i64,
) -> Result<(), Fault> {
    for table in ["sub_member", "sub_part", "sub_centroid"] {
        let sql = format!("DELETE FROM {table} WHERE pid = ?1");
        transaction.prepare_cached(&sql)?.execute([pid])?;
    }
    let Some(division) = Division::of_members(transaction, settings, pid)? else {
        return Ok(());
    };
    let mut statement = transaction
        .prepare_cached("INSERT INTO sub_member (pid, member, sub) VALUES (?1, ?2, ?3)")?;
    for (&member, &sub) in &division.members {
        statement.execute(params![pid, member, sub])?;
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO sub_part (pid, sub, camid, members, weight, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (&(sub, camid), (part, _)) in &division.parts {
        let sum = encode_f64(&part.sum);
        statement.execute(params![pid, sub, camid, part.members, part.weight, sum])?;
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO sub_centroid (pid, sub, norm, direction) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (sub, mean) in division.means(settings.dim) {
        let (direction, norm) = direction(&mean);
        let bytes = Precision::F32.encode(&direction);
        statement.execute(params![pid, sub, norm, bytes])?;
    }
    Ok(())
}
