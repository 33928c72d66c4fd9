//! The order of what was found, which is the same in every engine.

use std::collections::BTreeSet;

use centroids_core::{Pid, Unit};

use crate::member::MemberId;
use crate::question::SearchOptions;

/// Something found, with its exact distance.
pub(crate) trait Found {
    fn distance(&self) -> f64;
    fn pid(&self) -> Pid;
    /// The image found; `None` of a centroid.
    fn member(&self) -> Option<MemberId>;
}

/// Hits that are put in order: one more than asked for, for the margin.
pub(crate) fn wanted(options: &SearchOptions) -> usize {
    options.k.max(2)
}

/// Puts what was found in order, identities by their nearest, and tells the margin. More than `k` may
/// be left.
pub(crate) fn rank(found: &mut Vec<impl Found>, options: &SearchOptions) -> Option<f64> {
    found.sort_by(|a, b| {
        let order = a.distance().total_cmp(&b.distance());
        order.then_with(|| (a.pid(), a.member()).cmp(&(b.pid(), b.member())))
    });
    if options.unit != Unit::Instance {
        let mut pids = BTreeSet::new();
        found.retain(|found| pids.insert(found.pid()));
    }
    let first = found.first()?;
    let other = found.iter().take(wanted(options)).find(|found| found.pid() != first.pid());
    other.map(|other| other.distance() - first.distance())
}
