//! How well a threshold on a distance tells two kinds of trials apart.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A receiver operating characteristic: what share of genuine trials and what share of impostors is
/// accepted, for every threshold. A trial is accepted if its distance is at most the threshold.
///
/// Exact, though impostors are only counted between genuine distances: a threshold between two of
/// these accepts no other genuine trial, so nothing else moves the curve upwards. As the curve of a
/// step function it joins its operating points by straight lines, so a genuine trial and an impostor
/// at one distance are worth half a success in the area, and rates below are those of thresholds
/// that exist, never interpolated.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// One per distinct genuine distance, ascending.
    steps: Vec<Step>,
    genuine: u64,
    impostors: u64,
}

/// What a threshold at one genuine distance does.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    distance: f64,
    /// Genuine trials at or below the distance.
    genuine: u64,
    /// Impostors below it.
    below: u64,
    /// Impostors at or below it.
    upto: u64,
}

/// One threshold and what it does; rates are fractions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocPoint {
    /// Largest distance that is accepted; `None` where nothing, or everything, is.
    pub threshold: Option<f64>,
    /// Share of impostors accepted: false positive rate, also called false match rate (FMR).
    pub fpr: f64,
    /// Share of genuine trials accepted: true positive rate.
    pub tpr: f64,
    /// Share of genuine trials refused, 1 − TPR: also called false non-match rate (FNMR).
    pub fnr: f64,
}

/// What can be had at a false positive rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtRate {
    /// The rate that must not be exceeded.
    pub rate: f64,
    /// The best threshold; `None` if there are too few impostors to measure the rate.
    pub point: Option<RocPoint>,
}

impl Roc {
    /// Genuine trials.
    pub fn genuine(&self) -> u64 {
        self.genuine
    }

    /// Impostor trials.
    pub fn impostors(&self) -> u64 {
        self.impostors
    }

    /// Area under the curve: how likely a genuine trial is nearer than an impostor, a tie counting
    /// half.
    pub fn auc(&self) -> f64 {
        let (mut half_wins, mut before) = (0_u128, 0);
        for step in &self.steps {
            let farther = 2 * self.impostors - step.below - step.upto;
            half_wins += u128::from(step.genuine - before) * u128::from(farther);
            before = step.genuine;
        }
        half_wins as f64 / (2.0 * self.genuine as f64 * self.impostors as f64)
    }

    /// Equal error rate: where the curve has as many false positives as misses, as shares.
    pub fn eer(&self) -> f64 {
        let vertices = self.vertices();
        let crossed = vertices.iter().position(|point| point.fpr >= point.fnr);
        let after = crossed.unwrap_or(vertices.len() - 1).max(1);
        let [a, b] = [vertices[after - 1], vertices[after]];
        let (short, over) = (a.fnr - a.fpr, b.fpr - b.fnr);
        a.fpr + (b.fpr - a.fpr) * short / (short + over)
    }

    /// The highest true positive rate at a false positive rate of at most `rate`, and the smallest
    /// threshold that reaches it.
    ///
    /// `None` where `rate` is below 1 / number of impostors: so few say nothing about it.
    pub fn at_fpr(&self, rate: f64) -> Option<RocPoint> {
        let allowed = allowance(rate, self.impostors);
        if allowed == 0 {
            return None;
        }
        let reached = self.steps.partition_point(|step| step.upto <= allowed);
        Some(match self.steps[..reached].last() {
            Some(step) => self.point(Some(step.distance), step.genuine, step.upto),
            None => self.point(None, 0, 0),
        })
    }

    /// [`at_fpr`](Self::at_fpr) for several rates.
    pub fn at_rates(&self, rates: &[f64]) -> Vec<AtRate> {
        rates.iter().map(|&rate| AtRate { rate, point: self.at_fpr(rate) }).collect()
    }

    /// The corners of the curve from (0, 0) to its end, no more than about `most`, for drawing.
    ///
    /// If there are more, those are left out that lie close to the one before, seen with a linear
    /// and with a logarithmic axis of the false positive rate.
    pub fn points(&self, most: usize) -> Vec<RocPoint> {
        let vertices = self.vertices();
        if vertices.len() <= most {
            return vertices;
        }
        let cells = (most / 2).saturating_sub(1).max(1) as f64;
        let decades = (self.impostors as f64).log10().max(1.0);
        let cell = |point: &RocPoint| {
            let linear = cells * (point.fpr + point.tpr) / 2.0;
            let logarithmic = cells * (1.0 + point.fpr.log10() / decades).max(0.0);
            [linear as usize, logarithmic as usize]
        };
        let last = vertices.len() - 1;
        let mut kept: Vec<RocPoint> = Vec::with_capacity(most);
        for (i, point) in vertices.into_iter().enumerate() {
            if i == last || kept.last().is_none_or(|before| cell(before) != cell(&point)) {
                kept.push(point);
            }
        }
        kept
    }

