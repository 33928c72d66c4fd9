//! One pass of all queries over candidates: what precedes each query's own candidates.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use super::precede::{ClassCount, Key, count_preceding};
use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::ids::CamId;
use crate::protocol::{CameraRule, Metric};
use crate::tiles::Tile;

/// A value for each camera rule, at `rule as usize`.
pub(super) type ByRule<T> = [T; CameraRule::ALL.len()];

pub(super) fn by_rule<T>(value: impl Fn(CameraRule) -> T) -> ByRule<T> {
    std::array::from_fn(|rule| value(CameraRule::ALL[rule]))
}

/// Own candidates of all queries that are followed at the same time, which bounds the memory.
const FOLLOWED: usize = 4_000_000;

/// Candidates that lie side by side by pid, and what cameras saw of them.
pub(super) struct Pass<'a> {
    query: &'a Embeddings,
    metric: &'a Metric,
    pub(super) candidates: Candidates<'a>,
    /// The candidates of each pid.
    pub(super) classes: Vec<Range<usize>>,
    /// Whether it is also counted without what the queries' cameras saw.
    cross: bool,
    /// The candidates that images of a camera are part of, ascending.
    by_camera: BTreeMap<CamId, Vec<usize>>,
}

/// What is followed of one query.
pub(super) struct Followed {
    /// The query's own candidates that may be relevant, ascending.
    pub(super) own: Vec<Key>,
    /// `[own]`: candidates of other pids that precede.
    pub(super) before: Vec<u32>,
    /// `[own]`: those without the ones its camera saw.
    pub(super) before_cross: Vec<u32>,
    /// Other classes that precede the query's own. For [`CameraRule::Cross`] without the classes'
    /// candidates that its camera saw.
    pub(super) classes: ByRule<ClassCount>,
}

impl Followed {
    pub(super) fn new(mut own: Vec<Key>, limits: ByRule<Option<Key>>) -> Self {
        own.sort_unstable_by(Key::order);
        let zeros = vec![0; own.len()];
        Self {
            own,
            before: zeros.clone(),
            before_cross: zeros,
            classes: limits.map(ClassCount::new),
        }
    }
}

impl<'a> Pass<'a> {
    /// Without `cross`, nothing is counted for [`CameraRule::Cross`].
    pub(super) fn new(
        query: &'a Embeddings,
        gallery: &'a Embeddings,
        metric: &'a Metric,
        candidates: Candidates<'a>,
        cross: bool,
    ) -> Self {
        let classes = candidates.classes();
        let mut by_camera: BTreeMap<CamId, Vec<usize>> = BTreeMap::new();
        for candidate in (0..candidates.len()).filter(|_| cross) {
            for camid in candidates.rows(candidate).iter().filter_map(|&row| gallery.camids()[row])
            {
                let seen = by_camera.entry(camid).or_default();
                if seen.last() != Some(&candidate) {
                    seen.push(candidate);
                }
            }
        }
        Self { query, metric, candidates, classes, cross, by_camera }
    }

    /// Follows each query, as many at a time as memory allows; results in their order.
    pub(super) fn follow<R: Send>(
        &self,
        queries: &[usize],
        begin: impl Fn(usize) -> Followed + Sync,
        end: impl Fn(usize, Followed) -> R,
    ) -> Vec<R> {
        let mut results = Vec::with_capacity(queries.len());
        for queries in self.portions(queries) {
            let mut followed: Vec<Followed> =
                queries.par_iter().map(|&query| begin(query)).collect();
            self.candidates.each_tile(self.query, queries, &mut followed, |followed, tile| {
                self.see(followed, tile);
            });
            results.extend(queries.iter().zip(followed).map(|(&query, seen)| end(query, seen)));
        }
        results
    }

    /// Number of the query's own class; if it has none, where it would be.
    pub(super) fn own_class(&self, query: usize) -> usize {
        let own = self.own(query).start;
        self.classes.partition_point(|class| class.end <= own)
    }

    /// The candidates of the query's own pid.
    pub(super) fn own(&self, query: usize) -> Range<usize> {
        self.candidates.of_pid(self.query.pids()[query])
    }

    /// The candidates that images of a camera are part of, ascending.
    pub(super) fn seen_by(&self, camid: CamId) -> &[usize] {
        self.by_camera.get(&camid).map_or(&[], Vec::as_slice)
    }

