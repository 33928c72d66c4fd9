//! Query expansion and augmentation of the gallery: vectors averaged with their neighbours.

use rayon::prelude::*;

use serde::Serialize;

use crate::candidates::Candidates;
use crate::distance::{Distance, unit_scale};
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::CamId;
use crate::nearest::nearest;
use crate::protocol::{CameraRule, Metric};

/// With how many neighbours a vector is averaged, and how much each weighs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Expansion {
    /// How many of the nearest gallery images; 1 at least. Fewer if there are not as many.
    pub neighbours: usize,
    /// A neighbour weighs `max(cos, 0)^alpha`, the vector itself 1. 0 is the plain average.
    pub alpha: f64,
}

impl Expansion {
    /// # Errors
    /// [`Error::BadSetting`] names the setting that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        if self.neighbours == 0 {
            let (name, found) = ("neighbours", "0".to_owned());
            return Err(Error::BadSetting { name, found, wanted: "1 or more" });
        }
        if self.alpha.is_finite() && self.alpha >= 0.0 {
            return Ok(());
        }
        let found = self.alpha.to_string();
        Err(Error::BadSetting { name: "alpha", found, wanted: "0 or more, and finite" })
    }
}

/// Query expansion: each query is replaced by the mean of itself and its nearest gallery images.
///
/// With `alpha` 0 this is average query expansion (Chum, Philbin, Sivic, Isard, Zisserman 2007),
/// else α-QE (Radenović, Tolias, Chum 2018). Junk is not averaged. Where `metric` normalises,
/// vectors are normalised before and after.
///
/// Under any camera rule but [`CameraRule::Any`] no image from the query's camera is averaged: that
/// is all of [`CameraRule::Cross`], and for [`CameraRule::Market`], which leaves out such images of
/// the query's own identity only, the strictest that does not look at the identity, which a search
/// cannot know. Published code looks at no camera, so near-duplicates of the query that do not count
/// are in its mean.
///
/// # Errors
/// [`Error::DimensionMismatch`], [`Error::BadSetting`].
pub fn expand_queries(
    query: &Embeddings,
    gallery: &Embeddings,
    cameras: CameraRule,
    metric: &Metric,
    expansion: &Expansion,
) -> Result<Embeddings, Error> {
    expansion.check()?;
    query.check_dimensions(gallery)?;
    let images = Candidates::images(gallery, metric, |_| true);
    let admits = |query_row: usize, image: usize| {
        let camid = gallery.camids()[images.rows(image)[0]];
        cameras == CameraRule::Any || !CamId::same(query.camids()[query_row], camid)
    };
    Ok(averaged(query, &images, expansion, admits))
}

/// Database-side augmentation (Arandjelović, Zisserman 2012): each gallery image is replaced by the
/// mean of itself and its nearest gallery images, weighted as in [`expand_queries`].
///
/// Under any camera rule but [`CameraRule::Any`] an image is averaged with images from its own
/// camera, or from unknown ones, only: so whatever camera a query comes from, nothing that does not
/// count for it is in an image that does. Junk is not averaged with.
///
/// # Errors
/// [`Error::BadSetting`].
pub fn augment_gallery(
    gallery: &Embeddings,
    cameras: CameraRule,
    metric: &Metric,
    expansion: &Expansion,
) -> Result<Embeddings, Error> {
    expansion.check()?;
    let images = Candidates::images(gallery, metric, |_| true);
    let admits = |row: usize, image: usize| {
        let other = images.rows(image)[0];
        let [own, camid] = [row, other].map(|row| gallery.camids()[row]);
        other != row && (cameras == CameraRule::Any || camid.is_none() || camid == own)
    };
    Ok(averaged(gallery, &images, expansion, admits))
}