    /// Every corner of the curve.
    fn vertices(&self) -> Vec<RocPoint> {
        let mut vertices = vec![self.point(None, 0, 0)];
        let (mut genuine, mut impostors) = (0, 0);
        for step in &self.steps {
            if step.below > impostors {
                let just_below = Some(step.distance.next_down());
                vertices.push(self.point(just_below, genuine, step.below));
            }
            vertices.push(self.point(Some(step.distance), step.genuine, step.upto));
            (genuine, impostors) = (step.genuine, step.upto);
        }
        if impostors < self.impostors {
            vertices.push(self.point(None, genuine, self.impostors));
        }
        vertices
    }

    fn point(&self, threshold: Option<f64>, genuine: u64, impostors: u64) -> RocPoint {
        let share = |part: u64, of: u64| part as f64 / of as f64;
        RocPoint {
            threshold,
            fpr: share(impostors, self.impostors),
            tpr: share(genuine, self.genuine),
            fnr: share(self.genuine - genuine, self.genuine),
        }
    }
}

/// How many of `trials` may be wrong at this rate. The rate is one that was typed in decimals, so
/// that 0.29 of 100 are 29, although the product is a little less.
pub(crate) fn allowance(rate: f64, trials: u64) -> u64 {
    (rate * trials as f64 * (1.0 + 1e-12)) as u64
}

/// Counts impostors between genuine distances, from any number of threads at once.
pub(crate) struct ImpostorCounter {
    /// `[n]`, distinct and ascending.
    distances: Vec<f64>,
    /// `[n]`: genuine trials at or below each.
    genuine: Vec<u64>,
    /// `[2n + 1]`: impostors before the first distance, at it, between it and the second, …
    cells: Vec<AtomicU64>,
}

impl ImpostorCounter {
    pub(crate) fn new(mut genuine: Vec<f64>) -> Self {
        genuine.sort_unstable_by(f64::total_cmp);
        let (mut distances, mut counts) = (Vec::new(), Vec::new());
        let mut seen = 0;
        for alike in genuine.chunk_by(|a, b| a == b) {
            seen += alike.len() as u64;
            distances.push(alike[0]);
            counts.push(seen);
        }
        let cells = (0..=2 * distances.len()).map(|_| AtomicU64::new(0)).collect();
        Self { distances, genuine: counts, cells }
    }

