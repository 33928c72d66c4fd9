//! From candidates that the server finds in single precision to hits in the exact order.

use std::collections::{BTreeMap, BTreeSet};

use centroids_core::{Distance, Pid, Unit};
use milvus::v2::prelude::SingleResult;
use serde_json::{Map, Value};

use super::rows::{CentroidRow, ClassRow, Columns, MemberRow, Row, named, padded};
use super::server::Wanted;
use super::shelf::{LISTED, MAX_ROWS, Shelf, one_of};
use crate::error::Error;
use crate::member::MemberId;
use crate::part::{Contribution, Part};
use crate::question::{Answer, Example, Filter, Hit, SearchOptions};
use crate::ranking::{self, rank, wanted};

/// Bytes of an answer, roughly.
const BYTES: usize = 16 << 20;

/// Something with its exact distance.
#[derive(Clone, Debug)]
struct Found {
    distance: f64,
    pid: i64,
    /// Name of the identity; `None`: not looked up.
    name: Option<String>,
    image: Option<Example>,
}

impl ranking::Found for Found {
    fn distance(&self) -> f64 {
        self.distance
    }

    fn pid(&self) -> Pid {
        Pid(self.pid)
    }

    fn member(&self) -> Option<MemberId> {
        self.image.as_ref().map(|image| image.id)
    }
}

/// Answers all queries, which are made ready for comparison.
pub(super) fn run(
    shelf: &Shelf,
    queries: &[Vec<f64>],
    options: &SearchOptions,
) -> Result<Vec<Answer>, Error> {
    let search = Search { shelf, options };
    let all: Vec<&[f64]> = queries.iter().map(Vec::as_slice).collect();
    let found = match (options.filter.is_empty(), options.unit) {
        (false, _) => search.everything(&all)?,
        (true, Unit::Centroid) => search.nearest::<CentroidRow>(&all)?,
        (true, _) => search.nearest::<MemberRow>(&all)?,
    };
    let mut answers: Vec<(Vec<Found>, Option<f64>)> =
        found.into_iter().map(|found| search.ranked(found)).collect();
    search.look_up_names(&mut answers)?;
    search.look_up_examples(&all, &mut answers)?;
    Ok(answers.into_iter().map(|(found, margin)| search.answer(found, margin)).collect())
}

/// Rows that can be found.
trait Candidate: Row {
    /// What a search asks for.
    const FOUND: &'static [&'static str];

    fn found(self, search: &Search<'_>, query: &[f64]) -> Found;
}

impl Candidate for CentroidRow {
    const FOUND: &'static [&'static str] = Self::FOUND;

    fn found(self, search: &Search<'_>, query: &[f64]) -> Found {
        let distance = search.compare(query, self.mean());
        Found { distance, pid: self.pid, name: Some(self.name), image: None }
    }
}

impl Candidate for MemberRow {
    const FOUND: &'static [&'static str] = Self::FIELDS;

    fn found(self, search: &Search<'_>, query: &[f64]) -> Found {
        let vector = self.vector.into_iter().map(f64::from).collect();
        let image = Example { id: MemberId(self.id), key: self.key };
        let distance = search.compare(query, vector);
        Found { distance, pid: self.pid, name: None, image: Some(image) }
    }
}

struct Search<'a> {
    shelf: &'a Shelf,
    options: &'a SearchOptions,
}

