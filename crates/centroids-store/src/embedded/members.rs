//! Members come, go, move and are set aside.

use centroids_core::Pid;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::fault::Fault;
use super::ledger::{Ledger, PartId, decode_embedding};
use super::read::find_class;
use crate::encoded::Encoded;
use crate::error::Error;
use crate::gallery::{AddOptions, OnConflict, Selection};
use crate::member::{Added, ClassRef, MemberId, NewMember};
use crate::part::{Contribution, camid_of};

/// Adds one member, or finds it there.
pub(super) fn add(
    ledger: &mut Ledger<'_>,
    new: &NewMember,
    encoded: &Encoded,
    options: AddOptions,
) -> Result<Added, Fault> {
    if new.class.is_junk() {
        return Ok(Added::Junk);
    }
    let transaction = ledger.transaction;
    if let Some(hash) = new.hash {
        let sql = "SELECT id, pid FROM member WHERE hash = ?1";
        let same = transaction.prepare_cached(sql)?.query_row([&hash.0[..]], |row| {
            Ok(Added::AlreadyThere { id: MemberId(row.get(0)?), pid: Pid(row.get(1)?) })
        });
        if let Some(there) = same.optional()? {
            return Ok(there);
        }
    }
    let sql = "SELECT id, pid, embedding = ?2 FROM member WHERE key = ?1";
    let named =
        transaction.prepare_cached(sql)?.query_row(params![new.key, encoded.bytes], |row| {
            Ok((MemberId(row.get(0)?), Pid(row.get(1)?), row.get::<_, bool>(2)?))
        });
    match named.optional()? {
        Some((id, pid, true)) => {
            complete_hash(transaction, id, new)?;
            Ok(Added::AlreadyThere { id, pid })
        }
        Some((id, _, false)) if options.on_conflict == OnConflict::Replace => {
            remove(ledger, &Selection::Ids(vec![id]))?;
            Ok(Added::Replaced { id: insert(ledger, new, encoded)? })
        }
        Some(_) => Err(Error::Conflict { key: new.key.clone() }.into()),
        None => Ok(Added::Added { id: insert(ledger, new, encoded)? }),
    }
}

/// A vector that was imported without its image may learn of it later.
fn complete_hash(
    transaction: &Transaction<'_>,
    id: MemberId,
    new: &NewMember,
) -> Result<(), Fault> {
    if let Some(hash) = new.hash {
        let sql = "UPDATE member SET hash = ?2 WHERE id = ?1 AND hash IS NULL";
        transaction.prepare_cached(sql)?.execute(params![id.0, &hash.0[..]])?;
    }
    Ok(())
}

fn insert(ledger: &mut Ledger<'_>, new: &NewMember, encoded: &Encoded) -> Result<MemberId, Fault> {
    let pid = make_class(ledger.transaction, &new.class)?;
    let camid = camid_of(new.camid);
    let attributes = serde_json::to_string(&new.attributes).map_err(|error| {
        Fault::Named(Error::Member { key: new.key.clone(), reason: error.to_string() })
    })?;
    let sql = "INSERT INTO member
               (key, hash, pid, camid, time, weight, quarantined, attributes, embedding)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)";
    let hash = new.hash.as_ref().map(|hash| &hash.0[..]);
    ledger.transaction.prepare_cached(sql)?.execute(params![
        new.key,
        hash,
        pid,
        camid,
        new.time,
        new.weight,
        attributes,
        encoded.bytes
    ])?;
    let id = MemberId(ledger.transaction.last_insert_rowid());
    let about = (new.key.as_str(), new.time);
    let image = Contribution::new(ledger.settings, encoded.vector.clone(), new.weight, about)?;
    ledger.add(PartId { pid, camid }, &image)?;
    Ok(id)
}

/// The class meant, made if there is none yet.
fn make_class(transaction: &Transaction<'_>, class: &ClassRef) -> Result<i64, Fault> {
    if let Some(pid) = find_class(transaction, class)? {
        return Ok(pid.0);
    }
    let free = |pid: i64| -> Result<bool, Fault> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM class WHERE pid = ?1)";
        Ok(transaction.prepare_cached(sql)?.query_row([pid], |row| row.get(0))?)
    };
    let (pid, name) = match class {
        ClassRef::Pid(pid) => (Some(pid.0), None),
        ClassRef::Name(name) => match name.parse() {
            // A whole number is its own name.
            Ok(pid) if pid != Pid::JUNK.0 && free(pid)? => (Some(pid), None),
            _ => (None, Some(name)),
        },
    };
    let sql = "INSERT INTO class (pid, name) VALUES (?1, ?2)";
    transaction.prepare_cached(sql)?.execute(params![pid, name])?;
    Ok(transaction.last_insert_rowid())
}

