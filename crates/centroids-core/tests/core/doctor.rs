use std::collections::{BTreeMap, BTreeSet};

use centroids_core::doctor::{Findings, Image, LeftOut, Options, Pair, examine};
use centroids_core::{Embeddings, Metric, Pid};
use proptest::prelude::*;

/// Numbers of a normal distribution, the same every time.
pub(crate) struct Normal(u64);

impl Normal {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn uniform(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(crate) fn next(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.uniform().ln()).sqrt(), self.uniform());
        radius * (std::f64::consts::TAU * angle).cos()
    }
}

/// A set that can be spoiled.
#[derive(Clone, Default)]
struct Drawn {
    vectors: Vec<Vec<f64>>,
    pids: Vec<i64>,
}

const DIM: usize = 16;

impl Drawn {
    /// Classes whose members lie around a point of their own: spread 1, centres about 28 apart.
    fn classes(classes: i64, each: usize, seed: u64) -> Self {
        let (mut normal, mut drawn) = (Normal::new(seed), Self::default());
        for pid in 0..classes {
            let centre: Vec<f64> = (0..DIM).map(|_| 5.0 * normal.next()).collect();
            drawn.add(pid, &centre, each, &mut normal);
        }
        drawn
    }

    fn add(&mut self, pid: i64, centre: &[f64], each: usize, normal: &mut Normal) {
        for _ in 0..each {
            self.vectors.push(centre.iter().map(|value| value + normal.next()).collect());
            self.pids.push(pid);
        }
    }

    fn set(&self) -> Embeddings {
        let values = self.vectors.iter().flatten().map(|&value| value as f32).collect();
        let paths = (0..self.pids.len()).map(|row| format!("{row}.png")).collect();
        let pids = self.pids.iter().copied().map(Pid).collect();
        Embeddings::new(DIM, values, pids, vec![None; self.pids.len()], paths).unwrap()
    }
}

fn plain() -> Options {
    Options { metric: Metric { normalize: false, ..Metric::default() }, ..Options::default() }
}

fn rows(pairs: &[Pair]) -> Vec<[usize; 2]> {
    pairs.iter().map(|pair| [pair.first.row, pair.second.row]).collect()
}

#[test]
fn a_sound_set_is_left_alone() {
    let (mut outliers, mut splits) = (0, 0);
    for seed in 0..10 {
        let other = Drawn::classes(40, 3, seed).set();
        let found = examine(&Drawn::classes(40, 12, seed).set(), Some(&other), &plain()).unwrap();
        outliers += found.outliers.len();
        splits += found.splits.len();
        assert_eq!((found.mislabelled.len(), found.merges.len()), (0, 0));
        let duplicates = &found.duplicates;
        assert_eq!((duplicates.conflicts.count, duplicates.redundant.count), (0, 0));
        assert_eq!(found.effect.unwrap().leave_one_out[0].rank1, 1.0);
    }
    // Of 4800 normally distributed images, and 400 classes.
    assert!(outliers <= 5 && splits <= 4, "{outliers} outliers, {splits} splits");
}

#[test]
fn swapped_labels_are_found_and_nothing_else() {
    let mut drawn = Drawn::classes(40, 12, 1);
    let spoiled: [(usize, i64); 5] = [(3, 20), (100, 0), (211, 39), (212, 39), (479, 7)];
    let right: BTreeMap<usize, i64> =
        spoiled.iter().map(|&(row, _)| (row, drawn.pids[row])).collect();
    spoiled.iter().for_each(|&(row, wrong)| drawn.pids[row] = wrong);
    let found = examine(&drawn.set(), None, &plain()).unwrap();
    let suggested: BTreeMap<usize, i64> =
        found.mislabelled.iter().map(|m| (m.image.row, m.suggested.pid.0)).collect();
    assert_eq!(suggested, right);
    for m in &found.mislabelled {
        assert!(m.confirmed && m.votes.suggested >= 4 && m.votes.of == 5, "{m:?}");
        assert!(m.margin > 0.8 && m.margin == 1.0 - m.other / m.own, "{m:?}");
    }
    assert!(found.mislabelled.is_sorted_by(|a, b| a.margin >= b.margin));
    // Far from their class as well. Taken out, the others see clearer, but they are asked as before.
    let outliers: BTreeSet<usize> =
        found.outliers.iter().map(|outlier| outlier.image.row).collect();
    assert!(right.keys().all(|row| outliers.contains(row)), "{outliers:?}");
    let effect = found.effect.unwrap().leave_one_out;
    assert!(effect.iter().all(|rank1| rank1.queries == 480));
    assert_eq!(effect[0].rank1, 475.0 / 480.0);
    assert_eq!(effect[1].left_out, LeftOut::Worst(0.01));
    assert_eq!(effect.iter().map(|rank1| rank1.images).collect::<Vec<_>>()[1..4], [5, 10, 24]);
}