    /// Where candidates stand in the exact order of a query.
    pub(super) fn keys(&self, query: usize, candidates: impl Iterator<Item = usize>) -> Vec<Key> {
        let vector = self.prepared(query);
        candidates.map(|candidate| self.key(&vector, candidate)).collect()
    }

    /// A query's vector, ready to be compared.
    pub(super) fn prepared(&self, query: usize) -> Vec<f64> {
        self.metric.prepared(self.query.row(query))
    }

    fn key(&self, vector: &[f64], candidate: usize) -> Key {
        let distance = self.candidates.distance(vector, candidate);
        Key { distance, place: self.candidates.place(candidate) }
    }

    /// Cuts the queries so that no portion has too many candidates of its own.
    fn portions<'q>(&self, queries: &'q [usize]) -> Vec<&'q [usize]> {
        let (mut portions, mut rest) = (Vec::new(), queries);
        while !rest.is_empty() {
            let mut followed = 0;
            let fits = rest.iter().take_while(|&&query| {
                followed += self.own(query).len() + 1;
                followed <= FOLLOWED
            });
            let (portion, others) = rest.split_at(fits.count().max(1));
            portions.push(portion);
            rest = others;
        }
        portions
    }

    fn see(&self, followed: &mut Followed, tile: &mut Tile<'_>) {
        let own = self.own(tile.query);
        mask(tile, own.clone());
        let Followed { own: keys, before, before_cross, classes } = followed;
        let others = |candidate: usize| !own.contains(&candidate);
        self.count(
            tile,
            (&*keys, before),
            &mut *classes,
            &[CameraRule::Market, CameraRule::Any],
            others,
        );
        if !self.cross {
            return;
        }
        let seen = self.query.camids()[tile.query].map_or(&[][..], |camid| self.seen_by(camid));
        let start = seen.partition_point(|&candidate| candidate < tile.candidates.start);
        let end = seen.partition_point(|&candidate| candidate < tile.candidates.end);
        seen[start..end].iter().for_each(|&candidate| mask(tile, candidate..candidate + 1));
        let counts = |candidate| others(candidate) && seen.binary_search(&candidate).is_err();
        self.count(tile, (&*keys, before_cross), &mut *classes, &[CameraRule::Cross], counts);
    }

    /// Counts what precedes the keys, and the classes that precede under the given rules.
    fn count(
        &self,
        tile: &Tile<'_>,
        (keys, before): (&[Key], &mut [u32]),
        classes: &mut ByRule<ClassCount>,
        rules: &[CameraRule],
        counts: impl Fn(usize) -> bool,
    ) {
        let vector = LazyCell::new(|| self.prepared(tile.query));
        count_preceding(tile, keys, before, |candidate| {
            counts(candidate).then(|| self.key(&vector, candidate))
        });
        if rules.iter().all(|rule| classes[*rule as usize].limit.is_none()) {
            return;
        }
        let (first, nearest) = self.nearest_of_classes(tile);
        for rule in rules {
            classes[*rule as usize].see(tile, first, &nearest, |range, bounds| {
                let within = |&candidate: &usize| {
                    let near = tile.near[candidate - tile.candidates.start];
                    !bounds.is_before(near) && counts(candidate)
                };
                let distances =
                    range.filter(within).map(|it| self.candidates.distance(&vector, it));
                distances.fold(f64::INFINITY, f64::min)
            });
        }
    }

    /// The classes that the tile shows, from number `first`, each with the least `near` of what is
    /// seen of it.
    fn nearest_of_classes(&self, tile: &Tile<'_>) -> (usize, Vec<(Range<usize>, f32)>) {
        let Range { start, end } = tile.candidates;
        let first = self.classes.partition_point(|class| class.end <= start);
        let shown = self.classes[first..].iter().take_while(|class| class.start < end);
        let nearest = shown.map(|class| {
            let seen = &tile.near[class.start.max(start) - start..class.end.min(end) - start];
            (class.clone(), seen.iter().copied().fold(f32::INFINITY, f32::min))
        });
        (first, nearest.collect())
    }
}

/// Marks candidates of a tile as not counting.
fn mask(tile: &mut Tile<'_>, candidates: Range<usize>) {
    let Range { start, end } = tile.candidates;
    let (from, to) = (candidates.start.clamp(start, end), candidates.end.clamp(start, end));
    tile.near[from - start..to - start].fill(f32::INFINITY);
}
