//! The engine for galleries that one machine is too small for: a Milvus server or cluster.
//!
//! `milvus://host:port/name` is three collections: `name_members` has a row per image, `name_centroids`
//! the centroid of every identity and, per camera of an identity, the one without this camera's
//! images, so that camera-safe search is one search with a filter; `name_classes` has the identities,
//! their names and counts, and the settings in its description.
//!
//! # What a server cannot promise
//! A row is written entirely or not at all, but no two rows are together. So a change is broken off
//! half-done where the connection, the server or this process ends in the middle, and readers may see
//! members whose centroid has not followed yet. Three things make up for it:
//!
//! * Rows are written under keys that follow from what they are, and sums are made anew from the
//!   members: repeating a call completes it, and does nothing twice.
//! * Before members change, their classes are marked `stale`; the mark goes when their centroids have
//!   followed. The next change of any kind, and [`verify`](crate::Gallery::verify), take up what is
//!   marked.
//! * `verify` compares all centroids with their members and with `repair` makes them anew.
//!
//! Where [`add`](crate::Gallery::add) refuses a batch, nothing of it is written, as in a file.
//!
//! # Writers
//! Any number of processes read; one should write at a time. Two that change the same class at once
//! lose no member, but may leave a centroid without the other's last images until the class changes
//! again or is repaired.
//!
//! # Reading what was written
//! A change reads the server as it is now. Lookups and searches do as `?consistency=` says: `strong`
//! (the default) sees all that was written before and waits up to a time tick of the server for it
//! (0.2 s and more), `bounded` may be some seconds behind, `eventually` takes what is there.
//!
//! # Exactness
//! The server finds candidates in single precision; distances are computed from the `f64` sums here,
//! and more candidates are fetched until no other row can belong to the hits. Hits beyond 16,384, and
//! filters by attribute, read all members.
//!
//! # Differences from a file
//! A member's number is a hash of its key, so equally distant images of an identity come in another
//! order, and a key that returns has its number again. An image whose embedding is zero has no
//! direction and is refused where images are compared by angle. An embedding has at most 6,143
//! dimensions, and an identity images of at most 4,096 cameras.

mod address;
mod change;
mod members;
mod rows;
mod search;
mod server;
mod shelf;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use centroids_core::Pid;

use crate::encoded::prepare_queries;
use crate::error::Error;
use crate::gallery::{AddOptions, ClassInfo, Gallery, Known, Selection, Stats, Verification};
use crate::member::{Added, ClassRef, ContentHash, Member, MemberId, NewMember};
use crate::part::camera_of;
use crate::question::{Answer, SearchOptions};
use crate::settings::Settings;
use address::Address;
use rows::{COUNTER, ClassRow, MemberRow, named};
use shelf::{LISTED, Shelf, one_of, one_of_texts, quoted};

/// A gallery on a Milvus server.
///
/// Calls block: from asynchronous code use a thread that may wait.
pub struct MilvusGallery {
    shelf: Shelf,
}

impl MilvusGallery {
    /// Makes an empty gallery at `milvus://host:port/name` and opens it. What a creation that was
    /// broken off has left is replaced.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Unreachable`], [`Error::Exists`], [`Error::NotAGallery`] where
    /// collections of these names are another program's, [`Error::Setting`].
    pub fn create(address: &str, settings: &Settings) -> Result<Self, Error> {
        if settings.sub_centroids != 1 {
            let reason = "a gallery on a Milvus server keeps one centroid per identity".to_owned();
            return Err(Error::Setting { key: "sub_centroids", reason });
        }
        Ok(Self { shelf: Shelf::create(Address::parse(address)?, settings)? })
    }

    /// Opens a gallery.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Unreachable`], [`Error::Missing`], [`Error::NotAGallery`],
    /// [`Error::Newer`].
    pub fn open(address: &str) -> Result<Self, Error> {
        Ok(Self { shelf: Shelf::open(Address::parse(address)?)? })
    }

    /// Takes the gallery off the server, with all that is in it.
    ///
    /// # Errors
    /// Of the server; repeat it then.
    pub fn erase(self) -> Result<(), Error> {
        self.shelf.erase()
    }
}

impl Gallery for MilvusGallery {
    fn settings(&self) -> &Settings {
        &self.shelf.settings
    }

    fn location(&self) -> String {
        self.shelf.server.address.text.clone()
    }

    fn add(&self, new: &[NewMember], options: AddOptions) -> Result<Vec<Added>, Error> {
        members::add(&self.shelf, new, options)
    }

    fn known(&self, hashes: &[ContentHash]) -> Result<Vec<Option<Known>>, Error> {
        let texts: Vec<String> = hashes.iter().map(ContentHash::to_string).collect();
        let mut known = BTreeMap::new();
        for texts in texts.chunks(LISTED) {
            let filter = one_of_texts("hash", texts.iter().map(String::as_str));
            for MemberRow { hash, id, pid, .. } in self.shelf.now(&filter)? {
                known.insert(hash, Known { id: MemberId(id), pid: Pid(pid) });
            }
        }
        Ok(texts.iter().map(|hash| known.get(hash).copied()).collect())
    }

