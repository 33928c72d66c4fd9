use centroids_core::{
    CamId, CameraRule, CentroidOf, Distance, Embeddings, Error, Hit, Labels, Metric, Pid, Preset,
    RankedQuery, Ranking, Report, Unit, evaluate, evaluate_distances, evaluate_grid,
    evaluate_preset, rank, search,
};
use proptest::prelude::*;

use crate::naive::{self, Image, Item};

/// Few identities, few cameras and few places, so that ties, junk, unknown cameras, identities of
/// one image and queries without a match are all common.
pub(crate) fn images(most: usize) -> impl Strategy<Value = Vec<Image>> {
    let camera = prop::option::weighted(0.8, 0_u32..3);
    let image = (-1_i64..4, camera, -2_i8..3, -2_i8..3).prop_map(|(pid, camera, x, y)| Image {
        pid,
        camera,
        at: [f32::from(x), f32::from(y)],
    });
    prop::collection::vec(image, 0..most)
}

pub(crate) fn metric() -> impl Strategy<Value = Metric> {
    let distance = prop::sample::select(Distance::ALL);
    let centroid_of = prop::sample::select(CentroidOf::ALL);
    (distance, any::<bool>(), centroid_of).prop_map(|(distance, normalize, centroid_of)| Metric {
        distance,
        normalize,
        centroid_of,
    })
}

