//! Rows in memory, and how they follow the file.

use std::collections::{BTreeMap, HashMap, HashSet};

use centroids_core::{CamId, Pid};
use rusqlite::Transaction;

use super::fault::Fault;
use super::ledger::{PartId, decode_embedding, read_parts};
use super::read::revision;
use crate::member::MemberId;
use crate::part::{Part, camera_of, camid_of, direction};
use crate::precision::Precision;
use crate::scan::{NewRow, RowId, Rows};
use crate::settings::Settings;

/// What searches go through, as of one revision of the file. Everything is made when it is first
/// asked for: centroids by nearly every search, images by those for images, centroids without a
/// camera by those that leave out this camera.
pub(super) struct Cache {
    settings: Settings,
    precision: Precision,
    /// The revision the rows are of; `None`: nothing is loaded.
    revision: Option<i64>,
    pub(super) centroids: Rows,
    /// What replaces some of the centroids when a camera is left out.
    without: BTreeMap<CamId, Without>,
    images: Option<Images>,
}

/// Centroids without the images of one camera, of the classes that have some.
pub(super) struct Without {
    pub(super) rows: Rows,
    /// Classes whose whole centroid does not count: those of `rows` and those with no other image.
    pub(super) classes: HashSet<Pid>,
}

/// All images that count.
pub(super) struct Images {
    pub(super) rows: Rows,
    of_class: HashMap<Pid, Vec<RowId>>,
}

impl Cache {
    pub(super) fn new(settings: &Settings, precision: Precision) -> Self {
        Self {
            settings: settings.clone(),
            precision,
            revision: None,
            centroids: Rows::new(settings.dim, settings.metric(), precision),
            without: BTreeMap::new(),
            images: None,
        }
    }

    /// Brings the rows to the state that `transaction` sees.
    pub(super) fn refresh(&mut self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let now = revision(transaction)?;
        if self.revision == Some(now) {
            return Ok(());
        }
        // Nothing is trusted until all is done: an error may come between.
        let before = self.revision.take();
        match before {
            Some(before) if is_remembered(transaction, before)? => {
                for pid in changed_since(transaction, before)? {
                    self.refresh_class(transaction, pid)?;
                }
            }
            _ => {
                *self = Self::new(&self.settings, self.precision);
                self.load_centroids(transaction)?;
            }
        }
        self.revision = Some(now);
        Ok(())
    }

    /// Centroids without the images of a camera.
    pub(super) fn without(
        &mut self,
        transaction: &Transaction<'_>,
        camera: CamId,
    ) -> Result<(), Fault> {
        if self.without.contains_key(&camera) {
            return Ok(());
        }
        let sql = "SELECT pid FROM part WHERE camid = ?1";
        let pids = pids(transaction, sql, camid_of(Some(camera)))?;
        let rows = Rows::new(self.settings.dim, self.settings.metric(), self.precision);
        let mut without = Without { rows, classes: HashSet::new() };
        without.rows.reserve(pids.len());
        for pid in pids {
            without.put(
                &self.settings,
                camera,
                pid,
                &read_parts(transaction, pid.0, self.settings.dim)?,
            );
        }
        self.without.insert(camera, without);
        Ok(())
    }

    /// Those that [`without`](Self::without) made.
    pub(super) fn replaced(&self, camera: CamId) -> Option<&Without> {
        self.without.get(&camera)
    }

    /// All images that count.
    pub(super) fn images(&mut self, transaction: &Transaction<'_>) -> Result<&Images, Fault> {
        let images = match self.images.take() {
            Some(images) => images,
            None => Images::all(transaction, &self.settings, self.precision)?,
        };
        Ok(self.images.insert(images))
    }

    fn load_centroids(&mut self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let count: i64 =
            transaction.query_row("SELECT count(*) FROM centroid", [], |row| row.get(0))?;
        self.centroids.reserve(count as usize);
        let mut statement =
            transaction.prepare_cached("SELECT pid, norm, direction FROM centroid ORDER BY pid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            put_centroid(&mut self.centroids, &self.settings, row)?;
        }
        Ok(())
    }

