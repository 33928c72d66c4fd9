//! What one transaction changes of the sums.

use std::collections::{BTreeMap, BTreeSet};

use centroids_core::{CamId, Pid};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::fault::Fault;
use super::sub_centroids;
use crate::part::{Contribution, Part, camera_of, direction};
use crate::precision::{Precision, add_f64, decode_f64, encode_f64};
use crate::scan::RowId;
use crate::settings::Settings;

/// Changes that are remembered for those who hold rows in memory.
const CHANGES_KEPT: i64 = 1 << 16;

/// How often old changes are looked for.
const CHANGES_SIFTED: i64 = 1 << 10;

/// An identity's images from one camera; −1 is an unknown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartId {
    pub(super) pid: i64,
    pub(super) camid: i64,
}

impl Part {
    /// Adds a row of `members, weight, sum` that begins at `column`; what it is of is named if it is
    /// damaged.
    pub(super) fn absorb_row(
        &mut self,
        row: &rusqlite::Row<'_>,
        column: usize,
        id: PartId,
    ) -> Result<(), Fault> {
        let (members, weight): (i64, f64) = (row.get(column)?, row.get(column + 1)?);
        let sum = row.get_ref(column + 2)?.as_blob().map_err(rusqlite::Error::from)?;
        let sound = members > 0 && weight > 0.0 && weight.is_finite();
        if !sound || !add_f64(&mut self.sum, sum) {
            return Err(damaged(id));
        }
        self.members += members;
        self.weight += weight;
        Ok(())
    }
}

/// The parts that a transaction touches. They are written when it is closed, together with the
/// centroids that follow from them and the note of what changed.
pub(super) struct Ledger<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) settings: &'a Settings,
    parts: BTreeMap<PartId, Entry>,
    /// Classes to look at besides those of the parts.
    touched: BTreeSet<i64>,
}

struct Entry {
    part: Part,
    /// To be summed anew from its members.
    stale: bool,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>, settings: &'a Settings) -> Self {
        Self { transaction, settings, parts: BTreeMap::new(), touched: BTreeSet::new() }
    }

    /// An image counts from now on.
    pub(super) fn add(&mut self, id: PartId, image: &Contribution) -> Result<(), Fault> {
        self.entry(id)?.part.count(image, 1);
        Ok(())
    }

    /// An image counts no more. Where little is left of a sum, so are its digits: it is then made
    /// anew from the members, which keeps the error of every sum near that of a single rounding.
    pub(super) fn remove(&mut self, id: PartId, image: &Contribution) -> Result<(), Fault> {
        let entry = self.entry(id)?;
        entry.part.count(image, -1);
        let left = entry.part.sum.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        entry.stale |= image.length() >= left || entry.part.weight <= image.weight;
        Ok(())
    }

    /// The sum of a part is not to be trusted.
    pub(super) fn distrust(&mut self, id: PartId) -> Result<(), Fault> {
        // What is there may be unreadable, so it is not read.
        let part = Part::empty(self.settings.dim);
        self.parts.insert(id, Entry { part, stale: true });
        Ok(())
    }

    /// Something of a class changed that is in no part.
    pub(super) fn touch(&mut self, pid: i64) {
        self.touched.insert(pid);
    }

    fn entry(&mut self, id: PartId) -> Result<&mut Entry, Fault> {
        match self.parts.entry(id) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let part = read_part(self.transaction, id, self.settings.dim)?;
                let part = part.unwrap_or_else(|| Part::empty(self.settings.dim));
                Ok(entry.insert(Entry { part, stale: false }))
            }
        }
    }

    /// Writes all that changed.
    pub(super) fn close(self) -> Result<(), Fault> {
        let Self { transaction, settings, parts, mut touched } = self;
        for (id, Entry { part, stale }) in parts {
            let part = if stale { sum_members(transaction, settings, id)? } else { part };
            write_part(transaction, id, &part)?;
            touched.insert(id.pid);
        }
        for pid in touched {
            write_centroid(transaction, settings, pid)?;
            if settings.sub_centroids > 1 {
                sub_centroids::write(transaction, settings, pid)?;
            }
            drop_class_without_members(transaction, pid)?;
            note_change(transaction, pid)?;
        }
        Ok(())
    }
}

/// The part of a class and camera, if there is one.
pub(super) fn read_part(
    transaction: &Transaction<'_>,
    id: PartId,
    dim: usize,
) -> Result<Option<Part>, Fault> {
    let sql = "SELECT members, weight, sum FROM part WHERE pid = ?1 AND camid = ?2";
    let row = transaction.prepare_cached(sql)?.query_row(params![id.pid, id.camid], |row| {
        Ok((row.get(0)?, row.get(1)?, decode_f64(row.get_ref(2)?.as_blob()?, dim)))
    });
    row.optional()?.map(|(members, weight, sum)| part_of(id, members, weight, sum)).transpose()
}

