//! Images far from the rest of their class. [`Judgement::z`] says how that is scored, and why.

use std::collections::BTreeMap;

use super::findings::{Image, Outlier};
use super::judgement::Judgement;
use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::ids::Pid;

/// Makes the median absolute deviation of a normal distribution its standard deviation.
pub const MAD_TO_DEVIATION: f64 = 1.4826;

/// Smallest scale of ln distance.
const LEAST_SPREAD: f64 = 0.1;

/// Share of the median distance below which distances are as good as equal.
const AS_GOOD_AS_EQUAL: f64 = 1e-3;

/// Fewest images of a class that has a median of its own.
const LEAST_IMAGES: usize = 3;

/// The outliers, highest z first.
pub(super) fn outliers(gallery: &Embeddings, judgements: &[Judgement], least: f64) -> Vec<Outlier> {
    let outlier = |(row, judgement): (usize, &Judgement)| {
        let (z, own) = (judgement.z?, judgement.own?);
        let image = Image::of(gallery, row);
        (z >= least).then_some(Outlier { image, z, own, other: judgement.other })
    };
    let mut outliers: Vec<Outlier> = judgements.iter().enumerate().filter_map(outlier).collect();
    outliers.sort_by(|a, b| b.z.total_cmp(&a.z));
    outliers
}

/// The z of each row from its leave-one-out distance: `[n]`.
pub(super) fn scores(gallery: &Embeddings, own: &[Option<f64>]) -> Vec<Option<f64>> {
    let own = comparable(gallery, own);
    let Some(usual) = median(own.iter().copied().flatten().filter(|&own| own > 0.0).collect())
    else {
        // All that can be judged are equal to their class.
        return own.iter().map(|own| own.map(|_| 0.0)).collect();
    };
    let ln = |distance: f64| distance.max(usual * AS_GOOD_AS_EQUAL).ln();
    let mut classes: BTreeMap<Pid, Vec<f64>> = BTreeMap::new();
    for (&pid, own) in gallery.pids().iter().zip(&own) {
        if let Some(own) = own {
            classes.entry(pid).or_default().push(ln(*own));
        }
    }
    classes.retain(|_, distances| distances.len() >= LEAST_IMAGES);
    let medians: BTreeMap<Pid, f64> =
        classes.iter().filter_map(|(&pid, all)| Some((pid, median(all.clone())?))).collect();
    let deviations: Vec<f64> = if classes.is_empty() {
        own.iter().flatten().map(|&own| (ln(own) - ln(usual)).abs()).collect()
    } else {
        let of_class = |(pid, all): (&Pid, &Vec<f64>)| -> Vec<f64> {
            all.iter().map(|ln| (ln - medians[pid]).abs()).collect()
        };
        classes.iter().flat_map(of_class).collect()
    };
    let spread = MAD_TO_DEVIATION * median(deviations).unwrap_or(0.0);
    let score = |(pid, own): (&Pid, &Option<f64>)| {
        let centre = medians.get(pid).copied().unwrap_or(f64::NEG_INFINITY).max(ln(usual));
        own.map(|own| (ln(own) - centre) / spread.max(LEAST_SPREAD))
    };
    gallery.pids().iter().zip(&own).map(score).collect()
}

/// Distances as they would be to the mean of very many images: to that of `n − 1` they are `n/(n − 1)`
/// times as large on average, so that small classes would seem wide.
fn comparable(gallery: &Embeddings, own: &[Option<f64>]) -> Vec<Option<f64>> {
    let classes = rows_by_pid(gallery.pids());
    let of_row = |(pid, own): (&Pid, &Option<f64>)| {
        let n = classes.get(pid)?.len() as f64;
        own.map(|own| own * (n - 1.0) / n)
    };
    gallery.pids().iter().zip(own).map(of_row).collect()
}

/// The middle value, or the mean of the two middle ones; `None` of none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 })
}
