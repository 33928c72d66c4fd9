//! Members come, go, move and are set aside.

use std::collections::{BTreeSet, HashMap};

use centroids_core::Pid;
use milvus::v2::prelude::ConsistencyLevel;
use sha2::{Digest as _, Sha256};

use super::change::Change;
use super::rows::{MAX_TEXT, MemberRow};
use super::shelf::{LISTED, Shelf, one_of, one_of_texts};
use crate::encoded::{Encoded, encode_all};
use crate::error::Error;
use crate::gallery::{AddOptions, OnConflict, Selection};
use crate::member::{Added, ClassRef, MemberId, NewMember};
use crate::part::camid_of;

/// A member's number: the first 63 bits of its key's SHA-256.
pub(super) fn id_of(key: &str) -> i64 {
    let digest = Sha256::digest(key.as_bytes());
    let first = digest.first_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(first) >> 1) as i64
}

/// Adds members, or finds them there.
pub(super) fn add(
    shelf: &Shelf,
    new: &[NewMember],
    options: AddOptions,
) -> Result<Vec<Added>, Error> {
    let vectors = encode_all(new, &shelf.settings)?;
    new.iter().zip(&vectors).try_for_each(|(new, vector)| check(shelf, new, vector))?;
    let mut change = Change::begin(shelf)?;
    change.look_up(new.iter().map(|new| &new.class))?;
    let mut batch = Batch::find(shelf, new)?;
    let each = new.iter().zip(&vectors);
    let added: Vec<Added> = each
        .map(|(new, vector)| batch.add(&mut change, new, vector, options))
        .collect::<Result<_, _>>()?;
    change.announce(batch.touched.iter().copied())?;
    let written: Vec<MemberRow> =
        batch.written.iter().filter_map(|id| batch.members.get(id).cloned()).collect();
    shelf.put(&written)?;
    change.close()?;
    Ok(added)
}

/// What the server cannot keep or compare.
fn check(shelf: &Shelf, new: &NewMember, encoded: &Encoded) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Member { key: new.key.clone(), reason });
    let row = row_of(new, encoded, 0);
    let name = match &new.class {
        ClassRef::Name(name) => name.len(),
        ClassRef::Pid(_) => 0,
    };
    for (what, length) in
        [("key", new.key.len()), ("attributes", row.about().len()), ("name", name)]
    {
        if length > MAX_TEXT {
            return refuse(format!("its {what} has {length} bytes, Milvus keeps {MAX_TEXT}"));
        }
    }
    let squares = encoded.vector.iter().map(|&value| f64::from(value).powi(2));
    let length = squares.sum::<f64>().sqrt();
    let least = if shelf.by_angle() { 1.0 / LONGEST } else { 0.0 };
    if length > LONGEST || length < least {
        return refuse(format!(
            "its embedding has length {length:e}, of which Milvus cannot compute distances"
        ));
    }
    Ok(())
}

/// The square of a longer vector, or of a shorter one's inverse, is beyond single precision.
const LONGEST: f64 = 1e15;

fn row_of(new: &NewMember, encoded: &Encoded, pid: i64) -> MemberRow {
    MemberRow {
        id: id_of(&new.key),
        key: new.key.clone(),
        hash: new.hash.map_or(String::new(), |hash| hash.to_string()),
        pid,
        camid: camid_of(new.camid),
        weight: new.weight,
        quarantined: false,
        time: new.time,
        attributes: new.attributes.clone(),
        vector: encoded.vector.clone(),
    }
}

/// Members that a batch meets, as they will be when it is written.
struct Batch {
    members: HashMap<i64, MemberRow>,
    by_hash: HashMap<String, i64>,
    written: BTreeSet<i64>,
    touched: BTreeSet<i64>,
}

impl Batch {
    /// Those that have the keys or the images of new ones.
    fn find(shelf: &Shelf, new: &[NewMember]) -> Result<Self, Error> {
        let mut members = HashMap::new();
        for new in new.chunks(LISTED) {
            let ids = one_of("id", new.iter().map(|new| id_of(&new.key)));
            let hashes: Vec<String> =
                new.iter().filter_map(|new| new.hash).map(|hash| hash.to_string()).collect();
            let hashes = one_of_texts("hash", hashes.iter().map(String::as_str));
            for member in shelf.now::<MemberRow>(&format!("{ids} or {hashes}"))? {
                members.insert(member.id, member);
            }
        }
        let hashed = members.values().filter(|member| !member.hash.is_empty());
        let by_hash = hashed.map(|member| (member.hash.clone(), member.id)).collect();
        Ok(Self { members, by_hash, written: BTreeSet::new(), touched: BTreeSet::new() })
    }

