use std::collections::BTreeSet;

use centroids_core::{
    Calibration, CalibrationTargets, CameraRule, Embeddings, Error, Hit, Metric, OpenSet, Pid,
    RankedQuery, Ranking, Unit, UnknownBy, Unknowns, calibrate, open_set, rank,
};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::naive::{self, Image, Item};
use crate::protocol_properties::{images, metric};

const RATES: [f64; 4] = [0.01, 0.1, 0.3, 1.0];
const ABSENT_ONLY: Unknowns = Unknowns { share: Some(0.0), seed: 0 };

/// Nearest candidates of known queries (distance, right) and of unknown ones.
#[derive(Default)]
struct Searches {
    known: Vec<(f64, bool)>,
    unknown: Vec<f64>,
    skipped: usize,
}

fn searches(
    query: &[Image],
    gallery: &[Image],
    (unit, rule): (Unit, CameraRule),
    metric: &Metric,
) -> Searches {
    let mut found = Searches::default();
    for query in query {
        let mut items = naive::items(query, gallery, unit, rule, metric);
        items.sort_by(|a, b| a.distance.partial_cmp(&b.distance).unwrap());
        let is_mate = |item: &Item| item.pid == query.pid;
        if query.pid == -1 {
            found.skipped += 1;
        } else if !gallery.iter().any(|image| image.pid == query.pid) {
            found.unknown.push(items.first().map_or(f64::INFINITY, |item| item.distance));
        } else if items.iter().any(is_mate) {
            found.known.push((items[0].distance, is_mate(&items[0])));
        } else {
            found.skipped += 1;
        }
    }
    found
}

fn assert_open_set(found: &OpenSet, expected: &Searches) {
    let Searches { known, unknown, skipped } = expected;
    let counts = (found.known_queries, found.unknown_queries, found.skipped_queries);
    assert_eq!(counts, (known.len(), unknown.len(), *skipped));
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let right = known.iter().filter(|(_, right)| *right);
    assert_eq!(found.rank1, share(right.clone().count(), known.len()));
    for at in &found.at {
        let measurable = at.rate >= 1.0 / unknown.len() as f64;
        assert_eq!(at.point.is_some(), measurable, "{} of {}", at.rate, unknown.len());
        let Some(point) = at.point else { continue };
        // Every threshold that could matter.
        let thresholds = known.iter().map(|(distance, _)| *distance);
        let dir = |threshold: f64| {
            share(right.clone().filter(|(d, _)| *d <= threshold).count(), known.len())
        };
        let fpir = |threshold: f64| {
            share(unknown.iter().filter(|d| **d <= threshold).count(), unknown.len())
        };
        let allowed = thresholds.filter(|threshold| fpir(*threshold) <= at.rate);
        assert_eq!(point.dir, allowed.map(dir).fold(0.0, f64::max), "at {}", at.rate);
        assert!(point.fpir <= at.rate);
        let threshold = point.threshold.unwrap_or(f64::NEG_INFINITY);
        assert_eq!((dir(threshold), fpir(threshold)), (point.dir, point.fpir));
    }
}

