//! Rankings by the re-ranked distance `d*`: exact where the order of two candidates hangs on it.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::KReciprocal;
use super::encoding::{Encoding, encode, relative};
use super::jaccard::{InvertedIndex, Overlaps, Reranked};
use crate::candidates::Candidates;
use crate::centroid::{CentroidOf, mean_of};
use crate::comparison::Comparison;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::evaluate::QueryScore;
use crate::ids::{CamId, Pid};
use crate::nearest::{all_rows, rows_from, surroundings};
use crate::protocol::{CameraRule, Metric, Unit};
use crate::search::{Hit, RankedQuery};

/// Bytes of the original distances that are held at a time, on top of the vectors.
const NEAR_BYTES: usize = 256 << 20;

/// Roundings of `f64` on the way from an original distance to `d*`, which is about 1.
const ROUNDINGS: f64 = 1e-14;

/// What can be ranked: the gallery's images or means without a camera.
pub(super) fn units<'a>(comparison: &Comparison<'a>, without: Option<CamId>) -> Candidates<'a> {
    let Comparison { gallery, metric, .. } = *comparison;
    match comparison.unit {
        Unit::Instance | Unit::Nearest => Candidates::images(gallery, metric, |_| true),
        Unit::Centroid => {
            let keep = |row: usize| !CamId::same(without, gallery.camids()[row]);
            Candidates::means(gallery, metric, keep)
        }
    }
}

/// The vectors among which neighbours are sought: all queries, then all units.
///
/// # Errors
/// None that sound embeddings could cause.
pub(super) fn joint(
    comparison: &Comparison<'_>,
    units: &Candidates<'_>,
) -> Result<Embeddings, Error> {
    let Comparison { query, gallery, metric, unit, .. } = *comparison;
    let of = if unit == Unit::Centroid { metric.centroid_of } else { CentroidOf::Raw };
    let (dim, n) = (query.dim(), query.len() + units.len());
    let mut values = Vec::with_capacity(n * dim); // [n, dim]
    values.extend_from_slice(query.values());
    values.resize(n * dim, 0.0);
    let rows = values[query.values().len()..].par_chunks_exact_mut(dim).enumerate();
    rows.with_min_len(16).for_each_init(
        || vec![0.0; dim],
        |mean, (unit, row)| {
            mean_of(gallery, units.rows(unit), of, mean);
            row.iter_mut().zip(mean).for_each(|(value, mean)| *value = *mean as f32);
        },
    );
    let pids = [query.pids(), units.pids()].concat();
    Embeddings::new(dim, values, pids, vec![None; n], vec![String::new(); n])
}

/// The encodings of a joint set, as far as rankings need them.
pub(super) struct Reranking<'a> {
    settings: &'a KReciprocal,
    /// Of each query.
    queries: Vec<Encoding>,
    /// The largest distance of each query.
    farthest: Vec<f64>,
    /// Encodings of the units.
    units: InvertedIndex,
}

impl<'a> Reranking<'a> {
    /// Encodes `joint`, of which the first rows are `queries`.
    pub(super) fn new(
        joint: &Embeddings,
        queries: usize,
        metric: &Metric,
        settings: &'a KReciprocal,
    ) -> Self {
        // More neighbours than vectors change nothing, and half of them are still all.
        let most = 2 * joint.len() + 2;
        let [k1, k2] = [settings.k1, settings.k2].map(|k| k.min(most));
        let all = all_rows(joint, metric);
        let mut around = surroundings(&all, joint, (k1 + 1).max(k2));
        let lambda = settings.lambda;
        let mut encodings = encode(&all, joint, &around, &KReciprocal { k1, k2, lambda });
        let units = InvertedIndex::new(&encodings.split_off(queries), joint.len());
        around.farthest.truncate(queries);
        Self { settings, queries: encodings, farthest: around.farthest, units }
    }

