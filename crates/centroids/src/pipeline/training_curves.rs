//! What the metrics file of a run says, as charts over its epochs.

use std::collections::BTreeSet;

use super::chart::{Axis, Curve, curves};
use crate::run_log::Line;

/// A chart: its title, its axis, and the figures on it, by their names in the log and for people.
type Chart = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const CHARTS: [Chart; 6] = [
    (
        "Losses",
        "loss",
        &[
            ("epoch_train_loss", "sum"),
            ("query_xent", "cross entropy"),
            ("query_triplet", "triplet"),
            ("centroid_triplet", "centroid triplet"),
            ("query_center", "centre"),
        ],
    ),
    ("Learning rate", "rate", &[("lr", "learning rate")]),
    ("Speed", "images/s", &[("images_per_second", "training")]),
    (
        "Distances in a batch",
        "distance",
        &[
            ("epoch_dist_ap", "anchor to positive"),
            ("epoch_dist_an", "anchor to negative"),
            ("l2_mean_centroid", "mean length of a centroid"),
        ],
    ),
    (
        "mAP (identities are not comparable with images)",
        "mAP",
        &[("mAP", "instance"), ("nearest/mAP", "nearest"), ("centroid/mAP", "centroid")],
    ),
    (
        "Rank-1",
        "rank-1",
        &[("Top-1", "instance"), ("nearest/Top-1", "nearest"), ("centroid/Top-1", "centroid")],
    ),
];

/// All charts for which the log has figures.
pub(super) fn training_curves(lines: &[Line]) -> String {
    CHARTS.iter().map(|chart| drawn(chart, lines)).collect()
}

fn drawn((title, label, figures): &Chart, lines: &[Line]) -> String {
    let all: Vec<Curve> = figures
        .iter()
        .map(|(key, name)| Curve { name: (*name).to_owned(), points: points(key, lines) })
        .filter(|curve| !curve.points.is_empty())
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let each = |axis: usize| all.iter().flat_map(move |c| c.points.iter().map(move |p| p[axis]));
    let x = Axis::over("epoch", each(0));
    let y = Axis::over(label, each(1).chain([0.0]));
    curves(title, &x, &y, &all)
}

/// A figure over the epochs, counted from 1.
fn points(key: &str, lines: &[Line]) -> Vec<[f64; 2]> {
    let of = |line: &Line| {
        let (_, value) = line.scalars.iter().find(|(name, _)| name == key)?;
        Some([line.epoch as f64 + 1.0, *value])
    };
    lines.iter().filter_map(of).collect()
}

/// Epochs that the log has.
pub(super) fn epochs(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.epoch).collect::<BTreeSet<_>>().len()
}