proptest! {
    #[test]
    fn absent_identities_are_the_unknown_ones(
        query in images(30), gallery in images(15), metric in metric(),
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        for &unit in Unit::ALL {
            for &rule in CameraRule::ALL {
                let expected = searches(&query, &gallery, (unit, rule), &metric);
                match open_set(&sets.0, &sets.1, (unit, rule), &metric, &ABSENT_ONLY, &RATES) {
                    Ok(found) => {
                        assert_open_set(&found, &expected);
                        prop_assert_eq!(found.unknown, UnknownBy::Absent);
                    }
                    Err(Error::NoOpenSet { known, unknown }) => prop_assert_eq!(
                        (known, unknown), (expected.known.len(), expected.unknown.len())
                    ),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Holding identities out is the same as a gallery that never had them.
    #[test]
    fn held_out_identities_are_gone(
        query in images(30), gallery in images(15), share in 0.1..0.9, seed in 0_u64..4,
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        let pids = |of: &[Image]| of.iter().map(|image| image.pid).collect::<BTreeSet<i64>>();
        let both: Vec<i64> =
            pids(&query).intersection(&pids(&gallery)).copied().filter(|&pid| pid != -1).collect();
        let (metric, protocol) = (Metric::default(), (Unit::Centroid, CameraRule::Market));
        let unknowns = Unknowns { share: Some(share), seed };
        let held_out = |set: u32| {
            let kept = |image: &&Image| {
                !both.iter().enumerate().any(|(i, &pid)| image.pid == pid && set >> i & 1 == 1)
            };
            gallery.iter().filter(kept).copied().collect::<Vec<Image>>()
        };
        let Ok(found) = open_set(&sets.0, &sets.1, protocol, &metric, &unknowns, &RATES) else {
            return Ok(());
        };
        let identities = match found.unknown {
            UnknownBy::HeldOut { identities, .. } => identities,
            UnknownBy::Absent => 0,
        };
        let wanted = ((share * both.len() as f64).round() as usize).max(1);
        prop_assert_eq!(identities, wanted.min(both.len().saturating_sub(1)));
        let agrees = |set: u32| {
            let gallery = naive::embeddings(&held_out(set));
            let reduced = open_set(&sets.0, &gallery, protocol, &metric, &ABSENT_ONLY, &RATES);
            reduced.is_ok_and(|reduced| OpenSet { unknown: found.unknown, ..reduced } == found)
        };
        let sets = (0..1_u32 << both.len()).filter(|set| set.count_ones() as usize == identities);
        prop_assert!(sets.into_iter().any(agrees));
    }
}

#[test]
fn too_few_absent_identities_call_for_more() {
    let image = |pid, x: f32| Image { pid, camera: None, at: [x, 1.0] };
    let gallery: Vec<Image> = (0..10).map(|pid| image(pid, pid as f32)).collect();
    let query: Vec<Image> = (0..12).map(|pid| image(pid, pid as f32)).collect();
    let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
    let of = |rate, share| {
        let (protocol, unknowns) = ((Unit::Nearest, CameraRule::Any), Unknowns { share, seed: 3 });
        open_set(&sets.0, &sets.1, protocol, &Metric::default(), &unknowns, &[rate])
    };
    // Two absent identities measure 50 %, but not 10 %.
    assert_eq!(of(0.5, None).unwrap().unknown, UnknownBy::Absent);
    let held_out = of(0.1, None).unwrap();
    assert_eq!(held_out.unknown, UnknownBy::HeldOut { identities: 5, seed: 3 });
    assert_eq!((held_out.known_queries, held_out.unknown_queries), (5, 7));
    assert_eq!(of(0.5, Some(0.3)).unwrap().unknown_queries, 5);
    assert_eq!(of(0.1, None).unwrap(), held_out, "the same seed holds out the same");
}

/// Images of `identities` around their own points, as far apart as makes search hard.
fn synthetic(identities: i64, per_identity: usize, seed: u64) -> [Embeddings; 2] {
    const DIM: usize = 8;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || (0..12).map(|_| rng.random_range(0.0..1.0_f32)).sum::<f32>() - 6.0;
    let mut sets = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for pid in 0..identities {
        let at: [f32; DIM] = std::array::from_fn(|_| normal());
        for image in 0..per_identity {
            let set = &mut sets[image % 2];
            set.0.extend(at.map(|value| value + 0.45 * normal()));
            set.1.push(Pid(pid));
        }
    }
    sets.map(|(values, pids)| {
        let (n, paths) = (pids.len(), (0..pids.len()).map(|row| format!("{row}.jpg")).collect());
        Embeddings::new(DIM, values, pids, vec![None; n], paths).unwrap()
    })
}

const PROTOCOL: (Unit, CameraRule) = (Unit::Centroid, CameraRule::Any);

/// A query with what was found for it.
fn ranked(query: &Embeddings, gallery: &Embeddings) -> Vec<RankedQuery> {
    let (unit, cameras) = PROTOCOL;
    let ranking = Ranking { k: 1, unit, cameras, metric: Metric::default() };
    let rows: Vec<usize> = (0..query.len()).collect();
    rank(query, &rows, gallery, &ranking).unwrap()
}

#[test]
fn fresh_data_meets_the_targets() {
    let [query, gallery] = synthetic(800, 6, 1);
    let (unknowns, targets) =
        (Unknowns { share: None, seed: 5 }, CalibrationTargets { fpir: 0.05, fmr: 0.001 });
    let metric = Metric::default();
    let found = calibrate(&query, &gallery, PROTOCOL, &metric, &unknowns, &targets).unwrap();
    assert_eq!(found.identification.held_out_identities, 400);
    assert!(found.identification.fpir <= 0.05 && found.verification.unwrap().fmr <= 0.001);

    // Fresh identities: the second half is never shown to the gallery.
    let [query, gallery] = synthetic(800, 6, 2);
    let known: Vec<usize> = (0..gallery.len()).filter(|&r| gallery.pids()[r].0 < 400).collect();
    let gallery = gallery.select(&known);
    let answers: Vec<(bool, bool, f64, bool)> = ranked(&query, &gallery)
        .into_iter()
        .map(|ranked| {
            let wanted = query.pids()[ranked.query];
            let right = ranked.hits[0].pid == wanted;
            let verdict = found.judge(&ranked.hits);
            (wanted.0 < 400, verdict.known, verdict.confidence, right)
        })
        .collect();
    let unknown: Vec<_> = answers.iter().filter(|answer| !answer.0).collect();
    let fpir = unknown.iter().filter(|answer| answer.1).count() as f64 / unknown.len() as f64;
    // Three queries of an identity are much alike, so both sets are worth some 400 draws or more:
    // the standard error is at most √(2 · 0.05 · 0.95 / 400) = 1.5 %.
    assert!((fpir - 0.05).abs() < 0.045, "{fpir}");
    // Confidence: among queries said to be right with about p, about p are.
    for (low, high) in [(0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)] {
        let within: Vec<_> = answers.iter().filter(|a| a.2 >= low && a.2 < high).collect();
        assert!(within.len() > 100, "{} answers say {low} to {high}", within.len());
        let said = within.iter().map(|answer| answer.2).sum::<f64>() / within.len() as f64;
        let right = within.iter().filter(|answer| answer.3).count() as f64 / within.len() as f64;
        assert!((said - right).abs() < 0.1, "said {said}, right {right}");
    }
    let wide = answers.iter().filter(|answer| answer.1).map(|answer| answer.2);
    assert!(wide.fold(1.0, f64::min) > found.confidence.at(1e9), "monotone");
}

#[test]
fn a_calibration_survives_its_file_and_nothing_else_does() {
    let [query, gallery] = synthetic(60, 4, 3);
    let gallery = gallery.with_model("m1".to_owned());
    let (unknowns, targets) =
        (Unknowns { share: None, seed: 5 }, CalibrationTargets { fpir: 0.1, fmr: 0.01 });
    let metric = Metric::default();
    let found = calibrate(&query, &gallery, PROTOCOL, &metric, &unknowns, &targets).unwrap();
    let text = found.to_json();
    assert_eq!(Calibration::from_json(&text).unwrap(), found);

    let error = |text: &str| Calibration::from_json(text).unwrap_err().to_string();
    for text in ["", "{}", "[1]", "{\"format\": 3}", "not json", &text[..text.len() / 2]] {
        assert!(error(text).starts_with("no calibration ("), "{}", error(text));
    }
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        error(&text.replace(from, to))
    };
    assert!(
        with("calibration.v1", "calibration.v2").contains("format is `centroids.calibration.v2`")
    );
    assert!(with("\"centroid\"", "\"class\"").contains("unknown unit `class`"));
    assert!(with("\"slope\": -", "\"slope\": ").contains("slope must not be above 0"));
    assert!(with("\"threshold\"", "\"threshhold\"").contains("missing field `threshold`"));

    let check = |model: &str, unit, metric: &Metric| found.check(model, unit, metric);
    check("m1", Unit::Centroid, &metric).unwrap();
    check("", Unit::Centroid, &metric).unwrap();
    let refused = |result: Result<(), Error>| result.unwrap_err().to_string();
    let message = refused(check("m2", Unit::Centroid, &metric));
    assert_eq!(message, "calibrated for model m1, but this is model m2: calibrate for it");
    assert!(refused(check("m1", Unit::Nearest, &metric)).contains("unit centroid"));
    let raw = Metric { normalize: false, ..metric };
    assert!(refused(check("m1", Unit::Centroid, &raw)).contains("of raw vectors"));
}

#[test]
fn nothing_found_is_unknown_and_too_few_queries_are_refused() {
    let [query, gallery] = synthetic(30, 4, 4);
    let calibrate = |fpir, gallery: &Embeddings| {
        let (unknowns, targets) =
            (Unknowns { share: None, seed: 5 }, CalibrationTargets { fpir, fmr: 1e-9 });
        calibrate(&query, gallery, PROTOCOL, &Metric::default(), &unknowns, &targets)
    };
    let found = calibrate(0.1, &gallery).unwrap();
    assert_eq!(found.verification, None, "so few pairs cannot measure 1e-9");
    let none = found.judge(&[]);
    assert_eq!((none.known, none.confidence), (false, 0.0));
    let hit = |distance| Hit { rank: 1, pid: Pid(1), distance, example: 0 };
    let threshold = found.identification.threshold;
    assert!(found.judge(&[hit(threshold)]).known);
    assert!(!found.judge(&[hit(threshold.next_up())]).known);

    let message = calibrate(0.01, &gallery).unwrap_err().to_string();
    assert!(message.starts_with("30 queries without a mate cannot measure"), "{message}");
    assert!(message.contains("at least 100 can"), "{message}");
    let error = calibrate(0.1, &gallery.select(&[])).unwrap_err();
    assert!(matches!(error, Error::NoOpenSet { known: 0, unknown: 60 }), "{error}");
}