#[test]
fn an_image_that_is_like_nothing_is_an_outlier_but_not_mislabelled() {
    let mut drawn = Drawn::classes(40, 12, 2);
    let stray = drawn.vectors.len();
    // As far from its class as half the way to another.
    let centre: Vec<f64> = drawn.vectors[0].iter().map(|value| value + 3.0).collect();
    drawn.vectors.push(centre);
    drawn.pids.push(0);
    let found = examine(&drawn.set(), None, &plain()).unwrap();
    assert_eq!(found.outliers[0].image.row, stray);
    assert!(found.outliers[0].z > 4.0 && found.mislabelled.is_empty());
}

#[test]
fn duplicates_are_found_within_and_across_files() {
    let mut drawn = Drawn::classes(40, 12, 3);
    let mut query = Drawn::classes(40, 2, 4);
    let near = |vector: &[f64]| vector.iter().map(|value| value + 1e-3).collect::<Vec<_>>();
    // Row 480 is row 5 again under its pid, row 481 is row 30 under another one.
    for (row, pid) in [(5, 0), (30, 9)] {
        drawn.vectors.push(near(&drawn.vectors[row]));
        drawn.pids.push(pid);
    }
    query.vectors[7] = near(&drawn.vectors[100]);
    let found = examine(&drawn.set(), Some(&query.set()), &plain()).unwrap().duplicates;
    assert_eq!((rows(&found.redundant.listed), found.redundant.count), (vec![[5, 480]], 1));
    assert_eq!((rows(&found.conflicts.listed), found.conflicts.count), (vec![[30, 481]], 1));
    assert_eq!(rows(&found.leaks.unwrap().listed), [[100, 7]]);
    let estimate = found.estimate.unwrap();
    assert!(estimate.sampled == 482 && found.threshold <= 0.1 * estimate.median);
    // What is asked for is taken, and identical ones need no threshold.
    let strict = Options { duplicate_distance: Some(1e-6), ..plain() };
    let found = examine(&drawn.set(), Some(&drawn.set()), &strict).unwrap().duplicates;
    assert_eq!((found.redundant.count, found.estimate), (0, None));
    assert_eq!(found.leaks.unwrap().count, drawn.pids.len());
}

#[test]
fn one_class_under_two_pids_is_merged() {
    // Every second member of half of the classes gets another label.
    let mut drawn = Drawn::classes(40, 12, 5);
    for row in (0..240).step_by(2) {
        drawn.pids[row] += 100;
    }
    let found = examine(&drawn.set(), None, &plain()).unwrap();
    let merged: BTreeSet<(i64, i64)> =
        found.merges.iter().map(|m| (m.first.pid.0, m.second.pid.0)).collect();
    assert!(merged.iter().all(|(first, second)| *first < 20 && *second == first + 100));
    assert!(merged.len() >= 18, "{merged:?}");
    assert!(found.merges.iter().all(|m| m.first.images == 6 && m.second.images == 6));
    assert!(found.merges.is_sorted_by(|a, b| a.overlap >= b.overlap));
}

#[test]
fn two_classes_under_one_pid_are_split() {
    let mut drawn = Drawn::classes(40, 12, 6);
    drawn.pids.iter_mut().filter(|pid| **pid == 11).for_each(|pid| *pid = 10);
    // One more that belongs to neither.
    drawn.vectors.push(vec![60.0; DIM]);
    drawn.pids.push(10);
    let found = examine(&drawn.set(), None, &plain()).unwrap();
    let split = &found.splits[0];
    assert_eq!((split.class.pid, split.class.images), (Pid(10), 25));
    assert!(split.explained > 0.95, "{split:?}");
    let rows = |images: &[Image]| images.iter().map(|image| image.row).collect::<Vec<_>>();
    let mut parts = split.parts.each_ref().map(|part| rows(part));
    parts.sort();
    assert_eq!(parts, [(120..132).collect::<Vec<_>>(), (132..144).collect()]);
    assert_eq!(rows(&split.set_aside), [480]);
}

