//! Identities that the gallery lacks: how often is such a query noticed, and how many of the others
//! are still found?
//!
//! A query is answered with its nearest candidate if that is near enough, and else called unknown.
//! The false-positive identification rate (FPIR) is the share of queries without a mate in the
//! gallery that are answered nevertheless; the detection-and-identification rate (DIR, at rank 1) is
//! the share of queries with a mate whose nearest candidate is right and near enough (Phillips,
//! Grother and Micheals 2011; ISO/IEC 19795-1).

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::comparison::{Compared, Comparison};
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::Pid;
use crate::protocol::{CameraRule, Metric, Unit};
use crate::roc::{ImpostorCounter, Roc, RocPoint};

/// False-positive identification rates at which the open set is reported unless others are asked for.
pub const OPEN_SET_RATES: [f64; 3] = [1e-3, 1e-2, 1e-1];

/// Share of the identities held out where there are too few unknown queries.
const HELD_OUT: f64 = 0.5;

/// Points of the curve in an [`OpenSet`], at most (about).
const DRAWN: usize = 200;

/// How to come by queries without a mate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unknowns {
    /// Share of the identities with queries to take out of the gallery. `None`: none, unless the
    /// queries whose identity it lacks are too few to measure the smallest rate asked for; then half.
    pub share: Option<f64>,
    /// The same seed holds out the same identities.
    pub seed: u64,
}

/// How queries without a mate were come by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum UnknownBy {
    /// Their identities were never in the gallery.
    Absent,
    /// These, and those of identities that were taken out of it.
    HeldOut {
        /// Identities taken out.
        identities: usize,
        /// Seed of the choice.
        seed: u64,
    },
}

/// What a search for unknown identities is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenSet {
    /// What was ranked.
    pub unit: Unit,
    /// What was left out.
    pub cameras: CameraRule,
    /// Queries with a mate in the gallery.
    pub known_queries: usize,
    /// Queries without one.
    pub unknown_queries: usize,
    /// Queries that are junk, or whose mates the camera rule all leaves out.
    pub skipped_queries: usize,
    /// Where the unknown ones come from.
    pub unknown: UnknownBy,
    /// Share of known queries whose nearest candidate is right: DIR if nothing is refused.
    pub rank1: f64,
    /// DIR at each rate asked for.
    pub at: Vec<OpenSetRate>,
    /// DIR over FPIR, thinned for drawing.
    pub curve: Vec<IdentificationPoint>,
}

/// What can be had at a false-positive identification rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OpenSetRate {
    /// The rate that must not be exceeded.
    pub rate: f64,
    /// The best threshold; `None` if there are too few unknown queries to measure the rate.
    pub point: Option<IdentificationPoint>,
}

/// One threshold and what it does; rates are fractions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IdentificationPoint {
    /// Largest distance that is answered; `None` where nothing, or everything, is.
    pub threshold: Option<f64>,
    /// Share of unknown queries that are answered.
    pub fpir: f64,
    /// Share of known queries that are answered with their identity.
    pub dir: f64,
}

impl From<RocPoint> for IdentificationPoint {
    fn from(point: RocPoint) -> Self {
        Self { threshold: point.threshold, fpir: point.fpr, dir: point.tpr }
    }
}

/// Searches for every query and counts what thresholds would do.
///
/// Exact, with the distances of [`rank`](crate::rank()). A query whose identity is in the gallery but
/// only with images that the camera rule leaves out is skipped, as in an evaluation.
///
/// # Errors
/// [`Error::DimensionMismatch`]; [`Error::NoOpenSet`] without known or without unknown queries.
pub fn open_set(
    query: &Embeddings,
    gallery: &Embeddings,
    (unit, cameras): (Unit, CameraRule),
    metric: &Metric,
    unknowns: &Unknowns,
    rates: &[f64],
) -> Result<OpenSet, Error> {
    let comparison = Comparison { query, gallery, unit, cameras, metric };
    let trials = Trials::new(&comparison, unknowns, rates)?;
    let roc = trials.roc();
    let at = roc.at_rates(rates).into_iter();
    Ok(OpenSet {
        unit,
        cameras,
        known_queries: trials.known.len(),
        unknown_queries: trials.unknown.len(),
        skipped_queries: trials.skipped,
        unknown: trials.by,
        rank1: trials.rank1(),
        at: at.map(|at| OpenSetRate { rate: at.rate, point: at.point.map(Into::into) }).collect(),
        curve: roc.points(DRAWN).into_iter().map(Into::into).collect(),
    })
}

/// The nearest candidate of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Nearest {
    /// Infinite if there is no candidate.
    pub(crate) distance: f64,
    /// Whether it is the query's identity.
    pub(crate) right: bool,
}

