//! What is wrong with a gallery: images that do not look like their class, wrong labels, duplicates,
//! classes that are one or several.
//!
//! Everything is judged by the distances of a search, so an image is suspicious to a model, not
//! wrong. An image is always compared with what is left of its class without it: with the sum `S` of
//! the class's `n` embeddings, image `x` is judged by the *leave-one-out* centroid `(S − x)/(n − 1)`.
//!
//! | finding | what it says | criterion |
//! | --- | --- | --- |
//! | [`Outlier`] | far from its class, for its class and for the set | robust z of the logarithm of the distance |
//! | [`Mislabelled`] | nearer to another centroid than to its own | margin, and the votes of the nearest images |
//! | [`Pairs`] | nearly the same image twice: across files, under two pids, under one | distance below a threshold |
//! | [`Merge`] | two classes that their own members cannot tell apart | share of members nearer to the other class |
//! | [`Split`] | one class that is two | variance explained along the line between the parts |
//! | [`Effect`] | rank-1 by centroids without the worst images | same queries throughout |
//!
//! Exact: single precision only preselects. Results depend neither on the number of threads nor on
//! anything random; equal scores are ordered by row, or by pid. Memory is the embeddings and a block
//! of distances. Junk (pid −1) is never looked at, and pid 0 is a class like any other.

mod cloud;
mod duplicates;
mod effect;
mod findings;
mod judgement;
mod merges;
mod mislabelled;
mod outliers;
mod splits;

use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::Pid;
use crate::protocol::{CameraRule, Metric};

pub use findings::{
    Class, Duplicates, Effect, Estimate, Findings, Image, LeftOut, Merge, Mislabelled, Outlier,
    Pair, Pairs, Rank1, Split, Votes,
};
pub use judgement::Judgement;
pub use outliers::{MAD_TO_DEVIATION, median};

/// What to look for, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How vectors are compared.
    pub metric: Metric,
    /// Which images do not count for a query of the second file.
    pub cameras: CameraRule,
    /// Robust z from which an image is an outlier. The default of 3.5 is that of Iglewicz and
    /// Hoaglin 1993; of normally distributed values 1 in 4000 is beyond it.
    pub outlier_z: f64,
    /// Nearest images that vote on a label.
    pub voters: usize,
    /// Images nearer than this are duplicates; `None` = estimated, see [`Estimate`].
    pub duplicate_distance: Option<f64>,
    /// Pairs of duplicates listed of each kind; all are counted.
    pub max_pairs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            metric: Metric::default(),
            cameras: CameraRule::Market,
            outlier_z: 3.5,
            voters: 5,
            duplicate_distance: None,
            max_pairs: 1000,
        }
    }
}

/// How far [`examine_with_progress`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done.
    pub what: &'static str,
    /// Images it is done for.
    pub done: usize,
    /// Images it has to be done for.
    pub total: usize,
}

/// Examines a gallery. With a second set, `against` (queries, or a train split, with pids numbered as
/// in the gallery), images that are in both are found too, and its rank-1 is measured.
///
/// # Errors
/// [`Error::DimensionMismatch`].
pub fn examine(
    gallery: &Embeddings,
    against: Option<&Embeddings>,
    options: &Options,
) -> Result<Findings, Error> {
    examine_with_progress(gallery, against, options, &mut |_| ())
}

/// [`examine`], telling how far it is.
///
/// # Errors
/// As [`examine`].
pub fn examine_with_progress(
    gallery: &Embeddings,
    against: Option<&Embeddings>,
    options: &Options,
    progress: &mut dyn FnMut(Step),
) -> Result<Findings, Error> {
    if let Some(query) = against {
        query.check_dimensions(gallery)?;
    }
    let metric = &options.metric;
    let mut begin = |what| progress(Step { what, done: 0, total: gallery.len() });
    let classes = rows_by_pid(gallery.pids());
    let alone = classes.values().filter(|rows| rows.len() == 1).map(|rows| rows[0]);

    begin("judging images");
    let judgements = judgement::judge(gallery, metric);
    let outliers = outliers::outliers(gallery, &judgements, options.outlier_z);
    let mislabelled = mislabelled::mislabelled(gallery, &judgements, metric, options.voters);
    begin("comparing classes");
    let merges = merges::merges(gallery, metric);
    begin("splitting classes");
    let splits = splits::splits(gallery, metric);
    begin("measuring the effect");
    let flagged = effect::Flagged::new(&judgements, &outliers, &mislabelled);
    let effect = effect::effect(gallery, against, options, &flagged)?;
    let duplicates = duplicates::duplicates(gallery, against, options, progress);

    Ok(Findings {
        images: classes.values().map(Vec::len).sum(),
        classes: classes.len(),
        junk: gallery.pids().iter().filter(|pid| **pid == Pid::JUNK).count(),
        not_judged: alone.map(|row| Image::of(gallery, row)).collect(),
        outliers,
        mislabelled,
        duplicates,
        merges,
        splits,
        effect,
        judgements,
    })
}
