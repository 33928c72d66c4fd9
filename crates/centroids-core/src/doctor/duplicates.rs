//! Images that are nearly the same: every pair below a threshold.
//!
//! Pairs are looked at in blocks, so memory does not grow with their number; all are counted, the
//! nearest are kept. Within one file each pair is looked at once.

use std::ops::Range;

use super::cloud::squared_length;
use super::findings::{Duplicates, Estimate, Image, Pair, Pairs};
use super::outliers::{MAD_TO_DEVIATION, median};
use super::{Options, Step};
use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::ids::Pid;
use crate::nearest::{Neighbour, nearest};
use crate::protocol::Metric;
use crate::tiles::Tile;

/// Gallery images, and images compared with them, at a time.
const GALLERY_BLOCK: usize = 4096;
const QUERY_BLOCK: usize = 1024;

/// Most images whose nearest neighbour is looked for to estimate the threshold, and the fewest.
const MOST_SAMPLED: usize = 2000;
const LEAST_SAMPLED: usize = 8;

/// Distances below this share of the squared length are those of identical images.
const IDENTICAL: f64 = 1e-10;

/// The threshold lies this many deviations below the median of ln distance, and at this share of the
/// median at most.
const DEVIATIONS: f64 = 4.0;
const MOST_OF_MEDIAN: f64 = 0.1;

/// All pairs of duplicates in the gallery, and between it and a second file.
pub(super) fn duplicates(
    gallery: &Embeddings,
    against: Option<&Embeddings>,
    options: &Options,
    progress: &mut dyn FnMut(Step),
) -> Duplicates {
    let metric = &options.metric;
    let estimate = match options.duplicate_distance {
        Some(_) => None,
        None => Some(estimate(gallery, metric)),
    };
    let threshold = options.duplicate_distance.or(estimate.map(|e| e.threshold())).unwrap_or(0.0);
    // What two identical vectors are apart, which for the cosine is not 0.
    let threshold = threshold.max(metric.distance.between(&[1.0], &[1.0]));
    let search = Search { gallery, metric, threshold, most: options.max_pairs };
    let list = |query: &Embeddings, nearest: Nearest| Pairs {
        count: nearest.count,
        listed: nearest.sorted().into_iter().map(|found| found.pair(query, gallery)).collect(),
    };
    let [conflicts, redundant] = search.within("comparing images", progress);
    let leaks = against.map(|against| {
        let found = search.between(against, "comparing files", progress);
        let pairs = list(against, found);
        let swap = |pair: Pair| Pair { first: pair.second, second: pair.first, ..pair };
        Pairs { listed: pairs.listed.into_iter().map(swap).collect(), ..pairs }
    });
    let [conflicts, redundant] = [conflicts, redundant].map(|found| list(gallery, found));
    Duplicates { threshold, estimate, leaks, conflicts, redundant }
}

impl Estimate {
    fn threshold(&self) -> f64 {
        let below = self.median * (-DEVIATIONS * self.spread).exp();
        below.min(MOST_OF_MEDIAN * self.median)
    }
}

/// See [`Estimate`].
fn estimate(gallery: &Embeddings, metric: &Metric) -> Estimate {
    let images = Candidates::images(gallery, metric, |_| true);
    let step = images.len().div_ceil(MOST_SAMPLED).max(1);
    let sample: Vec<usize> = (0..images.len()).step_by(step).map(|i| images.rows(i)[0]).collect();
    // Identical ones are passed over, and with them the image itself.
    let found = nearest(&images, gallery, &sample, 1, |row, image| {
        gallery.row(row) != gallery.row(images.rows(image)[0])
    });
    let apart = |(&row, near): (&usize, Vec<Neighbour>)| {
        let distance = near.first()?.distance;
        let scale = squared_length(&metric.prepared(gallery.row(row)));
        (distance > IDENTICAL * scale).then_some(distance)
    };
    let distances: Vec<f64> = sample.iter().zip(found).filter_map(apart).collect();
    let sampled = distances.len();
    let logarithms: Vec<f64> = distances.iter().map(|distance| distance.ln()).collect();
    match median(logarithms.clone()).filter(|_| sampled >= LEAST_SAMPLED) {
        None => Estimate { sampled, median: 0.0, spread: 0.0 },
        Some(centre) => {
            let deviations = logarithms.iter().map(|ln| (ln - centre).abs()).collect();
            let spread = MAD_TO_DEVIATION * median(deviations).unwrap_or(0.0);
            Estimate { sampled, median: centre.exp(), spread }
        }
    }
}

/// What is looked for.
struct Search<'a> {
    gallery: &'a Embeddings,
    metric: &'a Metric,
    threshold: f64,
    /// Pairs kept of each kind.
    most: usize,
}

