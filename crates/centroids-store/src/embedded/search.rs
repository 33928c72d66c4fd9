//! From candidates in single precision to hits in the exact order.

use centroids_core::{Pid, Unit};
use rusqlite::{Transaction, params_from_iter, types};
use serde_json::Value;

use super::cache::Cache;
use super::fault::Fault;
use super::ledger::{decode_embedding, sum_parts};
use super::read::name_of;
use crate::member::MemberId;
use crate::part::{Contribution, Part, camid_of};
use crate::question::{Answer, Example, Hit, SearchOptions};
use crate::ranking::{self, rank, wanted};
use crate::scan::RowId;
use crate::settings::Settings;

/// Answers all queries from one state of the file.
pub(super) fn run(
    transaction: &Transaction<'_>,
    cache: &mut Cache,
    settings: &Settings,
    queries: &[Vec<f64>],
    options: &SearchOptions,
) -> Result<Vec<Answer>, Fault> {
    let exact = Exact { transaction, settings, options };
    cache.approximation = None;
    let found = if options.filter.is_empty() {
        cache.refresh(transaction)?;
        let candidates = candidates(transaction, cache, queries, options)?;
        let each = queries.iter().zip(candidates);
        each.map(|(query, rows)| exact.distances(query, &rows)).collect::<Result<_, _>>()?
    } else {
        exact.filtered(queries)?
    };
    let each = queries.iter().zip(found);
    each.map(|(query, found)| exact.answer(query, found)).collect()
}

fn candidates(
    transaction: &Transaction<'_>,
    cache: &mut Cache,
    queries: &[Vec<f64>],
    options: &SearchOptions,
) -> Result<Vec<Vec<RowId>>, Fault> {
    let (k, camera) = (wanted(options), options.without_camera);
    if options.unit != Unit::Centroid {
        let rows = &cache.images(transaction)?.rows;
        let skip = |row: usize| camera.is_some_and(|c| rows.cameras()[row] == Some(c.0));
        return Ok(rows.candidates(queries, k, options.unit == Unit::Nearest, &skip));
    }
    // Of the sub-centroids of an identity the nearest counts.
    let by_pid = cache.has_sub_centroids();
    let Some(camera) = camera else {
        if let Some(graph) = cache.graph(k)? {
            let (found, report) = (graph.candidates(queries, k, by_pid)?, graph.report().clone());
            cache.approximation = Some(report);
            return Ok(found);
        }
        return Ok(cache.centroids.candidates(queries, k, by_pid, &|_| false));
    };
    cache.without(transaction, camera)?;
    let Some(without) = cache.replaced(camera) else {
        return Ok(vec![Vec::new(); queries.len()]);
    };
    let skipped: Vec<bool> =
        cache.centroids.ids().iter().map(|id| without.classes.contains(&id.pid)).collect();
    let mut found = cache.centroids.candidates(queries, k, by_pid, &|row| skipped[row]);
    let replaced = without.rows.candidates(queries, k, by_pid, &|_| false);
    found.iter_mut().zip(replaced).for_each(|(found, more)| found.extend(more));
    Ok(found)
}

/// Something with its exact distance.
type Found = (f64, Pid, Option<MemberId>);

impl ranking::Found for Found {
    fn distance(&self) -> f64 {
        self.0
    }

    fn pid(&self) -> Pid {
        self.1
    }

    fn member(&self) -> Option<MemberId> {
        self.2
    }
}

struct Exact<'a> {
    transaction: &'a Transaction<'a>,
    settings: &'a Settings,
    options: &'a SearchOptions,
}