#[test]
fn sound_classes_are_rarely_split() {
    // One heap each, in few dimensions, where chance does most.
    let mut normal = Normal::new(6);
    let mut rate = |dim: usize, each: usize| {
        let classes = 300;
        let mut values = Vec::new();
        for class in 0..classes {
            for _ in 0..each {
                values.extend((0..dim).map(|axis| {
                    let centre = if axis == 0 { 100.0 * f64::from(class) } else { 0.0 };
                    (centre + normal.next()) as f32
                }));
            }
        }
        let pids = (0..classes).flat_map(|class| vec![Pid(class.into()); each]).collect::<Vec<_>>();
        let n = pids.len();
        let paths = vec![String::new(); n];
        let set = Embeddings::new(dim, values, pids, vec![None; n], paths).unwrap();
        examine(&set, None, &plain()).unwrap().splits.len() as f64 / f64::from(classes)
    };
    assert!(rate(2, 8) <= 0.07 && rate(8, 8) <= 0.05 && rate(2, 20) <= 0.02 && rate(64, 8) == 0.0);
}

#[test]
fn a_cap_shortens_the_list_and_not_the_count() {
    let mut drawn = Drawn::classes(3, 12, 8);
    for row in 0..12 {
        for step in 1..=3 {
            let shift = f64::from(step) * 1e-3;
            drawn.vectors.push(drawn.vectors[row].iter().map(|value| value + shift).collect());
            drawn.pids.push(0);
        }
    }
    let all = Options { duplicate_distance: Some(0.1), ..plain() };
    let whole = examine(&drawn.set(), None, &all).unwrap().duplicates.redundant;
    assert_eq!((whole.count, whole.listed.len()), (72, 72), "six pairs of each four");
    for max_pairs in [0, 1, 7] {
        let few = Options { max_pairs, ..all };
        let short = examine(&drawn.set(), None, &few).unwrap().duplicates.redundant;
        assert_eq!((short.count, &short.listed[..]), (72, &whole.listed[..max_pairs]));
    }
}

#[test]
fn blocks_of_images_meet_every_other_block() {
    // Two images of each place, rows far apart: more rows than a block holds.
    let places = 2100;
    let values: Vec<f32> = (0..2 * places).map(|row| (row % places) as f32).collect();
    let pids: Vec<Pid> = (0..2 * places).map(|row| Pid((row / 3) as i64)).collect();
    let n = pids.len();
    let set = Embeddings::new(1, values, pids, vec![None; n], vec![String::new(); n]).unwrap();
    let options = Options { duplicate_distance: Some(0.5), max_pairs: n, ..plain() };
    let found = examine(&set, None, &options).unwrap().duplicates;
    let expected: Vec<[usize; 2]> = (0..places).map(|row| [row, row + places]).collect();
    assert_eq!(rows(&found.conflicts.listed), expected);
    assert_eq!(found.redundant.count, 0);
}

#[test]
fn nothing_depends_on_threads_or_on_the_time_of_day() {
    let set = Drawn::classes(12, 9, 9).set();
    let on = |threads: usize| -> Findings {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| examine(&set, Some(&set), &Options::default()).unwrap())
    };
    assert_eq!(on(1), on(3));
}

/// Everything once more from the definitions, with explicit lists.
mod slow {
    use super::*;

    pub(super) fn unit(row: &[f32], normalize: bool) -> Vec<f64> {
        let row: Vec<f64> = row.iter().map(|&value| value.into()).collect();
        shortened(row, normalize)
    }

    fn shortened(row: Vec<f64>, normalize: bool) -> Vec<f64> {
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if normalize { length.max(1e-12) } else { 1.0 };
        row.into_iter().map(|value| value / scale).collect()
    }

    pub(super) fn squared(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
    }

    /// Distance of a row to the mean of other rows; `None` of none.
    pub(super) fn to_mean(
        set: &Embeddings,
        row: usize,
        of: &[usize],
        normalize: bool,
    ) -> Option<f64> {
        let mean = |axis: usize| {
            of.iter().map(|&other| f64::from(set.row(other)[axis])).sum::<f64>() / of.len() as f64
        };
        let mean = shortened((0..set.dim()).map(mean).collect(), normalize);
        (!of.is_empty()).then(|| squared(&unit(set.row(row), normalize), &mean))
    }
}