impl Search<'_> {
    fn compare(&self, query: &[f64], mut vector: Vec<f64>) -> f64 {
        self.shelf.settings.distance_from(query, &mut vector)
    }

    /// Rows that may count, as the server filters them.
    fn counting(&self) -> String {
        let camera = self.options.without_camera.map(|camera| camera.0);
        let centroids = self.options.unit == Unit::Centroid && self.options.filter.is_empty();
        match (centroids, camera) {
            (true, None) => "without == -1".to_owned(),
            (true, Some(camera)) => format!(
                "without == {camera} or (without == -1 and not array_contains(cameras, {camera}))"
            ),
            (false, _) => self.counting_members(),
        }
    }

    fn counting_members(&self) -> String {
        let camera = self.options.without_camera;
        let camera = camera.map_or(String::new(), |camera| format!(" and camid != {}", camera.0));
        format!("quarantined == false{camera}")
    }

    /// Asks for more and more candidates until none that was not given can belong to the hits.
    fn nearest<R: Candidate>(&self, queries: &[&[f64]]) -> Result<Vec<Vec<Found>>, Error> {
        let mut found = vec![Vec::new(); queries.len()];
        let mut open: Vec<usize> = (0..queries.len()).collect();
        let mut limit = wanted(self.options).saturating_add(wanted(self.options) / 2 + 6);
        while !open.is_empty() {
            if limit > MAX_ROWS {
                let rest: Vec<&[f64]> = open.iter().map(|&query| queries[query]).collect();
                let all = self.everything(&rest)?;
                open.iter().zip(all).for_each(|(&query, all)| found[query] = all);
                break;
            }
            let mut unsettled = Vec::new();
            let bytes = limit * (16 * self.shelf.settings.dim + 512);
            for some in open.chunks((BYTES / bytes).clamp(1, 256)) {
                let vectors: Vec<&[f64]> = some.iter().map(|&query| queries[query]).collect();
                let results = self.candidates::<R>(&vectors, limit)?;
                for (&query, (rows, worst)) in some.iter().zip(results) {
                    let all = rows.len() < limit;
                    found[query] = rows;
                    if !all && !self.settled::<R>(queries[query], &found[query], worst) {
                        unsettled.push(query);
                    }
                }
            }
            open = unsettled;
            limit = limit.saturating_mul(4);
        }
        Ok(found)
    }

    /// Candidates with their exact distances, and the last one's score.
    fn candidates<R: Candidate>(
        &self,
        queries: &[&[f64]],
        limit: usize,
    ) -> Result<Vec<(Vec<Found>, f64)>, Error> {
        let shelf = self.shelf;
        let collection = shelf.collection::<R>();
        let single =
            |query: &&[f64]| padded(&query.iter().map(|&value| value as f32).collect::<Vec<_>>());
        let vectors: Vec<Vec<f32>> = queries.iter().map(single).collect();
        let wanted = Wanted {
            collection: &collection,
            filter: &self.counting(),
            fields: R::FOUND,
            limit,
            consistency: shelf.server.address.consistency,
        };
        let results = shelf.server.search(wanted, &vectors)?;
        let malformed = || shelf.server.malformed(&format!("a row of {collection}"));
        let read = |(query, result): (&&[f64], &SingleResult)| {
            let columns = Columns::new(result.get_output_fields(), &shelf.settings);
            let rows = (0..result.get_scores().len()).map(|row| {
                let row = R::read(&columns, row).ok_or_else(malformed)?;
                Ok(row.found(self, query))
            });
            let worst = result.get_scores().last().copied().map_or(f64::NAN, f64::from);
            Ok((rows.collect::<Result<_, Error>>()?, worst))
        };
        // A server answers nothing where no row passes.
        let mut all: Vec<_> =
            queries.iter().zip(results.iter()).map(read).collect::<Result<_, Error>>()?;
        all.resize(queries.len(), (Vec::new(), f64::NAN));
        Ok(all)
    }

    /// Whether the hits are sure: nothing that the server scored worse than its last candidate can
    /// be nearer than the last hit, however it rounded. A sum of n products in single precision is
    /// wrong by n/2 · ε of the product of the lengths at most; the rest is for the vectors' own
    /// rounding.
    fn settled<R: Candidate>(&self, query: &[f64], found: &[Found], worst: f64) -> bool {
        let Some(last) = self.last_hit(found) else {
            return false;
        };
        let settings = &self.shelf.settings;
        let rounding = (settings.dim as f64 / 2.0 + 16.0) * f64::from(f32::EPSILON);
        let of_members = R::SUFFIX == MemberRow::SUFFIX;
        match settings.distance {
            Distance::Cosine => last < 1.0 - worst - rounding,
            Distance::SquaredEuclidean if of_members && settings.normalize => {
                last < 2.0 - 2.0 * (worst + rounding)
            }
            Distance::SquaredEuclidean => {
                let length = query.iter().map(|value| value * value).sum::<f64>().sqrt();
                last + rounding * (2.0 * length + last.sqrt()).powi(2) < worst
            }
        }
    }

    /// Distance of the last one wanted, if there are so many.
    fn last_hit(&self, found: &[Found]) -> Option<f64> {
        let mut distances: Vec<f64> = if self.options.unit == Unit::Nearest {
            let mut of_pid = BTreeMap::new();
            for found in found {
                let least = of_pid.entry(found.pid).or_insert(f64::INFINITY);
                *least = found.distance.min(*least);
            }
            of_pid.into_values().collect()
        } else {
            found.iter().map(|found| found.distance).collect()
        };
        distances.sort_by(f64::total_cmp);
        distances.get(wanted(self.options) - 1).copied()
    }

    /// Exact distances to everything that counts, from the members: the centroid of an identity is
    /// that of the images that pass the filter.
    fn everything(&self, queries: &[&[f64]]) -> Result<Vec<Vec<Found>>, Error> {
        let shelf = self.shelf;
        let mut found = vec![Vec::new(); queries.len()];
        let mut parts: BTreeMap<i64, Part> = BTreeMap::new();
        let take = |page: Vec<MemberRow>| {
            let passing = page.into_iter().filter(|m| passes(&self.options.filter, &m.attributes));
            for member in passing {
                if self.options.unit == Unit::Centroid {
                    let MemberRow { pid, key, time, weight, vector, .. } = member;
                    let image = Contribution::new(&shelf.settings, vector, weight, (&key, time))?;
                    let part = parts.entry(pid);
                    part.or_insert_with(|| Part::empty(shelf.settings.dim)).count(&image, 1);
                } else {
                    for (query, found) in queries.iter().zip(&mut found) {
                        found.push(member.clone().found(self, query));
                    }
                }
            }
            Ok(())
        };
        let consistency = shelf.server.address.consistency;
        shelf.each_page(&self.counting_members(), consistency, usize::MAX, take)?;
        for (pid, part) in parts {
            let mean = part.mean();
            for (query, found) in queries.iter().zip(&mut found) {
                let distance = self.compare(query, mean.clone());
                found.push(Found { distance, pid, name: None, image: None });
            }
        }
        Ok(found)
    }

    /// The hits in order, and the margin.
    fn ranked(&self, mut found: Vec<Found>) -> (Vec<Found>, Option<f64>) {
        let margin = rank(&mut found, self.options);
        found.truncate(self.options.k);
        (found, margin)
    }

    fn answer(&self, found: Vec<Found>, margin: Option<f64>) -> Answer {
        let unknown = self.options.is_unknown(found.first().map(|first| first.distance));
        let hit = |(found, rank): (Found, usize)| Hit {
            rank,
            pid: Pid(found.pid),
            name: found.name.as_deref().and_then(named),
            distance: found.distance,
            confidence: self.options.confidence(found.distance),
            example: found.image,
        };
        Answer { hits: found.into_iter().zip(1..).map(hit).collect(), unknown, margin }
    }

    fn look_up_names(&self, answers: &mut [(Vec<Found>, Option<f64>)]) -> Result<(), Error> {
        let hits = || answers.iter().flat_map(|(found, _)| found);
        let unnamed: BTreeSet<i64> =
            hits().filter(|found| found.name.is_none()).map(|found| found.pid).collect();
        let names = names(self.shelf, &unnamed)?;
        for found in answers.iter_mut().flat_map(|(found, _)| found) {
            if found.name.is_none() {
                found.name = names.get(&found.pid).cloned();
            }
        }
        Ok(())
    }

    /// Each identity's image nearest to the query, where that was asked for.
    fn look_up_examples(
        &self,
        queries: &[&[f64]],
        answers: &mut [(Vec<Found>, Option<f64>)],
    ) -> Result<(), Error> {
        if !self.options.examples || self.options.unit != Unit::Centroid {
            return Ok(());
        }
        let pids: BTreeSet<i64> =
            answers.iter().flat_map(|(found, _)| found).map(|found| found.pid).collect();
        let mut nearest: BTreeMap<(usize, i64), (f64, Example)> = BTreeMap::new();
        let mut wanted: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (query, (found, _)) in answers.iter().enumerate() {
            found.iter().for_each(|found| wanted.entry(found.pid).or_default().push(query));
        }
        let mut take = |page: Vec<MemberRow>| {
            let passing = page.into_iter().filter(|m| passes(&self.options.filter, &m.attributes));
            for member in passing {
                for &query in wanted.get(&member.pid).into_iter().flatten() {
                    let found = member.clone().found(self, queries[query]);
                    let (Some(image), distance) = (found.image, found.distance) else { continue };
                    let best = nearest.entry((query, member.pid));
                    let best = best.or_insert_with(|| (f64::INFINITY, image.clone()));
                    if distance < best.0 {
                        *best = (distance, image);
                    }
                }
            }
            Ok(())
        };
        let consistency = self.shelf.server.address.consistency;
        for pids in pids.into_iter().collect::<Vec<_>>().chunks(LISTED) {
            let of = one_of("pid", pids.iter().copied());
            let filter = format!("{of} and {}", self.counting_members());
            self.shelf.each_page(&filter, consistency, usize::MAX, &mut take)?;
        }
        for (query, (found, _)) in answers.iter_mut().enumerate() {
            for found in found {
                found.image = nearest.remove(&(query, found.pid)).map(|(_, image)| image);
            }
        }
        Ok(())
    }
}

/// Names of those of these classes that have one.
pub(super) fn names(shelf: &Shelf, pids: &BTreeSet<i64>) -> Result<BTreeMap<i64, String>, Error> {
    let mut names = BTreeMap::new();
    for pids in pids.iter().copied().collect::<Vec<_>>().chunks(LISTED) {
        let filter = format!("{} and name != \"\"", one_of("pid", pids.iter().copied()));
        let rows: Vec<ClassRow> = shelf.some(&filter, usize::MAX)?;
        names.extend(rows.into_iter().map(|row| (row.pid, row.name)));
    }
    Ok(names)
}

/// Whether a member has what the filter wants. The text "1" is not the number, and what is absent is
/// null.
fn passes(filter: &Filter, attributes: &Map<String, Value>) -> bool {
    filter.wanted().iter().all(|(key, wanted)| match (wanted, attributes.get(key)) {
        (Value::Null, None) => true,
        (Value::Number(wanted), Some(Value::Number(value))) => wanted.as_f64() == value.as_f64(),
        (wanted, Some(value)) => wanted == value,
        (_, None) => false,
    })
}
