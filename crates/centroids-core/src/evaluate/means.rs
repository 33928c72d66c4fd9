//! Scores where the mean embeddings of identities are the candidates.

use std::collections::BTreeMap;

use super::pass::{ByRule, Followed, Pass, by_rule};
use super::precede::{ClassCount, Key};
use super::{Scores, all_rows};
use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::ids::CamId;
use crate::protocol::{CameraRule, Metric};

/// Scores of each query as [`Unit::Centroid`](crate::Unit::Centroid).
///
/// One pass over the means of all images serves every rule: only a query's own identity is another
/// mean there, and compared exactly. Under [`CameraRule::Cross`] so are the other identities that
/// the query's camera saw; these are gone through for the queries of each camera together.
pub(super) fn score(
    query: &Embeddings,
    gallery: &Embeddings,
    metric: &Metric,
    cross: bool,
) -> Vec<Scores> {
    let means = Candidates::means(gallery, metric, |_| true);
    let means = Pass::new(query, gallery, metric, means, cross);
    let begin = |row: usize| {
        Followed::new(Vec::new(), by_rule(|rule| own_mean(&means, query, gallery, row, rule)))
    };
    let mut counts = means.follow(&all_rows(query), begin, |_, seen| seen.classes);
    if cross {
        for (camid, rows) in rows_by_camera(query) {
            count_without_camera(&means, query, gallery, metric, (camid, &rows), &mut counts);
        }
    }
    counts.into_iter().map(|counts| counts.map(|count| count.score())).collect()
}

/// How far the query is from the mean of its identity's images that count.
fn own_mean(
    means: &Pass<'_>,
    query: &Embeddings,
    gallery: &Embeddings,
    row: usize,
    rule: CameraRule,
) -> Option<Key> {
    let own = means.own(row).next()?;
    let counts = |image: usize| rule.allows(query.camids()[row], gallery.camids()[image], true);
    let images = means.candidates.rows(own).iter().copied();
    let images: Vec<usize> = images.filter(|&image| counts(image)).collect();
    let distance = || means.candidates.distance_to_mean(&means.prepared(row), &images);
    (!images.is_empty()).then(|| Key { distance: distance(), place: own })
}

fn rows_by_camera(query: &Embeddings) -> BTreeMap<CamId, Vec<usize>> {
    let mut rows: BTreeMap<CamId, Vec<usize>> = BTreeMap::new();
    for (row, camid) in query.camids().iter().enumerate() {
        camid.iter().for_each(|&camid| rows.entry(camid).or_default().push(row));
    }
    rows
}

/// Adds, for the queries of one camera, the identities it saw, each by the mean of what others saw.
fn count_without_camera(
    means: &Pass<'_>,
    query: &Embeddings,
    gallery: &Embeddings,
    metric: &Metric,
    (camid, rows): (CamId, &[usize]),
    counts: &mut [ByRule<ClassCount>],
) {
    let mut others = Candidates::new(gallery, metric);
    for &class in means.seen_by(camid) {
        let elsewhere = |&image: &usize| gallery.camids()[image] != Some(camid);
        let images = means.candidates.rows(class).iter().copied();
        let images: Vec<usize> = images.filter(elsewhere).collect();
        others.push(means.candidates.pids()[class], &images);
    }
    let others = Pass::new(query, gallery, metric, others, false);
    const WITHIN: usize = CameraRule::Market as usize;
    const CROSS: usize = CameraRule::Cross as usize;
    let begin = |row: usize| {
        let mut limits = by_rule(|_| None);
        let limit = counts[row][CROSS].limit;
        limits[WITHIN] = limit.map(|limit| Key { place: others.own_class(row), ..limit });
        Followed::new(Vec::new(), limits)
    };
    let before = others.follow(rows, begin, |_, seen| seen.classes[WITHIN].before);
    for (&row, before) in rows.iter().zip(before) {
        counts[row][CROSS].before += before;
    }
}