    /// What every query shares with the units, which are images.
    pub(super) fn jaccard_to(&self, images: &Candidates<'_>) -> Vec<Reranked> {
        let one = |overlaps: &mut Overlaps, (encoding, &farthest): (&Encoding, &f64)| {
            self.units.overlaps(encoding, overlaps);
            let distance = |unit: usize| (images.rows(unit)[0], overlaps.distance(unit));
            Reranked { farthest, jaccard: overlaps.rows().into_iter().map(distance).collect() }
        };
        let queries = self.queries.par_iter().zip(&self.farthest);
        queries.map_init(|| self.units.room(), one).collect()
    }
}

/// A comparison, re-ranked. Queries for which other vectors are compared are apart.
pub(super) struct Groups<'a> {
    pub(super) comparison: Comparison<'a>,
    pub(super) settings: &'a KReciprocal,
}

impl Groups<'_> {
    /// Shows each of the given queries to `see`, on all threads; results in the queries' order.
    pub(super) fn each<R: Send>(
        &self,
        queries: &[usize],
        see: impl Fn(&mut Seen<'_>) -> R + Sync,
    ) -> Result<Vec<R>, Error> {
        let Comparison { query, metric, .. } = self.comparison;
        let mut seen = Vec::with_capacity(queries.len());
        for (without, places) in self.places_by_left_out_camera(queries) {
            let units = units(&self.comparison, without);
            let joint = joint(&self.comparison, &units)?;
            let group = Group {
                comparison: &self.comparison,
                reranking: Reranking::new(&joint, query.len(), metric, self.settings),
                vectors: rows_from(&joint, query.len(), metric),
                targets: Targets::new(&units, self.comparison.unit),
                units: &units,
            };
            let of_group: Vec<usize> = places.iter().map(|&place| queries[place]).collect();
            seen.extend(places.into_iter().zip(group.each(&of_group, &see)));
        }
        seen.sort_by_key(|(place, _)| *place);
        Ok(seen.into_iter().map(|(_, seen)| seen).collect())
    }

    /// How many images or identities the whole gallery has.
    pub(super) fn gallery_units(&self) -> usize {
        let pids = self.comparison.gallery.pids().iter().filter(|pid| **pid != Pid::JUNK);
        match self.comparison.unit {
            Unit::Instance => pids.count(),
            Unit::Nearest | Unit::Centroid => pids.collect::<BTreeSet<_>>().len(),
        }
    }

    /// Places in `queries` that are compared with the same vectors.
    fn places_by_left_out_camera(&self, queries: &[usize]) -> BTreeMap<Option<CamId>, Vec<usize>> {
        let by_camera =
            (self.comparison.unit, self.comparison.cameras) == (Unit::Centroid, CameraRule::Cross);
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (place, &query) in queries.iter().enumerate() {
            let camid = self.comparison.query.camids()[query].filter(|_| by_camera);
            groups.entry(camid).or_default().push(place);
        }
        groups
    }
}

/// What takes a rank: each unit, or the nearest unit of each identity.
struct Targets {
    /// In tie order.
    pids: Vec<Pid>,
    of_unit: Vec<usize>,
}

impl Targets {
    fn new(units: &Candidates<'_>, unit: Unit) -> Self {
        if unit != Unit::Nearest {
            return Self { pids: units.pids().to_vec(), of_unit: (0..units.len()).collect() };
        }
        let pids: BTreeSet<Pid> = units.pids().iter().copied().collect();
        let pids: Vec<Pid> = pids.into_iter().collect();
        let place = |pid: &Pid| pids.partition_point(|other| other < pid);
        let of_unit = units.pids().iter().map(place).collect();
        Self { pids, of_unit }
    }
}

/// Queries that are compared with the same vectors.
struct Group<'a> {
    comparison: &'a Comparison<'a>,
    reranking: Reranking<'a>,
    /// Gallery images of each unit.
    units: &'a Candidates<'a>,
    /// The units as they are compared.
    vectors: Candidates<'a>,
    targets: Targets,
}

/// Original distances of a query to all units, about.
#[derive(Clone, Default)]
struct Near {
    distances: Vec<f32>,
    /// None is farther than this from the exact one.
    error: f64,
}

