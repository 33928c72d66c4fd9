//! Mean embeddings of identities.

mod class_sums;
mod in_parts;

use std::collections::BTreeMap;

use crate::distance::{Distance, unit_scale};
use crate::embeddings::Embeddings;
use crate::ids::Pid;
use crate::names::named_enum;

pub use class_sums::ClassSums;
pub use in_parts::CentroidsInParts;

/// What a centroid is the mean of. The centroid itself is not normalised here: comparing does that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CentroidOf {
    /// Embeddings as the model gives them (the reference's order: average, then normalise).
    #[default]
    Raw,
    /// Embeddings divided by their length, so that long ones weigh no more than short ones.
    Unit,
}

named_enum!(CentroidOf, "kind of centroid", { Raw => "raw", Unit => "unit" });

impl CentroidOf {
    /// What an embedding is multiplied by before it is averaged.
    pub fn weight(self, row: &[f32]) -> f64 {
        match self {
            Self::Raw => 1.0,
            Self::Unit => unit_scale(row),
        }
    }
}

/// Writes the mean of the given rows into `mean`, `[dim]`. There must be at least one row.
pub(crate) fn mean_of(embeddings: &Embeddings, rows: &[usize], of: CentroidOf, mean: &mut [f64]) {
    mean.fill(0.0);
    for row in rows.iter().map(|&row| embeddings.row(row)) {
        add_scaled(mean, row, of.weight(row));
    }
    if rows.len() > 1 {
        let n = rows.len() as f64;
        mean.iter_mut().for_each(|value| *value /= n);
    }
}

fn add_scaled(sum: &mut [f64], row: &[f32], scale: f64) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += scale * f64::from(value);
    }
}

/// The rows of each identity, junk left out; rows ascending.
pub(crate) fn rows_by_pid(pids: &[Pid]) -> BTreeMap<Pid, Vec<usize>> {
    let mut rows: BTreeMap<Pid, Vec<usize>> = BTreeMap::new();
    for (row, &pid) in pids.iter().enumerate().filter(|(_, pid)| **pid != Pid::JUNK) {
        rows.entry(pid).or_default().push(row);
    }
    rows
}

/// One row per identity of the gallery, ascending by pid: the mean of its images, not normalised.
///
/// Junk is left out. The path of a centroid is that of the image whose (with [`CentroidOf::Unit`]
/// normalised) embedding is nearest to it, its camera is `None`; model and pid names are kept.
pub fn centroids(gallery: &Embeddings, of: CentroidOf) -> Embeddings {
    let classes = rows_by_pid(gallery.pids());
    let mut means = Vec::with_capacity(classes.len() * gallery.dim());
    let mut examples = Vec::with_capacity(classes.len());
    let mut mean = vec![0.0; gallery.dim()];
    for rows in classes.values() {
        mean_of(gallery, rows, of, &mut mean);
        examples.push(nearest_row(gallery, rows, of, &mean));
        means.extend(mean.iter().map(|&value| value as f32));
    }
    gallery.select(&examples).into_centroids(means)
}

fn nearest_row(gallery: &Embeddings, rows: &[usize], of: CentroidOf, mean: &[f64]) -> usize {
    let mut member = vec![0.0; gallery.dim()];
    let mut nearest = (f64::INFINITY, rows[0]);
    for &row in rows {
        mean_of(gallery, &[row], of, &mut member);
        let distance = Distance::SquaredEuclidean.between_prepared(&member, mean);
        if distance < nearest.0 {
            nearest = (distance, row);
        }
    }
    nearest.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CamId;

    fn gallery() -> Embeddings {
        let values = vec![3.0, 4.0, 0.0, 0.5, 9.0, 9.0, 1.0, 0.0];
        let pids = [4, 4, -1, 2].map(Pid).to_vec();
        let paths = ["a", "b", "junk", "c"].map(str::to_owned).to_vec();
        Embeddings::new(2, values, pids, vec![Some(CamId(1)); 4], paths)
            .unwrap()
            .with_model("m".to_owned())
            .with_normalized(true)
    }

    #[test]
    fn one_mean_per_pid_without_junk() {
        let means = centroids(&gallery(), CentroidOf::Raw);
        assert_eq!(means.pids(), [Pid(2), Pid(4)]);
        assert_eq!(means.values(), [1.0, 0.0, 1.5, 2.25]);
        assert_eq!(means.camids(), [None, None]);
        // Both members of pid 4 are equally far from their mean: the first stands for it.
        assert_eq!(means.paths(), ["c", "a"]);
        assert_eq!((means.model(), means.normalized()), ("m", false));
    }

    #[test]
    fn unit_centroids_average_directions() {
        let means = centroids(&gallery(), CentroidOf::Unit);
        assert_eq!(means.row(1), [0.3, 0.9]);
    }
}