    /// Adds one impostor.
    pub(crate) fn add(&self, distance: f64) {
        let nearer = self.distances.partition_point(|&genuine| genuine < distance);
        let tie = self.distances.get(nearer) == Some(&distance);
        self.cells[2 * nearer + usize::from(tie)].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds one impostor whose distance is within `error` of `near`; `exact` is asked for it where
    /// that leaves its place open.
    pub(crate) fn add_near(&self, near: f64, error: f64, exact: impl FnOnce() -> f64) {
        let nearer = self.distances.partition_point(|&genuine| genuine < near - error);
        if self.distances.get(nearer).is_some_and(|&genuine| genuine <= near + error) {
            self.add(exact());
        } else {
            self.cells[2 * nearer].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The curve. `genuine` trials there are in all: those whose distance was not given are never
    /// accepted. There must be one, and one impostor.
    pub(crate) fn finish(self, genuine: u64) -> Roc {
        let cells: Vec<u64> = self.cells.into_iter().map(AtomicU64::into_inner).collect();
        let (mut steps, mut impostors) = (Vec::with_capacity(self.distances.len()), 0);
        for ((distance, genuine), cells) in
            self.distances.into_iter().zip(self.genuine).zip(cells.chunks_exact(2))
        {
            let below = impostors + cells[0];
            impostors = below + cells[1];
            steps.push(Step { distance, genuine, below, upto: impostors });
        }
        impostors += cells.last().copied().unwrap_or(0);
        Roc { steps, genuine, impostors }
    }

    /// Impostors counted so far.
    pub(crate) fn impostors(&self) -> u64 {
        self.cells.iter().map(|cell| cell.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roc(genuine: &[f64], impostors: &[f64]) -> Roc {
        let counter = ImpostorCounter::new(genuine.to_vec());
        impostors.iter().for_each(|&distance| counter.add(distance));
        assert_eq!(counter.impostors(), impostors.len() as u64);
        counter.finish(genuine.len() as u64)
    }

    fn corners(roc: &Roc) -> Vec<(f64, f64)> {
        roc.points(200).iter().map(|point| (point.fpr, point.tpr)).collect()
    }

    #[test]
    fn a_curve_that_can_be_drawn_by_hand() {
        // Ascending: G 1, G 2, I 3, G 4, I 5, I 6, G 7, I 8.
        let roc = roc(&[4.0, 1.0, 7.0, 2.0], &[3.0, 8.0, 5.0, 6.0]);
        let curve = [(0.0, 0.0), (0.0, 0.25), (0.0, 0.5), (0.25, 0.5), (0.25, 0.75), (0.75, 0.75)];
        assert_eq!(corners(&roc), [&curve[..], &[(0.75, 1.0), (1.0, 1.0)]].concat());
        // Impostors farther than each genuine trial: 4 + 4 + 3 + 1 of 16 pairs.
        assert_eq!(roc.auc(), 12.0 / 16.0);
        // FNR is 0.25 while FPR rises from 0.25.
        assert_eq!(roc.eer(), 0.25);
        let at = |rate| roc.at_fpr(rate).map(|point| (point.threshold, point.fpr, point.tpr));
        assert_eq!(at(0.2), None, "one of four impostors is more than this");
        assert_eq!(at(0.25), Some((Some(4.0), 0.25, 0.75)));
        assert_eq!(at(0.5), at(0.25), "a second impostor buys no genuine trial");
        assert_eq!(at(0.75), Some((Some(7.0), 0.75, 1.0)));
    }

    #[test]
    fn ties_are_accepted_together_and_worth_half() {
        let roc = roc(&[1.0, 1.0], &[1.0, 1.0]);
        assert_eq!(corners(&roc), [(0.0, 0.0), (1.0, 1.0)]);
        assert_eq!((roc.auc(), roc.eer()), (0.5, 0.5));
        let half = roc.at_fpr(0.5).unwrap();
        assert_eq!((half.threshold, half.fpr, half.tpr, half.fnr), (None, 0.0, 0.0, 1.0));
    }

    #[test]
    fn perfect_and_hopeless_distances() {
        let perfect = roc(&[1.0, 2.0], &[3.0]);
        assert_eq!((perfect.auc(), perfect.eer()), (1.0, 0.0));
        let hopeless = roc(&[3.0], &[1.0, 2.0]);
        assert_eq!((hopeless.auc(), hopeless.eer()), (0.0, 1.0));
        assert_eq!(hopeless.at_fpr(0.5).unwrap().tpr, 0.0);
    }

    #[test]
    fn trials_that_are_never_accepted_keep_the_curve_below_one() {
        let counter = ImpostorCounter::new(vec![1.0]);
        [0.5, 2.0].into_iter().for_each(|distance| counter.add(distance));
        let roc = counter.finish(4);
        assert_eq!(corners(&roc), [(0.0, 0.0), (0.5, 0.0), (0.5, 0.25), (1.0, 0.25)]);
    }

    #[test]
    fn a_rate_in_decimals_means_what_it_says() {
        assert_eq!(allowance(0.29, 100), 29);
        assert_eq!(allowance(0.1, 10), 1);
        assert_eq!(allowance(0.01, 99), 0);
    }

    #[test]
    fn long_curves_are_thinned_to_what_can_be_seen() {
        let genuine: Vec<f64> = (0..5000).map(f64::from).collect();
        let impostors: Vec<f64> = (0..5000).map(|i| 0.25 + f64::from(i)).collect();
        let roc = roc(&genuine, &impostors);
        let (all, few) = (roc.points(usize::MAX), roc.points(200));
        assert!(all.len() > 5000 && (100..=202).contains(&few.len()), "{}", few.len());
        assert_eq!((few[0], few.last()), (all[0], all.last()));
        assert!(
            few.windows(2).all(|pair| pair[0].fpr <= pair[1].fpr && pair[0].tpr <= pair[1].tpr)
        );
        let rare = few.iter().filter(|point| point.fpr > 0.0 && point.fpr < 0.01).count();
        assert!(rare > 10, "a logarithmic axis needs more than {rare} points below 1 %");
        let step = |pair: &[RocPoint]| (pair[1].fpr - pair[0].fpr).max(pair[1].tpr - pair[0].tpr);
        assert!(few.windows(2).all(|pair| step(pair) < 0.03));
    }
}