/// Every search, by whether it can succeed.
pub(crate) struct Trials {
    pub(crate) known: Vec<Nearest>,
    pub(crate) unknown: Vec<Nearest>,
    skipped: usize,
    pub(crate) by: UnknownBy,
}

impl Trials {
    /// Searches for every query, with enough unknown ones for the smallest of the rates if possible.
    pub(crate) fn new(
        comparison: &Comparison<'_>,
        unknowns: &Unknowns,
        rates: &[f64],
    ) -> Result<Self, Error> {
        comparison.check()?;
        let held_out = held_out(comparison, unknowns, rates);
        let present: BTreeSet<Pid> =
            pids(comparison.gallery).difference(&held_out).copied().collect();
        let queries: Vec<usize> = (0..comparison.query.len()).collect();
        let nearest = comparison.each(&queries, |seen| {
            let wanted = comparison.query.pids()[seen.query];
            let known = present.contains(&wanted);
            let counts = wanted != Pid::JUNK && (!known || has_mate(seen, wanted));
            counts.then(|| (known, nearest(seen, wanted, &held_out)))
        });
        let skipped = nearest.iter().filter(|found| found.is_none()).count();
        let (known, unknown): (Vec<_>, Vec<_>) =
            nearest.into_iter().flatten().partition(|(known, _)| *known);
        if known.is_empty() || unknown.is_empty() {
            return Err(Error::NoOpenSet { known: known.len(), unknown: unknown.len() });
        }
        let seed = unknowns.seed;
        let by = match held_out.len() {
            0 => UnknownBy::Absent,
            identities => UnknownBy::HeldOut { identities, seed },
        };
        let only = |found: Vec<(bool, Nearest)>| found.into_iter().map(|found| found.1).collect();
        Ok(Self { known: only(known), unknown: only(unknown), skipped, by })
    }

    /// Known queries are genuine trials, accepted where they are answered rightly; unknown ones are
    /// impostors.
    pub(crate) fn roc(&self) -> Roc {
        let right = self.known.iter().filter(|nearest| nearest.right);
        let counter = ImpostorCounter::new(right.map(|nearest| nearest.distance).collect());
        self.unknown.iter().for_each(|nearest| counter.add(nearest.distance));
        counter.finish(self.known.len() as u64)
    }

    fn rank1(&self) -> f64 {
        let right = self.known.iter().filter(|nearest| nearest.right).count();
        right as f64 / self.known.len() as f64
    }
}

/// The identities to take out of the gallery.
fn held_out(comparison: &Comparison<'_>, unknowns: &Unknowns, rates: &[f64]) -> BTreeSet<Pid> {
    let (queries, gallery) = (pids(comparison.query), pids(comparison.gallery));
    let absent = |pid: &&Pid| **pid != Pid::JUNK && !gallery.contains(pid);
    let unknown = comparison.query.pids().iter().filter(absent).count();
    let measurable = rates.iter().all(|&rate| crate::roc::allowance(rate, unknown as u64) > 0);
    let share = match unknowns.share {
        Some(share) => share,
        None if unknown > 0 && measurable => 0.0,
        None => HELD_OUT,
    };
    let mut both: Vec<Pid> = queries.intersection(&gallery).copied().collect();
    both.shuffle(&mut ChaCha8Rng::seed_from_u64(unknowns.seed));
    // One at least stays to be found, and one at least is taken if any is to be.
    let most = both.len().saturating_sub(1);
    let wanted = (share * both.len() as f64).round() as usize;
    let wanted = if share > 0.0 { wanted.max(1) } else { 0 };
    both.into_iter().take(wanted.min(most)).collect()
}

/// Identities of a set, without junk.
fn pids(set: &Embeddings) -> BTreeSet<Pid> {
    set.pids().iter().copied().filter(|&pid| pid != Pid::JUNK).collect()
}

fn has_mate(seen: &Compared<'_>, wanted: Pid) -> bool {
    let candidates = seen.candidates.pids().iter().zip(seen.distances);
    candidates.into_iter().any(|(&pid, &distance)| pid == wanted && distance != f64::INFINITY)
}

/// The first in the order of [`rank`](crate::rank()) that is not held out.
fn nearest(seen: &Compared<'_>, wanted: Pid, held_out: &BTreeSet<Pid>) -> Nearest {
    let mut nearest = Nearest { distance: f64::INFINITY, right: false };
    for (&pid, &distance) in seen.candidates.pids().iter().zip(seen.distances) {
        if distance < nearest.distance && !held_out.contains(&pid) {
            nearest = Nearest { distance, right: pid == wanted };
        }
    }
    nearest
}