/// Each row of `set` with its nearest among the images that it `admits`: asked for (row, image).
fn averaged(
    set: &Embeddings,
    images: &Candidates<'_>,
    expansion: &Expansion,
    admits: impl Fn(usize, usize) -> bool + Sync,
) -> Embeddings {
    let metric = images.metric();
    let all: Vec<usize> = (0..set.len()).collect();
    let found = nearest(images, set, &all, expansion.neighbours, admits);
    let normalized = metric.normalize || metric.distance == Distance::Cosine;
    let mut values = vec![0.0; set.values().len()]; // [n, dim]
    let rows = values.par_chunks_exact_mut(set.dim()).enumerate();
    rows.for_each_init(
        || vec![0.0; set.dim()],
        |other, (row, values)| {
            let vector = metric.prepared(set.row(row));
            let (mut sum, mut weights) = (vector.clone(), 1.0);
            for near in &found[row] {
                images.write_vector(images.rows(near.row as usize), other);
                let weight = cosine(&vector, other).max(0.0).powf(expansion.alpha);
                sum.iter_mut().zip(&*other).for_each(|(sum, value)| *sum += weight * value);
                weights += weight;
            }
            sum.iter_mut().for_each(|sum| *sum /= weights);
            metric.prepare(&mut sum);
            values.iter_mut().zip(sum).for_each(|(value, sum)| *value = sum as f32);
        },
    );
    set.with_vectors(values).with_normalized(normalized)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    dot * unit_scale(a) * unit_scale(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centroid::CentroidOf;
    use crate::ids::Pid;

    const RAW: Metric = Metric {
        distance: Distance::SquaredEuclidean,
        normalize: false,
        centroid_of: CentroidOf::Raw,
    };
    const AVERAGE: Expansion = Expansion { neighbours: 2, alpha: 0.0 };

    /// Images on a line (value, pid, camera).
    fn line(images: &[(f32, i64, u32)]) -> Embeddings {
        let values = images.iter().flat_map(|&(value, ..)| [value, 1.0]).collect();
        let pids = images.iter().map(|&(_, pid, _)| Pid(pid)).collect();
        let camids = images.iter().map(|&(.., camid)| Some(CamId(camid))).collect();
        Embeddings::new(2, values, pids, camids, vec![String::new(); images.len()]).unwrap()
    }

    fn firsts(set: &Embeddings) -> Vec<f32> {
        (0..set.len()).map(|row| set.row(row)[0]).collect()
    }

    #[test]
    fn a_query_becomes_the_mean_of_itself_and_what_it_may_find() {
        let gallery = line(&[(1.0, 7, 0), (2.0, 8, 1), (6.0, 7, 1), (0.5, -1, 1)]);
        let query = line(&[(0.0, 7, 0)]);
        let expanded = |cameras| {
            firsts(&expand_queries(&query, &gallery, cameras, &RAW, &AVERAGE).unwrap())[0]
        };
        assert_eq!(expanded(CameraRule::Any), (0.0 + 1.0 + 2.0) / 3.0);
        // The nearest is from the query's camera; its identity does not matter.
        for cameras in [CameraRule::Cross, CameraRule::Market] {
            assert_eq!(expanded(cameras), (0.0 + 2.0 + 6.0) as f32 / 3.0);
        }
    }

    #[test]
    fn weights_are_powers_of_the_cosine_and_never_negative() {
        let set = |values: &[f32]| {
            let n = values.len() / 2;
            let (pids, paths) = (vec![Pid(1); n], vec![String::new(); n]);
            Embeddings::new(2, values.to_vec(), pids, vec![None; n], paths).unwrap()
        };
        let (query, gallery) = (set(&[5.0, 0.0]), set(&[0.6, 0.8, -3.0, 0.0]));
        let alpha = Expansion { neighbours: 9, alpha: 2.0 };
        let cameras = CameraRule::Market;
        let raw = expand_queries(&query, &gallery, cameras, &RAW, &alpha).unwrap();
        let weight = 0.6_f32.powi(2);
        let wanted = [(5.0 + weight * 0.6) / (1.0 + weight), weight * 0.8 / (1.0 + weight)];
        assert!(raw.row(0).iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{raw:?}");
        assert!(!raw.normalized());
        let unit = expand_queries(&query, &gallery, cameras, &Metric::default(), &alpha).unwrap();
        let length = (1.0 + weight * 0.6).hypot(weight * 0.8);
        assert!((unit.row(0)[0] - (1.0 + weight * 0.6) / length).abs() < 1e-6);
        assert!(unit.normalized());
    }

    #[test]
    fn gallery_images_are_averaged_within_a_camera() {
        let gallery = line(&[(1.0, 7, 0), (2.0, 8, 1), (4.0, 7, 0), (9.0, 9, 1)]);
        let one = Expansion { neighbours: 1, alpha: 0.0 };
        let augmented = |cameras| augment_gallery(&gallery, cameras, &RAW, &one).unwrap();
        assert_eq!(firsts(&augmented(CameraRule::Any)), [1.5, 1.5, 3.0, 6.5]);
        assert_eq!(firsts(&augmented(CameraRule::Market)), [2.5, 5.5, 2.5, 5.5]);
        assert_eq!(augmented(CameraRule::Cross).camids(), gallery.camids());
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let error =
            |neighbours, alpha| Expansion { neighbours, alpha }.check().unwrap_err().to_string();
        assert_eq!(error(0, 1.0), "`neighbours` is 0: it must be 1 or more");
        assert_eq!(error(1, -1.0), "`alpha` is -1: it must be 0 or more, and finite");
        assert_eq!(error(1, f64::NAN), "`alpha` is NaN: it must be 0 or more, and finite");
    }
}
