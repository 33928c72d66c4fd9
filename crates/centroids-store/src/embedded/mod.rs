//! The engine for one machine: one SQLite file, search in memory.
//!
//! # Durability
//! The file is in WAL mode with `synchronous = FULL`: the log is flushed to the disk before a call
//! returns, so what was acknowledged survives a crash of the process, of the system and a loss of
//! power; `NORMAL` would flush later and lose the last commits with the power. Each call is one
//! transaction.
//!
//! # Processes
//! Any number of processes read while one writes. A second writer waits its turn
//! ([`OpenOptions::busy_timeout`]). Each handle keeps its rows in memory and refreshes those of the
//! classes that changed before it searches; a search sees one state of the file from its beginning to
//! its end. Searches of one handle take turns: each uses all threads already.

mod cache;
mod exchange;
mod fault;
mod file;
mod ledger;
mod members;
mod read;
mod search;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use centroids_core::{Embeddings, Pid};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::encoded::{encode_all, prepare_queries};
use crate::error::Error;
use crate::gallery::{AddOptions, ClassInfo, Gallery, Known, Selection, Stats, Verification};
use crate::member::{Added, ClassRef, ContentHash, Member, MemberId, NewMember};
use crate::precision::Precision;
use crate::question::{Answer, SearchOptions};
use crate::settings::Settings;
use cache::Cache;
use fault::Fault;
use ledger::Ledger;

/// A gallery in one file, by convention `*.gallery`.
///
/// Beside it, while it is open, lie `<file>-wal` and `<file>-shm`; the last to close it folds them
/// into the file.
pub struct EmbeddedGallery {
    path: PathBuf,
    settings: Settings,
    busy_timeout: Duration,
    state: Mutex<State>,
}

/// How a gallery is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Width of the numbers in memory. Sixteen bits halve memory and time; the order and the
    /// distances of what is found stay exact.
    pub rows: Precision,
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { rows: Precision::F32, busy_timeout: Duration::from_secs(30) }
    }
}

struct State {
    connection: Connection,
    cache: Cache,
}

impl EmbeddedGallery {
    /// Makes an empty gallery and opens it. The file appears complete or not at all.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Setting`], [`Error::Open`].
    pub fn create(path: &Path, settings: &Settings) -> Result<Self, Error> {
        file::create(path, settings)?;
        Self::open(path, OpenOptions::default())
    }

    /// Opens a gallery.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::NotAGallery`], [`Error::Newer`], [`Error::Damaged`],
    /// [`Error::Open`]. A file that is refused is not touched.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, Error> {
        let (connection, settings) = file::open(path, options.busy_timeout)?;
        let cache = Cache::new(&settings, options.rows);
        Ok(Self {
            path: path.to_owned(),
            settings,
            busy_timeout: options.busy_timeout,
            state: Mutex::new(State { connection, cache }),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One state of the file, and the rows kept of it.
    fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>, &mut Cache) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        self.with(|State { connection, cache }| work(&connection.transaction()?, cache))
    }

    /// All of `work`, or nothing of it.
    fn write<T>(&self, work: impl FnOnce(&mut Ledger<'_>) -> Result<T, Fault>) -> Result<T, Error> {
        self.with(|State { connection, .. }| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut ledger = Ledger::new(&transaction, &self.settings);
            let done = work(&mut ledger)?;
            ledger.close()?;
            transaction.commit()?;
            Ok(done)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Fault>) -> Result<T, Error> {
        // A panic leaves nothing half-done in the file, and rows are refreshed before use.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state).map_err(|fault| fault.at(&self.path, self.busy_timeout))
    }
}

impl Gallery for EmbeddedGallery {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn add(&self, new: &[NewMember], options: AddOptions) -> Result<Vec<Added>, Error> {
        let vectors = encode_all(new, &self.settings)?;
        self.write(|ledger| {
            let each = new.iter().zip(&vectors);
            each.map(|(member, vector)| members::add(ledger, member, vector, options)).collect()
        })
    }

    fn known(&self, hashes: &[ContentHash]) -> Result<Vec<Option<Known>>, Error> {
        self.read(|transaction, _| read::known(transaction, hashes))
    }

    fn remove(&self, selection: &Selection) -> Result<usize, Error> {
        self.write(|ledger| members::remove(ledger, selection))
    }

    fn relabel(&self, selection: &Selection, class: &ClassRef) -> Result<usize, Error> {
        if *class == ClassRef::Pid(Pid::JUNK) {
            return Err(Error::JunkClass);
        }
        self.write(|ledger| members::relabel(ledger, selection, class))
    }

    fn quarantine(&self, selection: &Selection, quarantined: bool) -> Result<usize, Error> {
        self.write(|ledger| members::quarantine(ledger, selection, quarantined))
    }

    fn classes(&self, after: Option<Pid>, limit: usize) -> Result<Vec<ClassInfo>, Error> {
        self.read(|transaction, _| read::classes(transaction, after, limit))
    }

    fn members(
        &self,
        of: Option<Pid>,
        after: Option<MemberId>,
        limit: usize,
    ) -> Result<Vec<Member>, Error> {
        self.read(|transaction, _| read::members(transaction, &self.settings, of, (after, limit)))
    }

    fn find_class(&self, class: &ClassRef) -> Result<Option<Pid>, Error> {
        self.read(|transaction, _| read::find_class(transaction, class))
    }

    fn has_names(&self) -> Result<bool, Error> {
        self.read(|transaction, _| read::has_names(transaction))
    }

    fn search(&self, queries: &[&[f32]], options: &SearchOptions) -> Result<Vec<Answer>, Error> {
        let prepared = prepare_queries(queries, &self.settings)?;
        self.read(|transaction, cache| {
            search::run(transaction, cache, &self.settings, &prepared, options)
        })
    }

    fn stats(&self) -> Result<Stats, Error> {
        self.read(|transaction, _| read::stats(transaction, &self.path))
    }

    fn verify(&self, repair: bool) -> Result<Verification, Error> {
        let found = self.read(|transaction, _| verify::run(transaction, &self.settings))?;
        if !repair || found.result.sound() {
            return Ok(found.result);
        }
        let repaired = self.write(|ledger| verify::repair(ledger, &found))?;
        let again = self.read(|transaction, _| verify::run(transaction, &self.settings))?;
        Ok(Verification { repaired, ..again.result })
    }
    /// Puts the rows of all centroids into memory.
    fn warm(&self) -> Result<(), Error> {
        self.read(|transaction, cache| cache.refresh(transaction))
    }

    /// Also forgets old changes. Needs as much room as the file.
    fn compact(&self) -> Result<(), Error> {
        self.with(|state| {
            let sql = "DELETE FROM change WHERE revision < (SELECT max(revision) FROM change);
                       VACUUM;
                       PRAGMA wal_checkpoint(TRUNCATE);";
            Ok(state.connection.execute_batch(sql)?)
        })
    }

    fn to_embeddings(&self) -> Result<Embeddings, Error> {
        self.embeddings()
    }
}
