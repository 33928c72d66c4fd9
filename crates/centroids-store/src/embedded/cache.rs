//! Rows in memory, and how they follow the file.

use std::collections::{BTreeMap, HashMap, HashSet};

use centroids_core::{CamId, Pid};
use rusqlite::{Transaction, params_from_iter};

use super::fault::Fault;
use super::ledger::{PartId, decode_embedding};
use super::read::revision;
use crate::approximation::Approximation;
use crate::graph::Graph;
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
    approximate_above: Option<usize>,
    /// The revision the rows are of; `None`: nothing is loaded.
    revision: Option<i64>,
    pub(super) centroids: Rows,
    /// What replaces some of the centroids when a camera is left out.
    without: BTreeMap<CamId, Without>,
    images: Option<Images>,
    /// Leads to centroids without going through all.
    graph: Option<Graph>,
    /// How good the graph was that the last search went through, if it did.
    pub(super) approximation: Option<Approximation>,
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
    pub(super) fn new(
        settings: &Settings,
        precision: Precision,
        approximate_above: Option<usize>,
    ) -> Self {
        Self {
            settings: settings.clone(),
            precision,
            approximate_above,
            revision: None,
            centroids: Rows::new(settings.dim, settings.metric(), precision),
            without: BTreeMap::new(),
            images: None,
            graph: None,
            approximation: None,
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
                *self = Self::new(&self.settings, self.precision, self.approximate_above);
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
        let without = Without::all(transaction, &self.settings, (camera, self.precision))?;
        self.without.insert(camera, without);
        Ok(())
    }

    /// The graph of all centroids, where one is wanted for so many hits.
    pub(super) fn graph(&mut self, k: usize) -> Result<Option<&Graph>, Fault> {
        let rows = &self.centroids;
        let wanted = self.approximate_above.is_some_and(|most| rows.len() > most);
        if !wanted || !Graph::suits(k, rows) {
            return Ok(None);
        }
        if self.graph.as_ref().is_none_or(Graph::is_old) {
            self.graph = Some(Graph::build(rows)?);
        }
        Ok(self.graph.as_ref())
    }

    /// Whether an identity may have several rows.
    pub(super) fn has_sub_centroids(&self) -> bool {
        self.settings.sub_centroids > 1
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
        let sql = searched(&self.settings, "centroid", "norm, direction", "TRUE");
        let mut statement = transaction.prepare_cached(&format!("{sql} ORDER BY pid, sub"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            put_centroid(&mut self.centroids, &self.settings, row)?;
        }
        Ok(())
    }

    fn refresh_class(&mut self, transaction: &Transaction<'_>, pid: Pid) -> Result<(), Fault> {
        let settings = &self.settings;
        remove_centroids(&mut self.centroids, settings, pid);
        let sql = searched(settings, "centroid", "norm, direction", "pid = ?1");
        let mut statement = transaction.prepare_cached(&sql)?;
        let mut rows = statement.query([pid.0])?;
        while let Some(row) = rows.next()? {
            put_centroid(&mut self.centroids, settings, row)?;
        }
        if let Some(graph) = &mut self.graph {
            for id in centroids_of(settings, pid) {
                match self.centroids.place(id) {
                    Some(row) => graph.put(id, &self.centroids.vector(row))?,
                    None => graph.remove(id)?,
                }
            }
        }
        for (&camera, without) in &mut self.without {
            without.refresh_class(transaction, settings, (pid, camera))?;
        }
        if let Some(images) = &mut self.images {
            for id in images.of_class.remove(&pid).unwrap_or_default() {
                images.rows.remove(id);
            }
            images.load(transaction, settings, Some(pid))?;
        }
        Ok(())
    }
}

impl Without {
    fn all(
        transaction: &Transaction<'_>,
        settings: &Settings,
        (camera, precision): (CamId, Precision),
    ) -> Result<Self, Fault> {
        let pids = pids(transaction, "SELECT pid FROM part WHERE camid = ?1", camera.0.into())?;
        let rows = Rows::new(settings.dim, settings.metric(), precision);
        let mut without = Self { rows, classes: pids.iter().copied().collect() };
        without.rows.reserve(pids.len());
        let condition = "camid <> ?1 AND pid IN (SELECT pid FROM part WHERE camid = ?1)";
        without.load(transaction, settings, (condition, &[camera.0.into()]))?;
        Ok(without)
    }

    /// The parts that meet a condition, summed up by centroid.
    fn load(
        &mut self,
        transaction: &Transaction<'_>,
        settings: &Settings,
        (condition, values): (&str, &[i64]),
    ) -> Result<(), Fault> {
        let sql = searched(settings, "part", "camid, members, weight, sum", condition);
        // Without `sub` the index has the order already.
        let order = if settings.sub_centroids > 1 { "pid, sub, camid" } else { "pid, camid" };
        let sql = format!("{sql} ORDER BY {order}");
        let mut statement = transaction.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut of, mut sum) = (None, Part::empty(settings.dim));
        while let Some(row) = rows.next()? {
            let id = RowId::centroid(Pid(row.get(0)?), row.get(1)?);
            if of.is_some_and(|of| of != id) {
                self.put(of, &mut sum);
            }
            of = Some(id);
            sum.absorb_row(row, 3, PartId { pid: id.pid.0, camid: row.get(2)? })?;
        }
        self.put(of, &mut sum);
        Ok(())
    }

    /// Puts in what was summed up, if anything was, and empties it.
    fn put(&mut self, id: Option<RowId>, sum: &mut Part) {
        if let Some(id) = id {
            let (direction, norm) = direction(&sum.mean());
            self.rows.put(&NewRow { id, camera: None, direction: &direction, norm });
            sum.clear();
        }
    }

    fn refresh_class(
        &mut self,
        transaction: &Transaction<'_>,
        settings: &Settings,
        (pid, camera): (Pid, CamId),
    ) -> Result<(), Fault> {
        remove_centroids(&mut self.rows, settings, pid);
        self.classes.remove(&pid);
        let camera = camid_of(Some(camera));
        let sql = "SELECT EXISTS (SELECT 1 FROM part WHERE pid = ?1 AND camid = ?2)";
        let is_in =
            transaction.prepare_cached(sql)?.query_row([pid.0, camera], |row| row.get(0))?;
        if is_in {
            self.classes.insert(pid);
            self.load(transaction, settings, ("camid <> ?1 AND pid = ?2", &[camera, pid.0]))?;
        }
        Ok(())
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
            let id = RowId::image(pid, MemberId(row.get(0)?));
            let camera = camera_of(row.get(2)?).map(|camera| camera.0);
            self.rows.put(&NewRow { id, camera, direction: &direction, norm });
            self.of_class.entry(pid).or_default().push(id);
        }
        Ok(())
    }
}