fn part_of(id: PartId, members: i64, weight: f64, sum: Option<Vec<f64>>) -> Result<Part, Fault> {
    let sum = sum.filter(|_| members > 0 && weight > 0.0 && weight.is_finite());
    Ok(Part { members, weight, sum: sum.ok_or_else(|| damaged(id))? })
}

fn damaged(PartId { pid, camid }: PartId) -> Fault {
    Fault::Damaged(format!("the sum of pid {pid}, camera {camid}"))
}

/// The sum over the images of a centroid, those of a camera left out, in the place of `whole`;
/// without any image it is empty.
pub(super) fn sum_parts(
    transaction: &Transaction<'_>,
    RowId { pid, sub, .. }: RowId,
    without: Option<CamId>,
    whole: &mut Part,
) -> Result<(), Fault> {
    let sql = match sub {
        0 => {
            "SELECT camid, members, weight, sum FROM part WHERE pid = ?1 AND ?2 = 0
             ORDER BY camid"
        }
        _ => {
            "SELECT camid, members, weight, sum FROM sub_part WHERE pid = ?1 AND sub = ?2
             ORDER BY camid"
        }
    };
    whole.clear();
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([pid.0, sub])?;
    while let Some(row) = rows.next()? {
        let id = PartId { pid: pid.0, camid: row.get(0)? };
        if without.is_none() || camera_of(id.camid) != without {
            whole.absorb_row(row, 1, id)?;
        }
    }
    Ok(())
}

/// The sum of the members that count, which is what a part must be.
pub(super) fn sum_members(
    transaction: &Transaction<'_>,
    settings: &Settings,
    id: PartId,
) -> Result<Part, Fault> {
    let sql = "SELECT key, time, weight, embedding FROM member
               WHERE pid = ?1 AND camid = ?2 AND quarantined = 0 ORDER BY id";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(params![id.pid, id.camid])?;
    let mut part = Part::empty(settings.dim);
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        let embedding = decode_embedding(settings, row, 3, &key)?;
        let image = Contribution::new(settings, embedding, row.get(2)?, (&key, row.get(1)?))?;
        part.count(&image, 1);
    }
    Ok(part)
}

/// The vector in a column.
pub(super) fn decode_embedding(
    settings: &Settings,
    row: &rusqlite::Row<'_>,
    column: usize,
    key: &str,
) -> Result<Vec<f32>, Fault> {
    let bytes = row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?;
    let vector = settings.precision.decode(bytes, settings.dim);
    vector.ok_or_else(|| Fault::Damaged(format!("the embedding of {key}")))
}

fn write_part(transaction: &Transaction<'_>, id: PartId, part: &Part) -> Result<(), Fault> {
    let PartId { pid, camid } = id;
    if part.members <= 0 {
        let sql = "DELETE FROM part WHERE pid = ?1 AND camid = ?2";
        transaction.prepare_cached(sql)?.execute(params![pid, camid])?;
        return Ok(());
    }
    let sql = "INSERT INTO part (pid, camid, members, weight, sum) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (pid, camid)
               DO UPDATE SET members = excluded.members, weight = excluded.weight, sum = excluded.sum";
    let sum = encode_f64(&part.sum);
    let values = params![pid, camid, part.members, part.weight, sum];
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// What search holds of a class: the direction of its centroid.
fn write_centroid(
    transaction: &Transaction<'_>,
    settings: &Settings,
    pid: i64,
) -> Result<(), Fault> {
    let mut whole = Part::empty(settings.dim);
    sum_parts(transaction, RowId::centroid(Pid(pid), 0), None, &mut whole)?;
    if whole.members == 0 {
        transaction.prepare_cached("DELETE FROM centroid WHERE pid = ?1")?.execute([pid])?;
        return Ok(());
    }
    let (direction, norm) = direction(&whole.mean());
    let sql = "INSERT INTO centroid (pid, norm, direction) VALUES (?1, ?2, ?3)
               ON CONFLICT (pid) DO UPDATE SET norm = excluded.norm, direction = excluded.direction";
    let bytes = Precision::F32.encode(&direction);
    transaction.prepare_cached(sql)?.execute(params![pid, norm, bytes])?;
    Ok(())
}

fn drop_class_without_members(transaction: &Transaction<'_>, pid: i64) -> Result<(), Fault> {
    let sql = "DELETE FROM class WHERE pid = ?1
               AND NOT EXISTS (SELECT 1 FROM member WHERE pid = ?1)";
    transaction.prepare_cached(sql)?.execute([pid])?;
    Ok(())
}

fn note_change(transaction: &Transaction<'_>, pid: i64) -> Result<(), Fault> {
    transaction.prepare_cached("INSERT INTO change (pid) VALUES (?1)")?.execute([pid])?;
    let revision = transaction.last_insert_rowid();
    if revision % CHANGES_SIFTED == 0 {
        let sql = "DELETE FROM change WHERE revision <= ?1";
        transaction.prepare_cached(sql)?.execute([revision - CHANGES_KEPT])?;
    }
    Ok(())
}
