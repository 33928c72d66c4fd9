//! Centroids kept up to date while images come and go.

use std::collections::BTreeMap;

use super::{CentroidOf, add_scaled};
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::{CamId, Pid};

/// Sums and counts of embeddings per identity and camera, from which every centroid follows.
///
/// With `S`, `n` of an identity and `S_c`, `n_c` of its images from camera `c`, the centroid without
/// that camera is
///
/// ```text
/// (S − S_c) / (n − n_c)
/// ```
///
/// so adding or removing an image and asking for any centroid costs `O(d)`. Sums are `f64`: their
/// rounding is far below that of the `f32` embeddings.
#[derive(Clone, Debug)]
pub struct ClassSums {
    dim: usize,
    of: CentroidOf,
    classes: BTreeMap<Pid, Class>,
}

#[derive(Clone, Debug)]
struct Class {
    total: Sum,
    /// Known cameras only: nothing is ever subtracted for an unknown one.
    cameras: BTreeMap<CamId, Sum>,
}

#[derive(Clone, Debug)]
struct Sum {
    values: Vec<f64>,
    count: usize,
}

impl ClassSums {
    /// No images yet; they will have `dim` dimensions.
    pub fn new(dim: usize, of: CentroidOf) -> Self {
        Self { dim, of, classes: BTreeMap::new() }
    }

    /// The sums of a whole gallery. Junk (pid −1) is left out.
    pub fn of(gallery: &Embeddings, of: CentroidOf) -> Self {
        let mut sums = Self::new(gallery.dim(), of);
        for (row, (&pid, &camid)) in gallery.pids().iter().zip(gallery.camids()).enumerate() {
            sums.add_row(pid, camid, gallery.row(row));
        }
        sums
    }

    /// Adds an image. Junk (pid −1) is ignored.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`].
    pub fn add(&mut self, pid: Pid, camid: Option<CamId>, row: &[f32]) -> Result<(), Error> {
        self.check_dim(row)?;
        self.add_row(pid, camid, row);
        Ok(())
    }

    /// Takes out an image that was added with the same pid, camera and embedding; that it was is
    /// checked for pid and camera only. Junk (pid −1) is ignored.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`], or [`Error::NotAMember`] if no such image is in the sums.
    pub fn remove(&mut self, pid: Pid, camid: Option<CamId>, row: &[f32]) -> Result<(), Error> {
        self.check_dim(row)?;
        if pid == Pid::JUNK {
            return Ok(());
        }
        let class = self.classes.get_mut(&pid).filter(|class| class.count(camid) > 0);
        let Some(class) = class else {
            return Err(Error::NotAMember { pid, camid });
        };
        let weight = self.of.weight(row);
        class.total.remove(row, weight);
        if let Some(part) = camid.and_then(|camid| class.cameras.get_mut(&camid)) {
            part.remove(row, weight);
        }
        // Dropping what is empty also drops the rounding left in its sum.
        class.cameras.retain(|_, part| part.count > 0);
        if class.total.count == 0 {
            self.classes.remove(&pid);
        }
        Ok(())
    }

    /// Identities with at least one image, ascending.
    pub fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.classes.keys().copied()
    }

    /// Number of images of an identity.
    pub fn count(&self, pid: Pid) -> usize {
        self.classes.get(&pid).map_or(0, |class| class.total.count)
    }

    /// Mean embedding of an identity, `[dim]`, not normalised; with `without`, of its images from
    /// other cameras (images of unknown camera included). `None` if there is no such image.
    pub fn centroid(&self, pid: Pid, without: Option<CamId>) -> Option<Vec<f64>> {
        let class = self.classes.get(&pid)?;
        let left_out = without.and_then(|camid| class.cameras.get(&camid));
        let Some(left_out) = left_out else {
            return Some(
                class.total.values.iter().map(|sum| sum / class.total.count as f64).collect(),
            );
        };
        let count = class.total.count - left_out.count;
        let rest = class.total.values.iter().zip(&left_out.values).map(|(all, part)| all - part);
        (count > 0).then(|| rest.map(|sum| sum / count as f64).collect())
    }

    fn check_dim(&self, row: &[f32]) -> Result<(), Error> {
        if row.len() != self.dim {
            return Err(Error::DimensionMismatch { query: row.len(), gallery: self.dim });
        }
        Ok(())
    }

    fn add_row(&mut self, pid: Pid, camid: Option<CamId>, row: &[f32]) {
        if pid == Pid::JUNK {
            return;
        }
        let weight = self.of.weight(row);
        let dim = self.dim;
        let class = self
            .classes
            .entry(pid)
            .or_insert_with(|| Class { total: Sum::zero(dim), cameras: BTreeMap::new() });
        class.total.add(row, weight);
        if let Some(camid) = camid {
            class.cameras.entry(camid).or_insert_with(|| Sum::zero(dim)).add(row, weight);
        }
    }
}