impl Exact<'_> {
    /// Exact distances of candidates; of identities by their images the nearest.
    fn distances(&self, query: &[f64], rows: &[RowId]) -> Result<Vec<Found>, Fault> {
        let mut found = Vec::with_capacity(rows.len());
        let mut room = Part::empty(self.settings.dim);
        for &row in rows {
            let distance = match row.member {
                Some(member) => Some(self.to_member(query, member)?),
                None => self.to_centroid(query, row, &mut room)?,
            };
            found.extend(distance.map(|distance| (distance, row.pid, row.member)));
        }
        Ok(found)
    }

    fn to_centroid(
        &self,
        query: &[f64],
        row: RowId,
        room: &mut Part,
    ) -> Result<Option<f64>, Fault> {
        sum_parts(self.transaction, row, self.options.without_camera, room)?;
        if room.members == 0 {
            return Ok(None);
        }
        let Part { weight, sum: mean, .. } = room;
        mean.iter_mut().for_each(|sum| *sum /= *weight);
        Ok(Some(self.settings.distance_from(query, mean)))
    }

    fn to_member(&self, query: &[f64], member: MemberId) -> Result<f64, Fault> {
        let sql = "SELECT key, embedding FROM member WHERE id = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([member.0])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let key: String = row.get(0)?;
        let vector = decode_embedding(self.settings, row, 1, &key)?;
        Ok(self.compare(query, vector.into_iter().map(f64::from).collect()))
    }

    fn compare(&self, query: &[f64], mut vector: Vec<f64>) -> f64 {
        self.settings.distance_from(query, &mut vector)
    }

    /// Exact distances to everything that passes the filter, read from the file: the centroid of an
    /// identity is then that of the images that pass.
    fn filtered(&self, queries: &[Vec<f64>]) -> Result<Vec<Vec<Found>>, Fault> {
        let (sql, values) = counting_sql(self.options, None);
        let mut statement = self.transaction.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut found = vec![Vec::new(); queries.len()];
        let mut class: Option<(Pid, Part)> = None;
        while let Some(row) = rows.next()? {
            let (pid, key): (i64, String) = (row.get(1)?, row.get(2)?);
            let (id, pid) = (MemberId(row.get(0)?), Pid(pid));
            let vector = decode_embedding(self.settings, row, 5, &key)?;
            if self.options.unit != Unit::Centroid {
                let vector: Vec<f64> = vector.into_iter().map(f64::from).collect();
                for (query, found) in queries.iter().zip(&mut found) {
                    found.push((self.compare(query, vector.clone()), pid, Some(id)));
                }
                continue;
            }
            if class.as_ref().is_some_and(|(other, _)| *other != pid) {
                self.close_class(class.take(), queries, &mut found);
            }
            let about = (key.as_str(), row.get(3)?);
            let image = Contribution::new(self.settings, vector, row.get(4)?, about)?;
            let empty = || (pid, Part::empty(self.settings.dim));
            class.get_or_insert_with(empty).1.count(&image, 1);
        }
        self.close_class(class, queries, &mut found);
        Ok(found)
    }

    fn close_class(
        &self,
        class: Option<(Pid, Part)>,
        queries: &[Vec<f64>],
        found: &mut [Vec<Found>],
    ) {
        let Some((pid, part)) = class else {
            return;
        };
        let mean = part.mean();
        for (query, found) in queries.iter().zip(found) {
            found.push((self.compare(query, mean.clone()), pid, None));
        }
    }

    /// The nearest, in order, with what is to be said of them.
    fn answer(&self, query: &[f64], mut found: Vec<Found>) -> Result<Answer, Fault> {
        let margin = rank(&mut found, self.options);
        let unknown = self.options.is_unknown(found.first().map(|first| first.0));
        found.truncate(self.options.k);
        let hit = |((distance, pid, member), rank): (Found, usize)| {
            let name = name_of(self.transaction, pid)?;
            let example = self.example(query, pid, member)?;
            let confidence = self.options.confidence(distance);
            Ok(Hit { rank, pid, name, distance, confidence, example })
        };
        let hits = found.into_iter().zip(1..).map(hit).collect::<Result<_, Fault>>()?;
        Ok(Answer { hits, unknown, margin })
    }

    /// The member found, or the identity's nearest one that counts.
    fn example(
        &self,
        query: &[f64],
        pid: Pid,
        member: Option<MemberId>,
    ) -> Result<Option<Example>, Fault> {
        let id = match member {
            Some(id) => Some(id),
            None if self.options.examples => self.nearest_member(query, pid)?,
            None => None,
        };
        let Some(id) = id else {
            return Ok(None);
        };
        let sql = "SELECT key FROM member WHERE id = ?1";
        let key = self.transaction.prepare_cached(sql)?.query_row([id.0], |row| row.get(0))?;
        Ok(Some(Example { id, key }))
    }

    fn nearest_member(&self, query: &[f64], pid: Pid) -> Result<Option<MemberId>, Fault> {
        let (sql, values) = counting_sql(self.options, Some(pid));
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut nearest: Option<(f64, MemberId)> = None;
        while let Some(row) = rows.next()? {
            let key: String = row.get(2)?;
            let vector = decode_embedding(self.settings, row, 5, &key)?;
            let distance = self.compare(query, vector.into_iter().map(f64::from).collect());
            if nearest.is_none_or(|(least, _)| distance < least) {
                nearest = Some((distance, MemberId(row.get(0)?)));
            }
        }
        Ok(nearest.map(|(_, id)| id))
    }
}

/// Members that count in a search, of one class or class by class.
fn counting_sql(options: &SearchOptions, of: Option<Pid>) -> (String, Vec<types::Value>) {
    let mut sql = "SELECT id, pid, key, time, weight, embedding FROM member
                   WHERE quarantined = 0"
        .to_owned();
    let mut values = Vec::new();
    if let Some(pid) = of {
        sql.push_str(" AND pid = ?");
        values.push(pid.0.into());
    }
    if options.without_camera.is_some() {
        sql.push_str(" AND camid <> ?");
        values.push(camid_of(options.without_camera).into());
    }
    for (key, value) in options.filter.wanted() {
        // The type keeps the text "1" apart from the number and from true; what is absent is null.
        let path: types::Value = format!("$.\"{key}\"").into();
        sql.push_str(" AND coalesce(json_type(attributes, ?), 'null') IN ");
        values.push(path.clone());
        sql.push_str(match value {
            Value::String(_) => "('text')",
            Value::Bool(true) => "('true')",
            Value::Bool(false) => "('false')",
            Value::Number(_) => "('integer', 'real')",
            _ => "('null')",
        });
        let wanted: types::Value = match value {
            Value::String(text) => text.clone().into(),
            Value::Number(number) => number.as_f64().unwrap_or(f64::NAN).into(),
            _ => continue,
        };
        sql.push_str(" AND json_extract(attributes, ?) = ?");
        values.extend([path, wanted]);
    }
    sql.push_str(" ORDER BY pid, id");
    (sql, values)
}
