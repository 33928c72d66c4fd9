//! Each image against the rest of its class and against the other classes.

use rayon::prelude::*;

use super::outliers;
use crate::candidates::Candidates;
use crate::centroid::{mean_of, rows_by_pid};
use crate::embeddings::Embeddings;
use crate::ids::Pid;
use crate::nearest::{Neighbour, nearest};
use crate::protocol::Metric;

/// What is known of an image; nothing of junk, and less of the only image of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Distance to the centroid of its class without it; `None` if it is alone.
    pub own: Option<f64>,
    /// Distance to the nearest centroid of another class; `None` if there is no other.
    pub other: Option<f64>,
    /// That class; of equally near ones the one with the lowest pid.
    pub nearest: Option<Pid>,
    /// How unusual [`own`](Self::own) is. Distances, times `(n − 1)/n` to be the same for classes of
    /// any number `n` of images, are compared by their logarithms:
    ///
    /// ```text
    /// z = (ln own − ln max(median of its class, median of all)) / (1.4826 · MAD)
    /// ```
    ///
    /// The centre is the larger median, because an image is an outlier only if it is far for its class
    /// and for the set: wide classes are no outliers as a whole, and near images of tight ones
    /// neither. The scale is one for all, the median absolute deviation of `ln own` from its class's
    /// median, as no class has images enough for its own (at least 0.1: a tenth of a distance is
    /// never unusual). Classes of two count by the median of all, since their images are as far from
    /// each other. Few wrong images move no median.
    pub z: Option<f64>,
}

/// Judges every row: `[n]`.
pub(super) fn judge(gallery: &Embeddings, metric: &Metric) -> Vec<Judgement> {
    let own = own_distances(gallery, metric, |_| true);
    let rows: Vec<usize> = (0..gallery.len()).filter(|&row| is_image(gallery, row)).collect();
    let other = nearest_others(gallery, metric, &rows, |_| true);
    let z = outliers::scores(gallery, &own);
    let of_row =
        own.into_iter().zip(z).map(|(own, z)| Judgement { own, z, ..Judgement::default() });
    let mut judgements: Vec<Judgement> = of_row.collect();
    for (row, other) in rows.into_iter().zip(other) {
        let judgement = &mut judgements[row];
        (judgement.other, judgement.nearest) = other.unzip();
    }
    judgements
}

fn is_image(gallery: &Embeddings, row: usize) -> bool {
    gallery.pids()[row] != Pid::JUNK
}

/// Distance of each row to the centroid of the kept images of its class without itself: `[n]`; `None`
/// for junk and where no such image is left.
pub(super) fn own_distances(
    gallery: &Embeddings,
    metric: &Metric,
    keep: impl Fn(usize) -> bool + Sync,
) -> Vec<Option<f64>> {
    let classes: Vec<Vec<usize>> = rows_by_pid(gallery.pids()).into_values().collect();
    let mut own = vec![None; gallery.len()];
    let of_class = |rows: &Vec<usize>| {
        let mut member = vec![0.0; gallery.dim()];
        let mut sum = vec![0.0; gallery.dim()];
        let kept: Vec<usize> = rows.iter().copied().filter(|&row| keep(row)).collect();
        for &row in &kept {
            mean_of(gallery, &[row], metric.centroid_of, &mut member);
            sum.iter_mut().zip(&member).for_each(|(sum, value)| *sum += value);
        }
        let without = |&row: &usize| {
            let (count, own) = if keep(row) { (kept.len() - 1, 1.0) } else { (kept.len(), 0.0) };
            if count == 0 {
                return None;
            }
            let mut centroid = vec![0.0; gallery.dim()];
            mean_of(gallery, &[row], metric.centroid_of, &mut centroid);
            for (value, sum) in centroid.iter_mut().zip(&sum) {
                *value = (sum - own * *value) / count as f64;
            }
            metric.prepare(&mut centroid);
            let vector = metric.prepared(gallery.row(row));
            Some((row, metric.distance.between_prepared(&vector, &centroid)))
        };
        rows.par_iter().filter_map(without).collect::<Vec<_>>()
    };
    for (row, distance) in classes.par_iter().flat_map(of_class).collect::<Vec<_>>() {
        own[row] = Some(distance);
    }
    own
}

/// Distance to the nearest centroid, of kept images, of another class than the query's own, and its
/// pid; of equally near ones the lowest. `[queries.len()]`
pub(super) fn nearest_others(
    gallery: &Embeddings,
    metric: &Metric,
    queries: &[usize],
    keep: impl Fn(usize) -> bool,
) -> Vec<Option<(f64, Pid)>> {
    let means = Candidates::means(gallery, metric, keep);
    let other = |query: usize, class: usize| gallery.pids()[query] != means.pids()[class];
    let found = nearest(&means, gallery, queries, 1, other);
    let pair = |near: &Neighbour| (near.distance, means.pids()[near.row as usize]);
    found.iter().map(|near| near.first().map(pair)).collect()
}