impl Class {
    /// Images from a camera, or those of unknown camera.
    fn count(&self, camid: Option<CamId>) -> usize {
        match camid {
            Some(camid) => self.cameras.get(&camid).map_or(0, |part| part.count),
            None => self.total.count - self.cameras.values().map(|part| part.count).sum::<usize>(),
        }
    }
}

impl Sum {
    fn zero(dim: usize) -> Self {
        Self { values: vec![0.0; dim], count: 0 }
    }

    fn add(&mut self, row: &[f32], weight: f64) {
        add_scaled(&mut self.values, row, weight);
        self.count += 1;
    }

    fn remove(&mut self, row: &[f32], weight: f64) {
        add_scaled(&mut self.values, row, -weight);
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA_0: Option<CamId> = Some(CamId(0));
    const CAMERA_1: Option<CamId> = Some(CamId(1));

    fn sums() -> ClassSums {
        let mut sums = ClassSums::new(2, CentroidOf::Raw);
        sums.add(Pid(7), CAMERA_0, &[1.0, 0.0]).unwrap();
        sums.add(Pid(7), CAMERA_1, &[3.0, 2.0]).unwrap();
        sums.add(Pid(7), None, &[5.0, 4.0]).unwrap();
        sums.add(Pid(3), CAMERA_0, &[8.0, 8.0]).unwrap();
        sums
    }

    #[test]
    fn a_camera_is_left_out_by_subtraction() {
        let sums = sums();
        assert_eq!(sums.pids().collect::<Vec<_>>(), [Pid(3), Pid(7)]);
        assert_eq!(sums.centroid(Pid(7), None), Some(vec![3.0, 2.0]));
        assert_eq!(sums.centroid(Pid(7), CAMERA_0), Some(vec![4.0, 3.0]));
        assert_eq!(sums.centroid(Pid(7), Some(CamId(9))), Some(vec![3.0, 2.0]));
        assert_eq!(sums.centroid(Pid(3), CAMERA_0), None);
        assert_eq!(sums.centroid(Pid(5), None), None);
    }

    #[test]
    fn removing_undoes_adding() {
        let mut sums = sums();
        sums.remove(Pid(7), CAMERA_1, &[3.0, 2.0]).unwrap();
        assert_eq!(sums.centroid(Pid(7), None), Some(vec![3.0, 2.0]));
        assert_eq!(sums.count(Pid(7)), 2);
        sums.remove(Pid(3), CAMERA_0, &[8.0, 8.0]).unwrap();
        assert_eq!(sums.pids().collect::<Vec<_>>(), [Pid(7)]);
    }

    #[test]
    fn what_is_not_there_cannot_be_removed() {
        let error = sums().remove(Pid(3), None, &[8.0, 8.0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no image of pid 3 from camera unknown is in the sums: nothing to remove"
        );
        assert!(matches!(
            sums().add(Pid(3), None, &[8.0]),
            Err(Error::DimensionMismatch { query: 1, gallery: 2 })
        ));
    }

    #[test]
    fn junk_is_ignored() {
        let mut sums = sums();
        sums.add(Pid::JUNK, CAMERA_0, &[1.0, 1.0]).unwrap();
        sums.remove(Pid::JUNK, CAMERA_0, &[1.0, 1.0]).unwrap();
        assert_eq!(sums.count(Pid::JUNK), 0);
    }
}
