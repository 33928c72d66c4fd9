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
//!
//! # Sub-centroids
//! A gallery made with [`Settings::sub_centroids`] above 1 gives an identity of several looks several
//! centroids, and its distance is that of the nearest. Which identities, and which image belongs
//! where, follows from the members that count and nothing else. Without a camera each sub-centroid is
//! the mean of its other images; who belongs where stays. With a [`Filter`](crate::Filter) each
//! identity has one centroid, that of its images that pass.

mod cache;
mod exchange;
mod fault;
mod file;
mod ledger;
mod members;
mod read;
mod search;
mod sub_centroids;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use centroids_core::{Embeddings, Pid};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::approximation::Approximation;
use crate::encoded::{encode_all, prepare_queries};
use crate::error::Error;
use crate::gallery::{AddOptions, ClassInfo, Gallery, Known, Selection, Stats, Verification};
use crate::member::{Added, ClassRef, ContentHash, Member, MemberId, NewMember};
use crate::part::Part;
use crate::precision::Precision;
use crate::question::{Answer, SearchOptions};
use crate::scan::RowId;
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
    /// Above so many rows centroids are searched approximately; `None`: never, which is the default
    /// without the feature `usearch`. Candidates then come from a graph in memory, made by the first
    /// such search and kept up to date by the later ones; distances are exact, but a neighbour may be
    /// missed. Searches of images, without a camera, with a filter or for many hits stay exact.
    pub approximate_above: Option<usize>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            rows: Precision::F32,
            busy_timeout: Duration::from_secs(30),
            approximate_above: cfg!(feature = "usearch").then_some(APPROXIMATE_ABOVE),
        }
    }
}

/// Rows up to which exact search takes less than a second on a few cores.
const APPROXIMATE_ABOVE: usize = 1_000_000;

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
    /// [`Error::Open`], [`Error::NoUsearch`]. A file that is refused is not touched.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, Error> {
        if options.approximate_above.is_some() && cfg!(not(feature = "usearch")) {
            return Err(Error::NoUsearch);
        }
        let (connection, settings) = file::open(path, options.busy_timeout)?;
        let cache = Cache::new(&settings, options.rows, options.approximate_above);
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
        if class.is_junk() {
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

    fn centroid(&self, pid: Pid) -> Result<Option<Vec<f64>>, Error> {
        self.read(|transaction, _| {
            let mut whole = Part::empty(self.settings.dim);
            ledger::sum_parts(transaction, RowId::centroid(pid, 0), None, &mut whole)?;
            Ok((whole.members > 0).then(|| whole.mean()))
        })
    }

    fn find_class(&self, class: &ClassRef) -> Result<Option<Pid>, Error> {
        self.read(|transaction, _| read::find_class(transaction, class))
    }

    fn has_names(&self) -> Result<bool, Error> {
        self.read(|transaction, _| read::has_names(transaction))
    }

    fn search(&self, queries: &[&[f32]], options: &SearchOptions) -> Result<Vec<Answer>, Error> {
        options.check(&self.settings)?;
        let prepared = prepare_queries(queries, &self.settings)?;
        self.read(|transaction, cache| {
            search::run(transaction, cache, &self.settings, &prepared, options)
        })
    }

    fn approximation(&self) -> Option<Approximation> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cache.approximation.clone()
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