impl Group<'_> {
    fn each<R: Send>(&self, queries: &[usize], see: impl Fn(&mut Seen<'_>) -> R + Sync) -> Vec<R> {
        let together = NEAR_BYTES / (size_of::<f32>() * self.units.len().max(1));
        let mut results = Vec::with_capacity(queries.len());
        for queries in queries.chunks(together.max(1)) {
            let mut near = vec![Near::default(); queries.len()];
            self.vectors.each_tile(self.comparison.query, queries, &mut near, |near, tile| {
                near.distances.extend_from_slice(tile.near);
                let error = if tile.error.is_finite() { tile.error } else { f64::INFINITY };
                near.error = near.error.max(error);
            });
            let queries = queries.par_iter().zip(near);
            let room = || self.reranking.units.room();
            results.par_extend(queries.map_init(room, |overlaps, (&query, near)| {
                self.reranking.units.overlaps(&self.reranking.queries[query], overlaps);
                see(&mut Seen::new(self, query, overlaps, &near))
            }));
        }
        results
    }
}

/// One query and its re-ranked distances.
pub(super) struct Seen<'a> {
    group: &'a Group<'a>,
    query: usize,
    /// The query, prepared.
    vector: Vec<f64>,
    overlaps: &'a Overlaps,
    /// `[units]`: `d*`, exact or about; infinite where nothing of a unit counts.
    distances: Vec<f64>,
    /// How wrong those that are not exact may be.
    error: f64,
}

impl<'a> Seen<'a> {
    fn new(group: &'a Group<'a>, query: usize, overlaps: &'a Overlaps, near: &Near) -> Self {
        let Comparison { query: set, metric, .. } = *group.comparison;
        let (settings, farthest) = (group.reranking.settings, group.reranking.farthest[query]);
        let error = settings.blend(0.0, relative(near.error, farthest)) + ROUNDINGS;
        let (vector, distances) = (metric.prepared(set.row(query)), Vec::new());
        let mut seen = Self { group, query, vector, overlaps, distances, error };
        let about = |(unit, &near): (usize, &f32)| {
            let original = relative(f64::from(near), farthest);
            let about = settings.blend(overlaps.distance(unit), original);
            match seen.standing(unit) {
                Standing::LeftOut => f64::INFINITY,
                Standing::Whole if about.is_finite() => about,
                Standing::Whole | Standing::Part => seen.exact(unit),
            }
        };
        seen.distances = near.distances.iter().enumerate().map(about).collect();
        seen
    }

    /// How much of a unit counts for the query.
    fn standing(&self, unit: usize) -> Standing {
        let rows = self.group.units.rows(unit);
        let comparison = self.group.comparison;
        match rows.iter().filter(|&&row| comparison.counts(self.query, row)).count() {
            0 => Standing::LeftOut,
            count if count == rows.len() => Standing::Whole,
            _ => Standing::Part,
        }
    }

    /// `d*` of a unit. Of one that counts in part, the rest is left out of the original distance.
    fn exact(&self, unit: usize) -> f64 {
        let Group { comparison, reranking, units, vectors, .. } = self.group;
        let jaccard = self.overlaps.distance(unit);
        if reranking.settings.lambda == 0.0 {
            return jaccard;
        }
        let original = match self.standing(unit) {
            Standing::Part => {
                let rows = units.rows(unit).iter().copied();
                let counting: Vec<_> =
                    rows.filter(|&row| comparison.counts(self.query, row)).collect();
                units.distance_to_mean(&self.vector, &counting)
            }
            Standing::Whole | Standing::LeftOut => vectors.distance(&self.vector, unit),
        };
        let original = relative(original, reranking.farthest[self.query]);
        reranking.settings.blend(jaccard, original)
    }

    /// Makes those distances exact that are `open`.
    fn settle(&mut self, open: impl Fn(f64) -> bool) {
        for unit in 0..self.distances.len() {
            let about = self.distances[unit];
            if about != f64::INFINITY && open(about) {
                self.distances[unit] = self.exact(unit);
            }
        }
    }