/// Small numbers, so that rows repeat and distances tie.
fn small_set(pids: std::ops::Range<i64>) -> impl Strategy<Value = Embeddings> {
    let row = (prop::collection::vec(-2_i8..3, 3), pids);
    prop::collection::vec(row, 1..40).prop_map(|rows| {
        let values = rows.iter().flat_map(|(values, _)| values.iter().map(|&v| v.into())).collect();
        let pids: Vec<Pid> = rows.iter().map(|(_, pid)| Pid(*pid)).collect();
        let n = rows.len();
        Embeddings::new(3, values, pids, vec![None; n], vec![String::new(); n]).unwrap()
    })
}

fn same(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).map_or(a.is_none() && b.is_none(), |(a, b)| (a - b).abs() < 1e-9)
}

proptest! {
    #[test]
    fn judgements_are_those_of_the_definitions(set in small_set(-1..5), normalize: bool) {
        let options = Options { metric: Metric { normalize, ..Metric::default() }, ..plain() };
        let found = examine(&set, None, &options).unwrap();
        let pids: BTreeSet<Pid> = set.pids().iter().copied().filter(|&pid| pid != Pid::JUNK).collect();
        let members = |pid: Pid| -> Vec<usize> {
            (0..set.len()).filter(|&row| set.pids()[row] == pid).collect()
        };
        let mut right = 0;
        for (row, judgement) in found.judgements.iter().enumerate() {
            let pid = set.pids()[row];
            if pid == Pid::JUNK {
                prop_assert!(judgement.own.is_none() && judgement.other.is_none());
                continue;
            }
            let rest: Vec<usize> = members(pid).into_iter().filter(|&other| other != row).collect();
            prop_assert!(same(judgement.own, slow::to_mean(&set, row, &rest, normalize)));
            let to = |pid: Pid| slow::to_mean(&set, row, &members(pid), normalize);
            let others = pids.iter().filter(|&&other| other != pid);
            let nearest = others.filter_map(|&pid| to(pid)).min_by(f64::total_cmp);
            prop_assert!(same(judgement.other, nearest));
            prop_assert!(same(judgement.nearest.and_then(to), nearest));
            let wins = (judgement.own, Some(pid)) < (judgement.other, judgement.nearest);
            right += usize::from(judgement.own.is_some() && wins);
        }
        if let Some(effect) = found.effect {
            let whole = effect.leave_one_out[0];
            prop_assert_eq!((whole.rank1 * whole.queries as f64).round() as usize, right);
        }
    }

    #[test]
    fn pairs_are_all_below_the_threshold(
        set in small_set(-1..4),
        other in small_set(-1..4),
        threshold in 0_u8..4,
        normalize: bool,
    ) {
        let threshold = f64::from(threshold) / 2.0;
        let metric = Metric { normalize, ..Metric::default() };
        let options = Options { metric, duplicate_distance: Some(threshold), ..plain() };
        let found = examine(&set, Some(&other), &options).unwrap().duplicates;
        let close = |a: &[f32], b: &[f32]| {
            slow::squared(&slow::unit(a, normalize), &slow::unit(b, normalize)) - threshold
        };
        let mut expected = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        let images = |set: &Embeddings| -> Vec<usize> {
            (0..set.len()).filter(|&row| set.pids()[row] != Pid::JUNK).collect()
        };
        // What rounding decides is left open.
        let mut open = false;
        for &a in &images(&set) {
            for &b in images(&set).iter().filter(|&&b| b > a) {
                let difference = close(set.row(a), set.row(b));
                open |= difference.abs() < 1e-9 && difference != 0.0;
                if difference <= 0.0 {
                    expected[usize::from(set.pids()[a] == set.pids()[b])].insert([a, b]);
                }
            }
            for &b in &images(&other) {
                let difference = close(set.row(a), other.row(b));
                open |= difference.abs() < 1e-9 && difference != 0.0;
                if difference <= 0.0 {
                    expected[2].insert([a, b]);
                }
            }
        }
        prop_assume!(!open);
        let leaks = found.leaks.unwrap();
        for (pairs, expected) in [found.conflicts, found.redundant, leaks].iter().zip(expected) {
            prop_assert_eq!(pairs.count, expected.len());
            prop_assert_eq!(rows(&pairs.listed).into_iter().collect::<BTreeSet<_>>(), expected);
            let order = |pair: &Pair| pair.distance;
            prop_assert!(pairs.listed.is_sorted_by(|a, b| order(a) <= order(b)));
        }
    }
}