impl Search<'_> {
    /// Pairs within the gallery: of different pids, and of one.
    fn within(&self, what: &'static str, progress: &mut dyn FnMut(Step)) -> [Nearest; 2] {
        let mut found = [Nearest::new(self.most), Nearest::new(self.most)];
        let pids = self.gallery.pids();
        for block in &blocks(self.gallery.len(), GALLERY_BLOCK) {
            progress(Step { what, done: block.start, total: self.gallery.len() });
            // A pair is found from its lower row, so later rows need not be compared with this block.
            let kind = |query: usize, row: usize| {
                (query < row).then(|| usize::from(pids[query] == pids[row]))
            };
            self.block(block, self.gallery, 0..block.end, &mut found, kind);
        }
        found
    }

    /// Pairs of an image of `against` and one of the gallery.
    fn between(
        &self,
        against: &Embeddings,
        what: &'static str,
        progress: &mut dyn FnMut(Step),
    ) -> Nearest {
        let mut found = [Nearest::new(self.most)];
        for block in &blocks(self.gallery.len(), GALLERY_BLOCK) {
            progress(Step { what, done: block.start, total: self.gallery.len() });
            self.block(block, against, 0..against.len(), &mut found, |_, _| Some(0));
        }
        let [found] = found;
        found
    }

    /// Adds the pairs of some rows of `query` with a block of the gallery, of the kinds that `kind`
    /// says for (row of the query, row of the gallery); `None` = not this pair.
    fn block<const KINDS: usize>(
        &self,
        block: &Range<usize>,
        query: &Embeddings,
        rows: Range<usize>,
        found: &mut [Nearest; KINDS],
        kind: impl Fn(usize, usize) -> Option<usize> + Sync,
    ) {
        let images = Candidates::images(self.gallery, self.metric, |row| block.contains(&row));
        let rows: Vec<usize> = rows.filter(|&row| query.pids()[row] != Pid::JUNK).collect();
        for rows in rows.chunks(QUERY_BLOCK) {
            let mut states = vec![found.each_ref().map(Nearest::fork); rows.len()];
            images.each_tile(query, rows, &mut states, |found, tile| {
                self.see(&images, query, tile, found, &kind);
            });
            for state in states {
                found.iter_mut().zip(state).for_each(|(found, more)| found.absorb(more));
            }
        }
    }

    fn see(
        &self,
        images: &Candidates<'_>,
        query: &Embeddings,
        tile: &Tile<'_>,
        found: &mut [Nearest],
        kind: impl Fn(usize, usize) -> Option<usize>,
    ) {
        let bounds = tile.bounds(self.threshold);
        let mut vector = None;
        for (image, &near) in tile.candidates.clone().zip(tile.near.iter()) {
            if bounds.is_before(near) {
                continue;
            }
            let row = images.rows(image)[0];
            let Some(kind) = kind(tile.query, row) else { continue };
            let found = &mut found[kind];
            if bounds.is_after(near) && tile.bounds(found.limit).is_before(near) {
                found.count += 1;
                continue;
            }
            let vector = vector.get_or_insert_with(|| self.metric.prepared(query.row(tile.query)));
            let distance = images.distance(vector, image);
            if distance <= self.threshold {
                found.add(Found { distance, query: tile.query, row });
            }
        }
    }
}

fn blocks(len: usize, size: usize) -> Vec<Range<usize>> {
    (0..len).step_by(size).map(|start| start..(start + size).min(len)).collect()
}

/// A pair by its rows.
#[derive(Clone, Copy, Debug)]
struct Found {
    distance: f64,
    query: usize,
    row: usize,
}

impl Found {
    fn pair(self, query: &Embeddings, gallery: &Embeddings) -> Pair {
        let (first, second) = (Image::of(query, self.query), Image::of(gallery, self.row));
        Pair { distance: self.distance, first, second }
    }
}

/// The nearest pairs of one kind, and how many there were.
#[derive(Clone, Debug)]
struct Nearest {
    most: usize,
    count: usize,
    /// Up to twice as many as are kept, so that adding one is cheap.
    pairs: Vec<Found>,
    /// What is farther will not be kept.
    limit: f64,
}

impl Nearest {
    fn new(most: usize) -> Self {
        Self { most, count: 0, pairs: Vec::new(), limit: f64::INFINITY }
    }

    /// An empty one that keeps only what this one would.
    fn fork(&self) -> Self {
        Self { count: 0, pairs: Vec::new(), ..*self }
    }

    fn add(&mut self, found: Found) {
        self.count += 1;
        if found.distance <= self.limit {
            self.pairs.push(found);
            if self.pairs.len() > 2 * self.most {
                self.prune();
            }
        }
    }

    fn absorb(&mut self, more: Self) {
        self.count += more.count;
        self.pairs.extend(more.pairs);
        if self.pairs.len() > 2 * self.most {
            self.prune();
        }
    }

    fn prune(&mut self) {
        self.pairs.sort_by(|a, b| {
            a.distance.total_cmp(&b.distance).then((a.query, a.row).cmp(&(b.query, b.row)))
        });
        self.pairs.truncate(self.most);
        if let Some(last) = self.pairs.last().filter(|_| self.pairs.len() == self.most) {
            self.limit = last.distance;
        }
    }

    fn sorted(mut self) -> Vec<Found> {
        self.prune();
        self.pairs
    }
}
