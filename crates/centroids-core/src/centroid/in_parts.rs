//! Centroids of a gallery that is never in memory as a whole.

use std::collections::BTreeMap;

use super::{CentroidOf, add_scaled};
use crate::distance::Distance;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::Pid;

/// Means of identities whose images lie in several parts of a gallery: what
/// [`centroids`](super::centroids) gives for all of them, bit for bit, whatever the cuts.
///
/// All parts go through [`add`](Self::add), then through [`choose`](Self::choose), both times in the
/// order of the gallery. Memory is that of the sums, 8 bytes for a number.
#[derive(Debug)]
pub struct CentroidsInParts {
    of: CentroidOf,
    /// No rows, but dimensions and model.
    like: Embeddings,
    pid_names: BTreeMap<Pid, String>,
    classes: BTreeMap<Pid, Class>,
}

#[derive(Debug)]
struct Class {
    /// The sum while parts are added, then the mean.
    values: Vec<f64>,
    count: usize,
    /// The image nearest to the mean, once chosen.
    nearest: Option<(f64, String)>,
}

impl CentroidsInParts {
    /// No images yet; they are of the kind of `first`, which is not added by this.
    pub fn like(first: &Embeddings, of: CentroidOf) -> Self {
        Self { of, like: first.select(&[]), pid_names: BTreeMap::new(), classes: BTreeMap::new() }
    }

    /// Adds the images of a part. Junk (pid −1) is left out.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`].
    pub fn add(&mut self, part: &Embeddings) -> Result<(), Error> {
        part.check_dimensions(&self.like)?;
        self.pid_names.extend(part.pid_names().iter().map(|(pid, name)| (*pid, name.clone())));
        let dim = part.dim();
        for (row, &pid) in part.pids().iter().enumerate().filter(|(_, pid)| **pid != Pid::JUNK) {
            let none = || Class { values: vec![0.0; dim], count: 0, nearest: None };
            let class = self.classes.entry(pid).or_insert_with(none);
            add_scaled(&mut class.values, part.row(row), self.of.weight(part.row(row)));
            class.count += 1;
        }
        Ok(())
    }

    /// Divides the sums: from here on parts are chosen from.
    #[must_use]
    pub fn average(mut self) -> Self {
        for class in self.classes.values_mut() {
            let n = class.count as f64;
            class.values.iter_mut().for_each(|value| *value /= n);
        }
        self
    }

    /// Looks among the images of a part for those that stand for their identity.
    pub fn choose(&mut self, part: &Embeddings) {
        let mut member = vec![0.0; part.dim()];
        for (row, pid) in part.pids().iter().enumerate() {
            let Some(class) = self.classes.get_mut(pid) else { continue };
            member.fill(0.0);
            add_scaled(&mut member, part.row(row), self.of.weight(part.row(row)));
            let distance = Distance::SquaredEuclidean.between_prepared(&member, &class.values);
            if class.nearest.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                class.nearest = Some((distance, part.paths()[row].clone()));
            }
        }
    }

    /// One row per identity, ascending.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a mean is beyond single precision.
    pub fn finish(self) -> Result<Embeddings, Error> {
        let dim = self.like.dim();
        let (mut pids, mut values, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for (pid, class) in self.classes {
            pids.push(pid);
            values.extend(class.values.iter().map(|&value| value as f32));
            paths.push(class.nearest.map(|(_, path)| path).unwrap_or_default());
        }
        let camids = vec![None; pids.len()];
        Ok(Embeddings::new(dim, values, pids, camids, paths)?
            .with_model(self.like.model().to_owned())
            .with_model_path(self.like.model_path().to_owned())
            .with_pid_names(self.pid_names))
    }
}