    /// `[targets]`: each is as near as the nearest of its units.
    fn by_target(&self) -> Vec<f64> {
        let targets = &self.group.targets;
        let mut nearest = vec![f64::INFINITY; targets.pids.len()];
        for (&target, &distance) in targets.of_unit.iter().zip(&self.distances) {
            nearest[target] = nearest[target].min(distance);
        }
        nearest
    }

    /// Scores the ranking: nothing but distances close to those of relevant units needs to be exact.
    pub(super) fn score(&mut self) -> Option<QueryScore> {
        let wanted = self.group.comparison.query.pids()[self.query];
        let mut relevant = Vec::new();
        for unit in 0..self.distances.len() {
            if self.group.units.pids()[unit] == wanted && self.distances[unit] != f64::INFINITY {
                self.distances[unit] = self.exact(unit);
                relevant.push(self.distances[unit]);
            }
        }
        relevant.sort_unstable_by(f64::total_cmp);
        let error = self.error;
        self.settle(|about| {
            let first = relevant.partition_point(|&distance| distance < about - error);
            relevant.get(first).is_some_and(|&distance| distance <= about + error)
        });
        QueryScore::of_pid(&self.by_target(), &self.group.targets.pids, wanted)
    }

    /// The ranking and its score.
    pub(super) fn ranked(&mut self, k: usize) -> RankedQuery {
        let score = self.score();
        RankedQuery {
            query: self.query,
            hits: self.hits(k),
            average_precision: score.as_ref().map(|score| score.average_precision),
            first_rank: score.as_ref().map(|score| score.first_rank),
        }
    }

    /// The `k` targets of smallest `d*` that count.
    fn hits(&mut self, k: usize) -> Vec<Hit> {
        let mut about = self.by_target();
        about.retain(|&distance| distance != f64::INFINITY);
        let farthest = match k.min(about.len()) {
            0 => return Vec::new(),
            k => *about.select_nth_unstable_by(k - 1, f64::total_cmp).1,
        };
        let limit = farthest + 2.0 * self.error;
        self.settle(|about| about <= limit);
        let targets = self.by_target().into_iter().zip(0..);
        let mut found: Vec<(f64, usize)> =
            targets.filter(|(distance, _)| *distance <= limit).collect();
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.truncate(k);
        let nearest = self.nearest_units();
        let hit = |((distance, target), rank): ((f64, usize), usize)| Hit {
            rank,
            pid: self.group.targets.pids[target],
            distance,
            example: self.example(nearest[target]),
        };
        found.into_iter().zip(1..).map(hit).collect()
    }

    /// `[targets]`: the first of the nearest units of each.
    fn nearest_units(&self) -> Vec<usize> {
        let mut nearest = vec![None; self.group.targets.pids.len()];
        for (unit, &target) in self.group.targets.of_unit.iter().enumerate() {
            let nearest: &mut Option<usize> = &mut nearest[target];
            if nearest.is_none_or(|other| self.distances[unit] < self.distances[other]) {
                *nearest = Some(unit);
            }
        }
        nearest.into_iter().flatten().collect() // every target has a unit
    }

    /// The image to show for a unit: among those that count, the one nearest to the query.
    fn example(&self, unit: usize) -> usize {
        let Group { comparison, units, .. } = self.group;
        let rows = units.rows(unit);
        if let [only] = *rows {
            return only;
        }
        let counting = rows.iter().copied().filter(|&row| comparison.counts(self.query, row));
        let distance = |row: usize| {
            let image = comparison.metric.prepared(comparison.gallery.row(row));
            comparison.metric.distance.between_prepared(&self.vector, &image)
        };
        let nearest = counting.map(|row| (distance(row), row)).min_by(|a, b| a.0.total_cmp(&b.0));
        nearest.map_or(rows[0], |(_, row)| row)
    }
}

/// How much of a unit counts for a query.
enum Standing {
    Whole,
    Part,
    LeftOut,
}
