//! Queries against the units of a gallery: which candidates count for whom, and how far they are.
//!
//! Evaluation and search both look at what is found here; they differ in what they make of it.

use std::collections::BTreeMap;

use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::CamId;
use crate::protocol::{CameraRule, Metric, Unit};

/// What is compared, and how.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) query: &'a Embeddings,
    pub(crate) gallery: &'a Embeddings,
    pub(crate) unit: Unit,
    pub(crate) cameras: CameraRule,
    pub(crate) metric: &'a Metric,
}

/// One query and everything it is compared with.
pub(crate) struct Compared<'a> {
    /// Row of the query.
    pub(crate) query: usize,
    /// In tie order.
    pub(crate) candidates: &'a Candidates<'a>,
    /// `[candidates.len()]`; infinite where nothing of a candidate counts.
    pub(crate) distances: &'a [f64],
}

impl Comparison<'_> {
    /// # Errors
    /// [`Error::DimensionMismatch`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.query.check_dimensions(self.gallery)
    }

    /// Shows each of the given queries to `see`, on all threads; results in the queries' order.
    pub(crate) fn each<R: Send>(
        &self,
        queries: &[usize],
        see: impl Fn(&Compared<'_>) -> R + Sync,
    ) -> Vec<R> {
        match self.unit {
            Unit::Instance => self.each_by_image(queries, see),
            Unit::Nearest => self.each_by_nearest(queries, see),
            Unit::Centroid => self.each_by_centroid(queries, see),
        }
    }

    /// Whether a gallery image counts for a query.
    pub(crate) fn counts(&self, query: usize, row: usize) -> bool {
        let same_pid = self.query.pids()[query] == self.gallery.pids()[row];
        self.cameras.allows(self.query.camids()[query], self.gallery.camids()[row], same_pid)
    }

    /// Every image that is not junk is a candidate.
    fn each_by_image<R: Send>(
        &self,
        queries: &[usize],
        see: impl Fn(&Compared<'_>) -> R + Sync,
    ) -> Vec<R> {
        let images = Candidates::images(self.gallery, self.metric, |_| true);
        images.each_query(self.query, queries, |query, distances| {
            for (image, distance) in distances.iter_mut().enumerate() {
                if !self.counts(query, images.rows(image)[0]) {
                    *distance = f64::INFINITY;
                }
            }
            see(&Compared { query, candidates: &images, distances })
        })
    }

    /// Each identity is as near as the nearest of its images that count.
    fn each_by_nearest<R: Send>(
        &self,
        queries: &[usize],
        see: impl Fn(&Compared<'_>) -> R + Sync,
    ) -> Vec<R> {
        let images = Candidates::images(self.gallery, self.metric, |_| true);
        let classes = Candidates::means(self.gallery, self.metric, |_| true);
        let mut class_of = vec![0; self.gallery.len()];
        for class in 0..classes.len() {
            classes.rows(class).iter().for_each(|&row| class_of[row] = class);
        }
        images.each_query(self.query, queries, |query, distances| {
            let mut nearest = vec![f64::INFINITY; classes.len()];
            for (image, &distance) in distances.iter().enumerate() {
                let row = images.rows(image)[0];
                if self.counts(query, row) {
                    let nearest = &mut nearest[class_of[row]];
                    *nearest = nearest.min(distance);
                }
            }
            see(&Compared { query, candidates: &classes, distances: &nearest })
        })
    }

    /// Each identity is as near as the mean of its images that count.
    ///
    /// Under [`CameraRule::Cross`] the images that count depend on the query's camera alone, so
    /// queries are grouped by camera and share its centroids. Under [`CameraRule::Market`] only the
    /// query's own identity loses images, and only its centroid is made anew.
    fn each_by_centroid<R: Send>(
        &self,
        queries: &[usize],
        see: impl Fn(&Compared<'_>) -> R + Sync,
    ) -> Vec<R> {
        let mut seen = Vec::with_capacity(queries.len());
        for (without, places) in self.places_by_left_out_camera(queries) {
            let keep = |row: usize| !CamId::same(without, self.gallery.camids()[row]);
            let means = Candidates::means(self.gallery, self.metric, keep);
            let group: Vec<usize> = places.iter().map(|&place| queries[place]).collect();
            let of_group = means.each_query(self.query, &group, |query, distances| {
                if self.cameras == CameraRule::Market {
                    self.leave_out_own_camera(query, &means, distances);
                }
                see(&Compared { query, candidates: &means, distances })
            });
            seen.extend(places.into_iter().zip(of_group));
        }
        seen.sort_by_key(|(place, _)| *place);
        seen.into_iter().map(|(_, seen)| seen).collect()
    }

    /// Places in `queries` for which the same camera is left out of every identity.
    fn places_by_left_out_camera(&self, queries: &[usize]) -> BTreeMap<Option<CamId>, Vec<usize>> {
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (place, &query) in queries.iter().enumerate() {
            let camid = self.query.camids()[query];
            let left_out = if self.cameras == CameraRule::Cross { camid } else { None };
            groups.entry(left_out).or_default().push(place);
        }
        groups
    }

    /// Replaces the distance to the query's own identity by that to the mean of its images from
    /// other cameras; infinite if there is none.
    fn leave_out_own_camera(&self, query: usize, means: &Candidates<'_>, distances: &mut [f64]) {
        let Ok(own) = means.pids().binary_search(&self.query.pids()[query]) else {
            return;
        };
        let all = means.rows(own).iter().copied();
        let rest: Vec<usize> = all.filter(|&row| self.counts(query, row)).collect();
        distances[own] = match rest.len() {
            0 => f64::INFINITY,
            len if len == means.rows(own).len() => distances[own],
            _ => means.distance_to_mean(&self.metric.prepared(self.query.row(query)), &rest),
        };
    }
}