    fn add(
        &mut self,
        change: &mut Change<'_>,
        new: &NewMember,
        encoded: &Encoded,
        options: AddOptions,
    ) -> Result<Added, Error> {
        if new.class.is_junk() {
            return Ok(Added::Junk);
        }
        let there = |member: &MemberRow| Added::AlreadyThere {
            id: MemberId(member.id),
            pid: Pid(member.pid),
        };
        let hash = new.hash.map_or(String::new(), |hash| hash.to_string());
        if let Some(member) = self.by_hash.get(&hash).and_then(|id| self.members.get(id)) {
            return Ok(there(member));
        }
        let id = id_of(&new.key);
        let outcome = match self.members.get_mut(&id) {
            None => Added::Added { id: MemberId(id) },
            Some(other) if other.key != new.key => {
                let reason = format!("has the number of {}: give it another key", other.key);
                return Err(Error::Member { key: new.key.clone(), reason });
            }
            Some(member) if member.vector == encoded.vector => {
                if member.hash.is_empty() && !hash.is_empty() {
                    // A vector that was imported without its image may learn of it later.
                    member.hash.clone_from(&hash);
                    self.by_hash.insert(hash, id);
                    self.written.insert(id);
                }
                return Ok(there(member));
            }
            Some(_) if options.on_conflict == OnConflict::Refuse => {
                return Err(Error::Conflict { key: new.key.clone() });
            }
            Some(old) => {
                self.touched.insert(old.pid);
                self.by_hash.remove(&old.hash);
                Added::Replaced { id: MemberId(id) }
            }
        };
        let pid = change.class(&new.class)?;
        self.touched.insert(pid);
        self.written.insert(id);
        if !hash.is_empty() {
            self.by_hash.insert(hash, id);
        }
        self.members.insert(id, row_of(new, encoded, pid));
        Ok(outcome)
    }
}

/// Hands the members meant that there are to `work`, page by page.
fn each_selected(
    shelf: &Shelf,
    selection: &Selection,
    mut work: impl FnMut(Vec<MemberRow>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (column, mut values): (&str, Vec<i64>) = match selection {
        Selection::Ids(ids) => ("id", ids.iter().map(|id| id.0).collect()),
        Selection::Keys(keys) => ("id", keys.iter().map(|key| id_of(key)).collect()),
        Selection::Classes(pids) => ("pid", pids.iter().map(|pid| pid.0).collect()),
    };
    values.sort_unstable();
    values.dedup();
    for values in values.chunks(LISTED) {
        let filter = one_of(column, values.iter().copied());
        shelf.each_page(&filter, ConsistencyLevel::Strong, usize::MAX, &mut work)?;
    }
    Ok(())
}

/// Takes members out.
pub(super) fn remove(shelf: &Shelf, selection: &Selection) -> Result<usize, Error> {
    let mut change = Change::begin(shelf)?;
    let mut removed = 0;
    each_selected(shelf, selection, |page| {
        change.announce(page.iter().map(|member| member.pid))?;
        let ids: Vec<String> = page.iter().map(|member| member.id.to_string()).collect();
        removed += ids.len();
        shelf.take::<MemberRow>("id", &ids)
    })?;
    change.close()?;
    Ok(removed)
}

/// Gives members another identity.
pub(super) fn relabel(
    shelf: &Shelf,
    selection: &Selection,
    class: &ClassRef,
) -> Result<usize, Error> {
    let mut change = Change::begin(shelf)?;
    change.look_up([class])?;
    let mut moved = 0;
    each_selected(shelf, selection, |page| {
        if page.is_empty() {
            return Ok(());
        }
        let pid = change.class(class)?;
        let mut page: Vec<MemberRow> = page.into_iter().filter(|row| row.pid != pid).collect();
        change.announce(page.iter().map(|member| member.pid).chain([pid]))?;
        page.iter_mut().for_each(|member| member.pid = pid);
        moved += page.len();
        shelf.put(&page)
    })?;
    change.close()?;
    Ok(moved)
}

/// Sets members aside, or counts them again.
pub(super) fn quarantine(
    shelf: &Shelf,
    selection: &Selection,
    quarantined: bool,
) -> Result<usize, Error> {
    let mut change = Change::begin(shelf)?;
    let mut changed = 0;
    each_selected(shelf, selection, |page| {
        let mut page: Vec<MemberRow> =
            page.into_iter().filter(|member| member.quarantined != quarantined).collect();
        change.announce(page.iter().map(|member| member.pid))?;
        page.iter_mut().for_each(|member| member.quarantined = quarantined);
        changed += page.len();
        shelf.put(&page)
    })?;
    change.close()?;
    Ok(changed)
}