    fn refresh_class(&mut self, transaction: &Transaction<'_>, pid: Pid) -> Result<(), Fault> {
        let id = RowId { pid, member: None };
        self.centroids.remove(id);
        let sql = "SELECT pid, norm, direction FROM centroid WHERE pid = ?1";
        let mut statement = transaction.prepare_cached(sql)?;
        let mut rows = statement.query([pid.0])?;
        if let Some(row) = rows.next()? {
            put_centroid(&mut self.centroids, &self.settings, row)?;
        }
        if !self.without.is_empty() {
            let parts = read_parts(transaction, pid.0, self.settings.dim)?;
            for (&camera, without) in &mut self.without {
                without.rows.remove(id);
                without.classes.remove(&pid);
                if parts.iter().any(|(id, _)| id.camid == camid_of(Some(camera))) {
                    without.put(&self.settings, camera, pid, &parts);
                }
            }
        }
        if let Some(images) = &mut self.images {
            for id in images.of_class.remove(&pid).unwrap_or_default() {
                images.rows.remove(id);
            }
            images.load(transaction, &self.settings, Some(pid))?;
        }
        Ok(())
    }
}

impl Without {
    /// A class that has images of the camera.
    fn put(&mut self, settings: &Settings, camera: CamId, pid: Pid, parts: &[(PartId, Part)]) {
        self.classes.insert(pid);
        if let Some(mean) = mean_without(settings.dim, parts, Some(camera)) {
            let (direction, norm) = direction(&mean);
            let id = RowId { pid, member: None };
            self.rows.put(&NewRow { id, camera: None, direction: &direction, norm });
        }
    }
}

impl Images {
    fn all(
        transaction: &Transaction<'_>,
        settings: &Settings,
        precision: Precision,
    ) -> Result<Self, Fault> {
        let rows = Rows::new(settings.dim, settings.metric(), precision);
        let mut images = Self { rows, of_class: HashMap::new() };
        let sql = "SELECT count(*) FROM member WHERE quarantined = 0";
        let count: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
        images.rows.reserve(count as usize);
        images.load(transaction, settings, None)?;
        Ok(images)
    }

    /// The images of a class, or of all.
    fn load(
        &mut self,
        transaction: &Transaction<'_>,
        settings: &Settings,
        of: Option<Pid>,
    ) -> Result<(), Fault> {
        let which = if of.is_some() { "pid = ?1" } else { "?1 IS NULL" };
        let sql = format!(
            "SELECT id, pid, camid, key, embedding FROM member WHERE quarantined = 0 AND {which}"
        );
        let mut statement = transaction.prepare_cached(&sql)?;
        let mut rows = statement.query([of.map(|pid| pid.0)])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?.to_owned();
            let vector = decode_embedding(settings, row, 4, &key)?;
            let vector: Vec<f64> = vector.into_iter().map(f64::from).collect();
            let (direction, norm) = direction(&vector);
            let pid = Pid(row.get(1)?);
            let id = RowId { pid, member: Some(MemberId(row.get(0)?)) };
            let camera = camera_of(row.get(2)?).map(|camera| camera.0);
            self.rows.put(&NewRow { id, camera, direction: &direction, norm });
            self.of_class.entry(pid).or_default().push(id);
        }
        Ok(())
    }
}

/// The mean of a class's images that are not from a camera; `None` if there is none.
pub(super) fn mean_without(
    dim: usize,
    parts: &[(PartId, Part)],
    camera: Option<CamId>,
) -> Option<Vec<f64>> {
    let mut rest = Part::empty(dim);
    for (id, part) in parts {
        if camera.is_none() || camera_of(id.camid) != camera {
            rest.absorb(part);
        }
    }
    (rest.members > 0).then(|| rest.mean())
}

fn put_centroid(
    rows: &mut Rows,
    settings: &Settings,
    row: &rusqlite::Row<'_>,
) -> Result<(), Fault> {
    let pid = Pid(row.get(0)?);
    let bytes = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
    let direction = Precision::F32.decode(bytes, settings.dim);
    let direction =
        direction.ok_or_else(|| Fault::Damaged(format!("the centroid of pid {pid}")))?;
    let id = RowId { pid, member: None };
    rows.put(&NewRow { id, camera: None, direction: &direction, norm: row.get(1)? });
    Ok(())
}

/// Whether all changes after `revision` are still known.
fn is_remembered(transaction: &Transaction<'_>, revision: i64) -> Result<bool, Fault> {
    let sql = "SELECT coalesce(min(revision), 0) FROM change";
    let first: i64 = transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(first <= revision + 1)
}

fn changed_since(transaction: &Transaction<'_>, revision: i64) -> Result<Vec<Pid>, Fault> {
    pids(transaction, "SELECT DISTINCT pid FROM change WHERE revision > ?1", revision)
}

fn pids(transaction: &Transaction<'_>, sql: &str, value: i64) -> Result<Vec<Pid>, Fault> {
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map([value], |row| row.get(0).map(Pid))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