fn put_centroid(
    rows: &mut Rows,
    settings: &Settings,
    row: &rusqlite::Row<'_>,
) -> Result<(), Fault> {
    let pid = Pid(row.get(0)?);
    let bytes = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
    let direction = Precision::F32.decode(bytes, settings.dim);
    let direction =
        direction.ok_or_else(|| Fault::Damaged(format!("the centroid of pid {pid}")))?;
    let id = RowId::centroid(pid, row.get(1)?);
    rows.put(&NewRow { id, camera: None, direction: &direction, norm: row.get(2)? });
    Ok(())
}

fn remove_centroids(rows: &mut Rows, settings: &Settings, pid: Pid) {
    centroids_of(settings, pid).for_each(|id| rows.remove(id));
}

/// All rows that an identity can have.
fn centroids_of(settings: &Settings, pid: Pid) -> impl Iterator<Item = RowId> {
    let subs = if settings.sub_centroids > 1 { settings.sub_centroids as i64 } else { 0 };
    (0..=subs).map(move |sub| RowId::centroid(pid, sub))
}

/// Rows `pid, sub, columns` of the table `centroid` or `part`; of classes with sub-centroids those of
/// `sub_centroid` or `sub_part` instead. The condition may name `pid` and `camid`.
fn searched(settings: &Settings, table: &str, columns: &str, condition: &str) -> String {
    let whole = format!("SELECT pid, 0 AS sub, {columns} FROM {table} WHERE {condition}");
    if settings.sub_centroids == 1 {
        return whole;
    }
    format!(
        "{whole} AND NOT EXISTS (SELECT 1 FROM sub_centroid s WHERE s.pid = {table}.pid)
         UNION ALL SELECT pid, sub, {columns} FROM sub_{table} WHERE {condition}"
    )
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