/// A member as far as its sums are concerned.
struct Placed {
    id: i64,
    part: PartId,
    quarantined: bool,
    image: Contribution,
}

/// Hands the members meant that there are to `change`, each once, one after the other: a class may be
/// larger than memory. Returns for how many it says `true`.
fn each_selected(
    ledger: &mut Ledger<'_>,
    selection: &Selection,
    mut change: impl FnMut(&mut Ledger<'_>, &Placed) -> Result<bool, Fault>,
) -> Result<usize, Fault> {
    let mut ids = Vec::new();
    match selection {
        Selection::Ids(selected) => ids.extend(selected.iter().map(|id| id.0)),
        Selection::Keys(keys) => {
            for key in keys {
                ids.extend(find(ledger, "SELECT id FROM member WHERE key = ?1", key)?);
            }
        }
        Selection::Classes(pids) => {
            for pid in pids {
                ids.extend(find(ledger, "SELECT id FROM member WHERE pid = ?1", &pid.0)?);
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    let mut changed = 0;
    for id in ids {
        if let Some(member) = place(ledger, id)? {
            changed += usize::from(change(ledger, &member)?);
        }
    }
    Ok(changed)
}

fn find(ledger: &Ledger<'_>, sql: &str, value: &dyn rusqlite::ToSql) -> Result<Vec<i64>, Fault> {
    let mut statement = ledger.transaction.prepare_cached(sql)?;
    let ids = statement.query_map([value], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn place(ledger: &Ledger<'_>, id: i64) -> Result<Option<Placed>, Fault> {
    let sql = "SELECT pid, camid, quarantined, key, time, weight, embedding FROM member
               WHERE id = ?1";
    let mut statement = ledger.transaction.prepare_cached(sql)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let key: String = row.get(3)?;
    let embedding = decode_embedding(ledger.settings, row, 6, &key)?;
    let about = (key.as_str(), row.get(4)?);
    Ok(Some(Placed {
        id,
        part: PartId { pid: row.get(0)?, camid: row.get(1)? },
        quarantined: row.get(2)?,
        image: Contribution::new(ledger.settings, embedding, row.get(5)?, about)?,
    }))
}

/// Takes members out.
pub(super) fn remove(ledger: &mut Ledger<'_>, selection: &Selection) -> Result<usize, Fault> {
    each_selected(ledger, selection, |ledger, member| {
        let sql = "DELETE FROM member WHERE id = ?1";
        ledger.transaction.prepare_cached(sql)?.execute([member.id])?;
        ledger.touch(member.part.pid);
        if !member.quarantined {
            ledger.remove(member.part, &member.image)?;
        }
        Ok(true)
    })
}

/// Gives members another identity.
pub(super) fn relabel(
    ledger: &mut Ledger<'_>,
    selection: &Selection,
    class: &ClassRef,
) -> Result<usize, Fault> {
    each_selected(ledger, selection, |ledger, member| {
        let Placed { id, part, quarantined, image } = member;
        let pid = make_class(ledger.transaction, class)?;
        if part.pid == pid {
            return Ok(false);
        }
        let sql = "UPDATE member SET pid = ?2 WHERE id = ?1";
        ledger.transaction.prepare_cached(sql)?.execute([*id, pid])?;
        ledger.touch(part.pid);
        ledger.touch(pid);
        if !quarantined {
            ledger.remove(*part, image)?;
            ledger.add(PartId { pid, ..*part }, image)?;
        }
        Ok(true)
    })
}

/// Sets members aside, or counts them again.
pub(super) fn quarantine(
    ledger: &mut Ledger<'_>,
    selection: &Selection,
    quarantined: bool,
) -> Result<usize, Fault> {
    each_selected(ledger, selection, |ledger, member| {
        if member.quarantined == quarantined {
            return Ok(false);
        }
        let sql = "UPDATE member SET quarantined = ?2 WHERE id = ?1";
        ledger.transaction.prepare_cached(sql)?.execute(params![member.id, quarantined])?;
        if quarantined {
            ledger.remove(member.part, &member.image)?;
        } else {
            ledger.add(member.part, &member.image)?;
        }
        Ok(true)
    })
}