/// Compares a report with the lists that each query should have ranked.
pub(crate) fn assert_report(
    report: Result<Report, Error>,
    query: &[Image],
    items: impl Fn(&Image) -> Vec<Item>,
) {
    let expected: Vec<_> = query.iter().map(|q| naive::metrics(items(q), q.pid)).collect();
    let valid: Vec<_> = expected.iter().flatten().collect();
    let report = match report {
        Ok(report) => report,
        Err(Error::NoValidQuery(why)) => {
            assert!(valid.is_empty());
            assert_eq!(why.queries, query.len());
            assert_eq!(why.junk + why.absent + why.left_out, query.len());
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(
        (report.valid_queries, report.skipped_queries),
        (valid.len(), query.len() - valid.len())
    );
    let of = |value: fn((f64, f64, usize)) -> f64| -> Vec<Option<f64>> {
        expected.iter().map(|metrics| metrics.map(value)).collect()
    };
    assert_eq!(report.average_precision, of(|(ap, ..)| ap));
    assert_eq!(report.inverse_negative_penalty, of(|(_, inp, _)| inp));
    let n = valid.len() as f64;
    assert!((report.map - valid.iter().map(|metrics| metrics.0).sum::<f64>() / n).abs() < 1e-12);
    assert!((report.minp - valid.iter().map(|metrics| metrics.1).sum::<f64>() / n).abs() < 1e-12);
    for k in 1..=50 {
        let found = valid.iter().filter(|metrics| metrics.2 <= k).count();
        assert_eq!(report.rank(k), found as f64 / n, "rank-{k}");
    }
}

proptest! {
    #[test]
    fn every_unit_and_camera_rule_ranks_what_it_says(
        query in images(40), gallery in images(25), metric in metric(),
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        for &unit in Unit::ALL {
            for &rule in CameraRule::ALL {
                let report = evaluate(&sets.0, &sets.1, unit, rule, &metric);
                let items = |q: &Image| naive::items(q, &gallery, unit, rule, &metric);
                assert_report(report, &query, items);
            }
        }
    }

    #[test]
    fn given_distances_are_scored_as_computed_ones(
        query in images(30), gallery in images(25),
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        let metric = Metric { normalize: false, ..Metric::default() };
        // Small whole numbers, so that single precision holds every distance.
        let distance = |q: usize, g: usize| metric.distance.between(sets.0.row(q), sets.1.row(g));
        let row = |q: usize| (0..gallery.len()).map(move |g| (q, g));
        let pairs = (0..query.len()).flat_map(row);
        let distances: Vec<f32> = pairs.map(|(q, g)| distance(q, g) as f32).collect();
        let labels = |set| Labels { pids: Embeddings::pids(set), camids: Embeddings::camids(set) };
        for &rule in CameraRule::ALL {
            let computed = evaluate(&sets.0, &sets.1, Unit::Instance, rule, &metric);
            let given = evaluate_distances(&distances, labels(&sets.0), labels(&sets.1), rule);
            prop_assert_eq!(given.ok(), computed.ok());
        }
    }

    #[test]
    fn presets_rank_what_they_say(
        query in images(40), gallery in images(25), metric in metric(),
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        for &preset in Preset::ALL {
            let report = evaluate_preset(&sets.0, &sets.1, preset, &metric);
            let items = |q: &Image| naive::preset_items(&query, q, &gallery, preset, &metric);
            assert_report(report, &query, items);
        }
    }

    #[test]
    fn rankings_are_what_evaluation_scores(
        query in images(40), gallery in images(25), metric in metric(), k in 0_usize..30,
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        let rows: Vec<usize> = (0..query.len()).rev().collect();
        for &unit in Unit::ALL {
            for &cameras in CameraRule::ALL {
                let ranking = Ranking { k, unit, cameras, metric };
                let ranked = rank(&sets.0, &rows, &sets.1, &ranking).unwrap();
                prop_assert_eq!(ranked.iter().map(|r| r.query).collect::<Vec<_>>(), rows.clone());
                for RankedQuery { query: row, hits, average_precision, first_rank } in ranked {
                    let mut expected = naive::items(&query[row], &gallery, unit, cameras, &metric);
                    let metrics = naive::metrics(expected.clone(), query[row].pid);
                    prop_assert_eq!(average_precision, metrics.map(|metrics| metrics.0));
                    prop_assert_eq!(first_rank, metrics.map(|metrics| metrics.2));
                    expected.sort_by(|a, b| a.distance.partial_cmp(&b.distance).unwrap());
                    expected.truncate(k);
                    let item = |hit: &Hit| Item { pid: hit.pid.0, distance: hit.distance };
                    prop_assert_eq!(hits.iter().map(item).collect::<Vec<_>>(), expected);
                    prop_assert!(hits.iter().all(|hit| gallery[hit.example].pid == hit.pid.0));
                }
            }
        }
    }

    #[test]
    fn search_finds_what_the_cross_rule_leaves(
        query in images(6), gallery in images(25), metric in metric(), k in 0_usize..30,
    ) {
        let set = naive::embeddings(&gallery);
        for query in &query {
            for &unit in Unit::ALL {
                let camera = query.camera.map(CamId);
                let hits = search(&query.at, camera, &set, k, unit, &metric).unwrap();
                let mut expected =
                    naive::items(query, &gallery, unit, CameraRule::Cross, &metric);
                expected.sort_by(|a, b| a.distance.partial_cmp(&b.distance).unwrap());
                expected.truncate(k);
                let found: Vec<Item> = hits
                    .iter()
                    .map(|hit| Item { pid: hit.pid.0, distance: hit.distance })
                    .collect();
                prop_assert_eq!(found, expected);
                for hit in hits {
                    let example = &gallery[hit.example];
                    prop_assert_eq!(Pid(example.pid), hit.pid);
                    prop_assert!(camera.is_none() || example.camera != query.camera);
                }
            }
        }
    }

    /// The mean of one image is that image, so both ways to rank identities agree.
    #[test]
    fn identities_of_one_image_rank_alike_by_nearest_and_centroid(
        query in images(40), gallery in images(25), distance in prop::sample::select(Distance::ALL),
    ) {
        let mut gallery = gallery;
        gallery.sort_by_key(|image| image.pid);
        gallery.dedup_by_key(|image| image.pid);
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        let metric = Metric { distance, ..Metric::default() };
        for &rule in CameraRule::ALL {
            let by = |unit| evaluate(&sets.0, &sets.1, unit, rule, &metric);
            match (by(Unit::Nearest), by(Unit::Centroid)) {
                (Ok(mut nearest), Ok(centroid)) => {
                    nearest.unit = Unit::Centroid;
                    prop_assert_eq!(nearest, centroid);
                }
                (nearest, centroid) => prop_assert!(nearest.is_err() && centroid.is_err()),
            }
        }
    }

    /// Without cameras all rules are the same rule.
    #[test]
    fn without_cameras_the_rules_agree(query in images(40), gallery in images(25)) {
        let forget = |images: Vec<Image>| -> Vec<Image> {
            images.into_iter().map(|image| Image { camera: None, ..image }).collect()
        };
        let sets = (naive::embeddings(&forget(query)), naive::embeddings(&forget(gallery)));
        for &unit in Unit::ALL {
            let map = |rule| {
                evaluate(&sets.0, &sets.1, unit, rule, &Metric::default()).ok().map(|report| report.map)
            };
            prop_assert_eq!(map(CameraRule::Market), map(CameraRule::Any));
            prop_assert_eq!(map(CameraRule::Cross), map(CameraRule::Any));
        }
    }
}

/// Distractors of pid 0 are one identity where identities are ranked, single images elsewhere.
/// More images than a block holds, an identity that spans blocks, and more images of the queries'
/// identities than are followed at once: evaluation still scores the rankings that are found.
#[test]
fn large_galleries_are_scored_as_they_are_ranked() {
    let mut state = 1_u32;
    let mut below = |n: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % n
    };
    let mut image = |pid: i64, spread: u32| Image {
        pid,
        camera: Some(below(3)),
        at: [below(spread) as f32, below(spread) as f32],
    };
    let mut gallery: Vec<Image> =
        (0..9000).map(|row| image(if row % 3 == 0 { row % 40 } else { 7 }, 60)).collect();
    gallery.rotate_left(4000);
    let query: Vec<Image> =
        (0..1000).map(|row| image(if row % 2 == 0 { 7 } else { row % 45 }, 60)).collect();
    let (query, gallery) = (naive::embeddings(&query), naive::embeddings(&gallery));
    let queries: Vec<usize> = (0..query.len()).collect();
    let metric = Metric { normalize: false, ..Metric::default() };
    let reports = evaluate_grid(&query, &gallery, Unit::ALL, CameraRule::ALL, &metric).unwrap();
    for report in reports {
        let (unit, cameras) = (report.unit, report.cameras);
        let ranking = Ranking { k: 1, unit, cameras, metric };
        let ranked = rank(&query, &queries, &gallery, &ranking).unwrap();
        let expected: Vec<_> = ranked.iter().map(|query| query.average_precision).collect();
        assert_eq!(report.average_precision, expected, "{unit} {cameras}");
        let expected: Vec<_> = ranked.iter().map(|query| query.first_rank).collect();
        assert_eq!(report.first_rank, expected, "{unit} {cameras}");
    }
}

#[test]
fn pid_0_is_one_identity() {
    let image = |pid, x: f32| Image { pid, camera: None, at: [x, 1.0] };
    let gallery = [image(0, 1.0), image(0, 3.0), image(5, 4.0), image(-1, 0.0)];
    let (query, gallery) = (naive::embeddings(&[image(5, 0.0)]), naive::embeddings(&gallery));
    let metric = Metric { normalize: false, ..Metric::default() };
    let units = [(Unit::Instance, 3, 3.0), (Unit::Nearest, 2, 2.0), (Unit::Centroid, 2, 2.0)];
    for (unit, gallery_units, rank) in units {
        let report = evaluate(&query, &gallery, unit, CameraRule::Any, &metric).unwrap();
        assert_eq!(report.gallery_units, gallery_units, "{unit}");
        assert_eq!(report.map, 1.0 / rank, "{unit}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_explained() {
    let image = |pid, camera| Image { pid, camera: Some(camera), at: [1.0, 0.0] };
    let query = [image(-1, 0), image(2, 0), image(3, 1), image(3, 1)];
    let (query, gallery) = (naive::embeddings(&query), naive::embeddings(&[image(3, 1)]));
    let error = |unit, rule| {
        evaluate(&query, &gallery, unit, rule, &Metric::default()).unwrap_err().to_string()
    };
    let message = error(Unit::Centroid, CameraRule::Market);
    assert!(message.starts_with("none of the 4 queries has a match in the gallery"), "{message}");
    for reason in [" 1 are junk", " 1 have a pid that the gallery lacks", " 2 match only images"] {
        assert!(message.contains(reason), "{message}");
    }
    let none = query.select(&[]);
    let error = evaluate(&none, &gallery, Unit::Nearest, CameraRule::Any, &Metric::default());
    assert_eq!(error.unwrap_err().to_string(), "there is no query: nothing to evaluate");
}

#[test]
fn the_smallest_and_the_flattest_sets_have_defined_answers() {
    let image = |pid: i64| Image { pid, camera: None, at: [1.0, 1.0] };
    let evaluate_all = |query: &[Image], gallery: &[Image]| {
        let sets = (naive::embeddings(query), naive::embeddings(gallery));
        evaluate_grid(&sets.0, &sets.1, Unit::ALL, CameraRule::ALL, &Metric::default())
    };
    // One query, one image.
    for report in evaluate_all(&[image(3)], &[image(3)]).unwrap() {
        assert_eq!((report.map, report.minp, report.rank(1)), (1.0, 1.0, 1.0));
    }
    // No gallery, no queries, nothing to find.
    for (query, gallery) in
        [(&[image(3)][..], &[][..]), (&[], &[image(3)]), (&[image(3)], &[image(4)])]
    {
        assert!(matches!(evaluate_all(query, gallery), Err(Error::NoValidQuery(_))));
    }
    // All alike: the order is that of the gallery, or of the pids.
    let gallery: Vec<Image> = (0..3000).map(|row| image(row % 10)).collect();
    let query: Vec<Image> = (0..20).map(|row| image(row % 10)).collect();
    for report in evaluate_all(&query, &gallery).unwrap() {
        let expected: Vec<_> = (0..20).map(|row| Some(row % 10 + 1)).collect();
        assert_eq!(report.first_rank, expected, "{} {}", report.unit, report.cameras);
    }
}
