//! What an examination finds.

use serde::Serialize;

use super::judgement::Judgement;
use crate::embeddings::Embeddings;
use crate::ids::Pid;

/// Everything that was found, worst first. Distances are those of the metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// Images examined; junk is not.
    pub images: usize,
    /// Classes examined.
    pub classes: usize,
    /// Junk images.
    pub junk: usize,
    /// The images of one-image classes: there is nothing to judge them by.
    pub not_judged: Vec<Image>,
    /// By z.
    pub outliers: Vec<Outlier>,
    /// Confirmed ones first, then by margin.
    pub mislabelled: Vec<Mislabelled>,
    /// Nearest pairs first.
    pub duplicates: Duplicates,
    /// By overlap, then by distance.
    pub merges: Vec<Merge>,
    /// By how much the split explains.
    pub splits: Vec<Split>,
    /// `None` with fewer than two classes, or without a class of two images.
    pub effect: Option<Effect>,
    /// `[n]`: what is known of each row. Not in the JSON.
    #[serde(skip)]
    pub judgements: Vec<Judgement>,
}

/// A row of an embedding file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Row, from 0.
    pub row: usize,
    /// Its picture.
    pub path: String,
    /// Its label.
    pub pid: Pid,
    /// Name of its label, or the number.
    pub name: String,
}

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Class {
    /// Its number.
    pub pid: Pid,
    /// Its name, or the number.
    pub name: String,
    /// How many images it has.
    pub images: usize,
}

/// An image far from the rest of its class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlier {
    /// The image.
    pub image: Image,
    /// Robust z: how unusual the distance is, see [`Judgement::z`].
    pub z: f64,
    /// Distance to the centroid of its class without it.
    pub own: f64,
    /// Distance to the nearest centroid of another class, if there is one.
    pub other: Option<f64>,
}

/// An image nearer to another class than to its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mislabelled {
    /// The image.
    pub image: Image,
    /// The nearest other class.
    pub suggested: Class,
    /// `1 − other/own`: 0 = as near to both, 1 = lies on the other centroid.
    pub margin: f64,
    /// Distance to the centroid of its class without it.
    pub own: f64,
    /// Distance to the centroid of the suggested class.
    pub other: f64,
    /// What the nearest images are.
    pub votes: Votes,
    /// Whether more of the nearest images are of the suggested class than of its own.
    pub confirmed: bool,
}

/// Labels of the images nearest to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Votes {
    /// Of its own class.
    pub own: usize,
    /// Of the suggested class.
    pub suggested: usize,
    /// All that were asked.
    pub of: usize,
}

/// Images that are nearly the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Duplicates {
    /// Images at most this far apart are duplicates.
    pub threshold: f64,
    /// Where the threshold comes from, if it was not given.
    pub estimate: Option<Estimate>,
    /// Between gallery (first) and the second file: leakage, whatever the labels. `None` without one.
    pub leaks: Option<Pairs>,
    /// In the gallery, under different labels: one of them is wrong.
    pub conflicts: Pairs,
    /// In the gallery, under one label: one of them is redundant.
    pub redundant: Pairs,
}

/// How a threshold for duplicates was estimated: from the distances of images to their nearest other
/// image (of evenly spaced rows, 2000 at most; identical ones left out), as the smaller of
///
/// ```text
/// exp(median(ln d) − 4 · 1.4826 · MAD(ln d))        median(d) / 10
/// ```
///
/// so what is nearer than neighbours ever are, and a tenth of what is usual at most. Of fewer than 8
/// distances nothing is estimated: then only identical embeddings are duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Distances it is based on.
    pub sampled: usize,
    /// Their median; 0 of too few.
    pub median: f64,
    /// `1.4826 · MAD` of their logarithms.
    pub spread: f64,
}

/// Pairs of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pairs {
    /// How many there are.
    pub count: usize,
    /// The nearest of them, by (distance, row, row).
    pub listed: Vec<Pair>,
}

/// Two images that are nearly the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// How far apart they are.
    pub distance: f64,
    /// The one with the lower row, or that in the gallery.
    pub first: Image,
    /// The one with the higher row, or that in the second file.
    pub second: Image,
}

/// Two classes that may be one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Merge {
    /// The class with the lower pid.
    pub first: Class,
    /// The other.
    pub second: Class,
    /// Between their centroids.
    pub distance: f64,
    /// Share of members nearer to the other class than to the rest of their own, averaged over the
    /// two classes: 0.5 = the labels tell nothing.
    pub overlap: f64,
}

/// A class that may be two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Split {
    /// The class.
    pub class: Class,
    /// Share of the variance between the parts, along the line through their centroids, each image
    /// judged without itself. Of one normal distribution 0.64 is to be expected, of an even one
    /// 0.75, of two points 1.
    pub explained: f64,
    /// The members of each part, the larger part first.
    pub parts: [Vec<Image>; 2],
    /// Members too far from both parts to belong to any.
    pub set_aside: Vec<Image>,
}

/// Rank-1 among centroids when images are taken out of the gallery. The queries stay the same, those
/// taken out included: without them the figure would rise by itself. A query whose class has nothing
/// left counts as missed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Each image of a class of two or more as a query; it is never in its own centroid. The images
    /// taken out were chosen by these very queries, so a gain is the most that can be hoped for.
    pub leave_one_out: Vec<Rank1>,
    /// The second file as queries.
    pub against: Option<Vec<Rank1>>,
    /// Why the second file says nothing.
    pub against_note: Option<String>,
}

/// Rank-1 of a gallery.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rank1 {
    /// What was taken out.
    pub left_out: LeftOut,
    /// How many images that are.
    pub images: usize,
    /// Queries; the same in every row.
    pub queries: usize,
    /// Share of queries whose class is first, 0..1.
    pub rank1: f64,
}

/// Which images are taken out of the gallery.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// None.
    Nothing,
    /// The given share of images, 0..1, those with the highest z.
    Worst(f64),
    /// Every outlier and every confirmed wrong label.
    Flagged,
}

impl Image {
    pub(super) fn of(set: &Embeddings, row: usize) -> Self {
        let (pid, path) = (set.pids()[row], set.paths()[row].clone());
        Self { row, path, pid, name: name_of(set, pid) }
    }
}

impl Class {
    pub(super) fn of(set: &Embeddings, pid: Pid, images: usize) -> Self {
        Self { pid, name: name_of(set, pid), images }
    }
}

fn name_of(set: &Embeddings, pid: Pid) -> String {
    set.pid_names().get(&pid).cloned().unwrap_or_else(|| pid.to_string())
}
