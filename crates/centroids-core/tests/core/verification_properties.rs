use centroids_core::{CameraRule, Error, Metric, Roc, Unit, verify};
use proptest::prelude::*;

use crate::naive::{self, Image};
use crate::protocol_properties::{images, metric};

/// All pairs that count: distances of genuine ones and of impostors.
fn pairs(
    query: &[Image],
    gallery: &[Image],
    unit: Unit,
    rule: CameraRule,
    metric: &Metric,
) -> [Vec<f64>; 2] {
    let mut pairs = [Vec::new(), Vec::new()];
    for query in query.iter().filter(|query| query.pid != -1) {
        for item in naive::items(query, gallery, unit, rule, metric) {
            pairs[usize::from(item.pid != query.pid)].push(item.distance);
        }
    }
    pairs
}

/// (FPR, TPR) at every threshold there is, from nothing accepted to everything.
fn curve([genuine, impostors]: &[Vec<f64>; 2]) -> Vec<(f64, f64)> {
    let mut thresholds = [&genuine[..], impostors].concat();
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let share = |of: &[f64], threshold: f64| {
        of.iter().filter(|distance| **distance <= threshold).count() as f64 / of.len() as f64
    };
    let point = |&threshold: &f64| (share(impostors, threshold), share(genuine, threshold));
    [(0.0, 0.0)].into_iter().chain(thresholds.iter().map(point)).collect()
}

fn area(curve: &[(f64, f64)]) -> f64 {
    curve.windows(2).map(|ab| (ab[1].0 - ab[0].0) * (ab[1].1 + ab[0].1) / 2.0).sum()
}

/// Where the curve meets the line on which FPR and FNR are equal, by bisection on each piece.
fn equal_error_rate(curve: &[(f64, f64)]) -> f64 {
    let over = |(fpr, tpr): (f64, f64)| fpr - (1.0 - tpr);
    let piece = curve.windows(2).find(|ab| over(ab[0]) <= 0.0 && over(ab[1]) >= 0.0).unwrap();
    let between = |t: f64| {
        let [a, b] = [piece[0], piece[1]];
        (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1))
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if over(between(middle)) < 0.0 { low = middle } else { high = middle }
    }
    between(high).0
}

fn assert_roc(roc: &Roc, pairs: &[Vec<f64>; 2]) {
    let curve = curve(pairs);
    assert_eq!([roc.genuine(), roc.impostors()], [0, 1].map(|kind| pairs[kind].len() as u64));
    assert!((roc.auc() - area(&curve)).abs() < 1e-12, "{} {}", roc.auc(), area(&curve));
    let eer = equal_error_rate(&curve);
    assert!((roc.eer() - eer).abs() < 1e-12, "{} {eer}", roc.eer());
    for rate in [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0] {
        let allowed = curve.iter().filter(|(fpr, _)| *fpr <= rate);
        let best = allowed.map(|(_, tpr)| *tpr).fold(0.0, f64::max);
        let Some(point) = roc.at_fpr(rate) else {
            assert!(rate < 1.0 / pairs[1].len() as f64);
            continue;
        };
        assert!(rate >= 1.0 / pairs[1].len() as f64);
        assert_eq!(point.tpr, best, "at {rate}");
        assert!(point.fpr <= rate && (point.fnr - (1.0 - point.tpr)).abs() < 1e-12);
        if let Some(threshold) = point.threshold {
            let passing = pairs[0].iter().filter(|distance| **distance <= threshold).count();
            assert_eq!(point.tpr, passing as f64 / pairs[0].len() as f64);
        }
    }
    for point in roc.points(usize::MAX) {
        assert!(curve.contains(&(point.fpr, point.tpr)), "{point:?} is no operating point");
    }
}

proptest! {
    #[test]
    fn counting_agrees_with_sorting_all_pairs(
        query in images(25), gallery in images(25), metric in metric(),
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        for &unit in Unit::ALL {
            for &rule in CameraRule::ALL {
                let pairs = pairs(&query, &gallery, unit, rule, &metric);
                match verify(&sets.0, &sets.1, unit, rule, &metric) {
                    Ok(found) => assert_roc(&found.roc, &pairs),
                    Err(Error::NoPairs { genuine, impostors }) => {
                        prop_assert_eq!([genuine, impostors], [0, 1].map(|kind| pairs[kind].len() as u64));
                        prop_assert!(genuine == 0 || impostors == 0);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn one_genuine_pair_is_enough_and_no_impostor_is_not() {
    let image = |pid, x: f32| Image { pid, camera: None, at: [x, 1.0] };
    let metric = Metric { normalize: false, ..Metric::default() };
    let of = |gallery: &[Image]| {
        let sets = (naive::embeddings(&[image(1, 0.0)]), naive::embeddings(gallery));
        verify(&sets.0, &sets.1, Unit::Instance, CameraRule::Any, &metric)
    };
    let roc = of(&[image(1, 2.0), image(2, 1.0), image(3, 2.0), image(3, 3.0)]).unwrap().roc;
    // One impostor nearer, one tied, one farther.
    assert_eq!((roc.auc(), roc.at_fpr(0.5).unwrap().tpr), (0.5, 0.0));
    assert_eq!(roc.at_fpr(0.7).unwrap().tpr, 1.0);
    assert!(matches!(of(&[image(1, 2.0)]), Err(Error::NoPairs { genuine: 1, impostors: 0 })));
    assert!(matches!(of(&[image(2, 2.0)]), Err(Error::NoPairs { genuine: 0, impostors: 1 })));
    assert!(matches!(of(&[]), Err(Error::NoPairs { genuine: 0, impostors: 0 })));
}