    fn remove(&self, selection: &Selection) -> Result<usize, Error> {
        members::remove(&self.shelf, selection)
    }

    fn relabel(&self, selection: &Selection, class: &ClassRef) -> Result<usize, Error> {
        if class.is_junk() {
            return Err(Error::JunkClass);
        }
        members::relabel(&self.shelf, selection, class)
    }

    fn quarantine(&self, selection: &Selection, quarantined: bool) -> Result<usize, Error> {
        members::quarantine(&self.shelf, selection, quarantined)
    }

    fn classes(&self, after: Option<Pid>, limit: usize) -> Result<Vec<ClassInfo>, Error> {
        let after = after.map_or(COUNTER, |pid| pid.0.max(COUNTER));
        let rows: Vec<ClassRow> = self.shelf.some(&format!("pid > {after}"), limit)?;
        let info = |row: ClassRow| ClassInfo {
            pid: Pid(row.pid),
            name: row.name(),
            members: row.members as usize,
            quarantined: row.quarantined as usize,
            cameras: row.cameras.iter().filter(|&&camera| camera >= 0).count(),
        };
        Ok(rows.into_iter().map(info).collect())
    }

    fn members(
        &self,
        of: Option<Pid>,
        after: Option<MemberId>,
        limit: usize,
    ) -> Result<Vec<Member>, Error> {
        let of = of.map(|pid| format!("pid == {}", pid.0));
        let after = after.map(|id| format!("id > {}", id.0));
        let filter: Vec<String> = of.into_iter().chain(after).collect();
        let rows: Vec<MemberRow> = self.shelf.some(&filter.join(" and "), limit)?;
        let pids: BTreeSet<i64> = rows.iter().map(|row| row.pid).collect();
        let names = search::names(&self.shelf, &pids)?;
        rows.into_iter().map(|row| self.member(row, &names)).collect()
    }

    fn find_class(&self, class: &ClassRef) -> Result<Option<Pid>, Error> {
        let filter = match class {
            ClassRef::Pid(pid) => one_of("pid", [pid.0]),
            ClassRef::Name(name) => match name.parse() {
                Ok(pid) => format!("name == {} or {}", quoted(name), one_of("pid", [pid])),
                Err(_) => format!("name == {}", quoted(name)),
            },
        };
        let rows: Vec<ClassRow> = self.shelf.some(&filter, usize::MAX)?;
        Ok(change::find(rows.iter().filter(|row| row.pid != COUNTER), class))
    }

    fn has_names(&self) -> Result<bool, Error> {
        let named: Vec<ClassRow> = self.shelf.some("name != \"\"", 1)?;
        Ok(!named.is_empty())
    }

    fn search(&self, queries: &[&[f32]], options: &SearchOptions) -> Result<Vec<Answer>, Error> {
        options.check(&self.shelf.settings)?;
        let prepared = prepare_queries(queries, &self.shelf.settings)?;
        search::run(&self.shelf, &prepared, options)
    }

    fn stats(&self) -> Result<Stats, Error> {
        let mut rows: Vec<ClassRow> = self.shelf.some("", usize::MAX)?;
        let counter = rows.iter().find(|row| row.pid == COUNTER);
        let revision = counter.map_or(0, |counter| counter.revision);
        rows.retain(|row| row.pid != COUNTER);
        let cameras: BTreeSet<i64> =
            rows.iter().flat_map(|row| row.cameras.iter().copied()).collect();
        let total = |count: fn(&ClassRow) -> i64| rows.iter().map(count).sum::<i64>() as usize;
        Ok(Stats {
            classes: rows.len(),
            members: total(|row| row.members),
            quarantined: total(|row| row.quarantined),
            cameras: cameras.iter().filter(|&&camera| camera >= 0).count(),
            parts: total(|row| row.cameras.len() as i64),
            bytes: None,
            revision,
        })
    }

    fn verify(&self, repair: bool) -> Result<Verification, Error> {
        let found = verify::run(&self.shelf)?;
        if !repair || found.result.sound() {
            return Ok(found.result);
        }
        let repaired = verify::repair(&self.shelf, &found)?;
        Ok(Verification { repaired, ..verify::run(&self.shelf)?.result })
    }
}

impl MilvusGallery {
    fn member(&self, row: MemberRow, names: &BTreeMap<i64, String>) -> Result<Member, Error> {
        let hash = named(&row.hash).map(|hash| {
            let damaged = || self.shelf.server.malformed(&format!("the hash of {}", row.key));
            ContentHash::parse(&hash).ok_or_else(damaged)
        });
        Ok(Member {
            id: MemberId(row.id),
            hash: hash.transpose()?,
            pid: Pid(row.pid),
            name: names.get(&row.pid).cloned(),
            camid: camera_of(row.camid),
            time: row.time,
            weight: row.weight,
            quarantined: row.quarantined,
            attributes: row.attributes,
            embedding: row.vector,
            key: row.key,
        })
    }
}
