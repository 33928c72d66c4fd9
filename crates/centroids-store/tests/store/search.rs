use centroids_core::{Calibration, CamId, CentroidOf, Distance, Metric, Pid, Unit, search};
use centroids_store::{
    EmbeddedGallery, Filter, Gallery, OpenOptions, Precision, SearchOptions, Selection, Settings,
};

use crate::support::{Fresh, Numbers, add, assert_hits, member};

/// 60 identities of up to 5 images from 3 cameras or none, a few of them junk.
fn filled(settings: &Settings) -> Fresh {
    let fresh = Fresh::new(settings);
    let mut numbers = Numbers(1);
    let members: Vec<_> = (0..180)
        .map(|i| {
            let camera = u32::try_from(numbers.below(4)).ok().filter(|camera| *camera < 3);
            let vector = numbers.vector(settings.dim);
            let mut new =
                member(&format!("{i}.jpg"), numbers.below(61) as i64 - 1, camera, &vector);
            new.attributes.insert("even".to_owned(), (i % 2 == 0).into());
            new
        })
        .collect();
    add(&fresh.gallery, &members);
    fresh
}

fn metrics() -> impl Iterator<Item = Metric> {
    let all = |distance| {
        [true, false].into_iter().flat_map(move |normalize| {
            CentroidOf::ALL.iter().map(move |&centroid_of| Metric {
                distance,
                normalize,
                centroid_of,
            })
        })
    };
    Distance::ALL.iter().copied().flat_map(all)
}

/// Both widths of rows give what the brute force over all images gives.
#[test]
fn hits_are_those_of_the_brute_force() {
    for metric in metrics() {
        let fresh = filled(&Settings::new(19).with_metric(metric));
        let everything = fresh.gallery.to_embeddings().unwrap();
        let mut numbers = Numbers(2);
        let queries: Vec<Vec<f32>> = (0..7).map(|_| numbers.vector(19)).collect();
        let slices: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        for rows in [Precision::F32, Precision::F16] {
            let options = OpenOptions { rows, ..OpenOptions::default() };
            let gallery = EmbeddedGallery::open(&fresh.path(), options).unwrap();
            for &unit in Unit::ALL {
                for camera in [None, Some(CamId(0)), Some(CamId(7))] {
                    for k in [1, 8, 500] {
                        let options = SearchOptions {
                            k,
                            unit,
                            without_camera: camera,
                            examples: true,
                            ..SearchOptions::default()
                        };
                        let answers = gallery.search(&slices, &options).unwrap();
                        for (query, answer) in queries.iter().zip(answers) {
                            let expected =
                                search(query, camera, &everything, k, unit, &metric).unwrap();
                            assert_hits(&answer.hits, &expected, (&everything, true));
                        }
                    }
                }
            }
        }
    }
}

/// A filter leaves what a gallery of the images that pass would find.
#[test]
fn filtered_centroids_are_those_of_the_images_that_pass() {
    let fresh = filled(&Settings::new(6));
    let everything = fresh.gallery.to_embeddings().unwrap();
    let number = |key: &String| key.trim_end_matches(".jpg").parse::<usize>().unwrap();
    let even: Vec<usize> =
        (0..everything.len()).filter(|&row| number(&everything.paths()[row]) % 2 == 0).collect();
    let even = everything.select(&even);
    let query = Numbers(3).vector(6);
    for &unit in Unit::ALL {
        for camera in [None, Some(CamId(1))] {
            let filter = Filter::default().and("even", true.into()).unwrap();
            let options = SearchOptions {
                unit,
                without_camera: camera,
                filter,
                examples: true,
                ..SearchOptions::default()
            };
            let answers = fresh.gallery.search(&[&query], &options).unwrap();
            let expected = search(&query, camera, &even, 10, unit, &Metric::default()).unwrap();
            assert_eq!(answers[0].hits.len(), expected.len());
            for (hit, right) in answers[0].hits.iter().zip(expected) {
                assert_eq!((hit.rank, hit.pid), (right.rank, right.pid));
                assert!((hit.distance - right.distance).abs() < 1e-12);
                assert_eq!(hit.example.as_ref().unwrap().key, even.paths()[right.example]);
            }
        }
    }
}

#[test]
fn filters_tell_types_apart() {
    let fresh = Fresh::new(&Settings::new(1));
    let values = [("text", "1".into()), ("number", 1.into()), ("true", true.into())];
    let members: Vec<_> = values
        .into_iter()
        .map(|(key, value): (&str, serde_json::Value)| {
            let mut new = member(key, 1, None, &[1.0]);
            new.attributes.insert("it's".to_owned(), value);
            new
        })
        .collect();
    add(&fresh.gallery, &members);
    let found = |value: serde_json::Value| {
        let filter = Filter::default().and("it's", value).unwrap();
        let options = SearchOptions { unit: Unit::Instance, filter, ..SearchOptions::default() };
        let answers = fresh.gallery.search(&[&[1.0]], &options).unwrap();
        answers[0].hits.iter().map(|hit| hit.example.clone().unwrap().key).collect::<Vec<_>>()
    };
    assert_eq!(found("1".into()), ["text"]);
    assert_eq!(found(1.0.into()), ["number"]);
    assert_eq!(found(true.into()), ["true"]);
    assert!(found(false.into()).is_empty() && found(2.into()).is_empty());
}

#[test]
fn equal_distances_are_ordered_by_pid() {
    let fresh = Fresh::new(&Settings::new(2));
    let rows: Vec<_> =
        (0..500).rev().map(|pid| member(&format!("{pid}"), pid, None, &[1.0, 1.0])).collect();
    add(&fresh.gallery, &rows);
    for unit in [Unit::Centroid, Unit::Nearest, Unit::Instance] {
        let options = SearchOptions { k: 3, unit, ..SearchOptions::default() };
        let answers = fresh.gallery.search(&[&[1.0, 0.5]], &options).unwrap();
        let pids: Vec<Pid> = answers[0].hits.iter().map(|hit| hit.pid).collect();
        assert_eq!(pids, [Pid(0), Pid(1), Pid(2)], "{unit}");
        assert_eq!(answers[0].margin, Some(0.0));
    }
}

#[test]
fn nobody_is_near_enough() {
    let fresh = Fresh::new(&Settings::new(2));
    let ask = |threshold| {
        let options = SearchOptions { k: 1, threshold, ..SearchOptions::default() };
        fresh.gallery.search(&[&[1.0, 0.0]], &options).unwrap().remove(0)
    };
    assert!(ask(None).unknown && ask(None).hits.is_empty());
    add(&fresh.gallery, &[member("a", 1, None, &[0.0, 1.0]), member("b", 2, None, &[-1.0, 0.0])]);
    let answer = ask(Some(1.9));
    assert_eq!((answer.unknown, answer.hits[0].pid, answer.margin), (true, Pid(1), Some(2.0)));
    assert!(!ask(Some(2.1)).unknown && !ask(None).unknown);
}

/// A curve of even odds at distance 1 and a threshold of 1.5, and what `change` makes of it.
fn calibration(change: impl Fn(&mut serde_json::Value)) -> Calibration {
    let mut fields = serde_json::json!({
        "format": "centroids.calibration.v1", "model": "toy", "unit": "centroid",
        "cameras": "market",
        "metric": { "distance": "euclidean", "normalize": true, "centroid_of": "raw" },
        "identification": {
            "threshold": 1.5, "target_fpir": 0.1, "fpir": 0.1, "dir": 0.9, "known_queries": 90,
            "unknown_queries": 10, "held_out_identities": 0,
        },
        "verification": null,
        "confidence": { "intercept": 2.0, "slope": -2.0 },
    });
    change(&mut fields);
    Calibration::from_json(&fields.to_string()).unwrap()
}

#[test]
fn a_calibration_says_how_sure_a_hit_is_and_who_is_unknown() {
    let fresh = Fresh::new(&Settings { model: "toy".to_owned(), ..Settings::new(2) });
    add(&fresh.gallery, &[member("a", 1, None, &[1.0, 0.0]), member("b", 2, None, &[-1.0, 0.0])]);
    let ask = |options: &SearchOptions| fresh.gallery.search(&[&[0.5, 0.75_f32.sqrt()]], options);
    let options = SearchOptions { calibration: Some(calibration(|_| ())), ..Default::default() };
    let answer = ask(&options).unwrap().remove(0);
    // Distances 1 and 3: odds of 1 and of e⁻⁴.
    let confidence: Vec<f64> = answer.hits.iter().map(|hit| hit.confidence.unwrap()).collect();
    assert!((confidence[0] - 0.5).abs() < 1e-6, "{answer:?}");
    assert!((confidence[1] - 1.0 / (1.0 + 4.0_f64.exp())).abs() < 1e-6 && !answer.unknown);
    let near = |fields: &mut serde_json::Value| fields["identification"]["threshold"] = 0.9.into();
    let strict = SearchOptions { calibration: Some(calibration(near)), ..Default::default() };
    assert!(ask(&strict).unwrap()[0].unknown);
    let explicit = SearchOptions { threshold: Some(1.1), ..strict };
    assert!(!ask(&explicit).unwrap()[0].unknown);
    assert_eq!(ask(&SearchOptions::default()).unwrap()[0].hits[0].confidence, None);

    let refused = |change: fn(&mut serde_json::Value)| {
        let options = SearchOptions { calibration: Some(calibration(change)), ..options.clone() };
        ask(&options).unwrap_err().to_string()
    };
    assert!(refused(|fields| fields["unit"] = "nearest".into()).contains("nearest"));
    assert!(refused(|fields| fields["model"] = "other".into()).contains("other"));
    assert!(refused(|fields| fields["metric"]["normalize"] = false.into()).contains("raw vectors"));
}

/// What one handle writes another sees, in everything it keeps.
#[test]
fn other_handles_follow() {
    let fresh = Fresh::new(&Settings::new(2));
    let other = EmbeddedGallery::open(&fresh.path(), OpenOptions::default()).unwrap();
    let nearest = |unit, without_camera| {
        let options = SearchOptions { unit, without_camera, ..SearchOptions::default() };
        other.search(&[&[1.0, 0.0]], &options).unwrap()[0].hits.first().map(|hit| hit.pid.0)
    };
    let all = || {
        [
            nearest(Unit::Centroid, None),
            nearest(Unit::Centroid, Some(CamId(0))),
            nearest(Unit::Instance, None),
        ]
    };
    assert_eq!(all(), [None, None, None]);
    let first = [member("a", 1, Some(0), &[1.0, 0.0]), member("b", 2, Some(1), &[0.0, 1.0])];
    add(&fresh.gallery, &first);
    assert_eq!(all(), [Some(1), Some(2), Some(1)]);
    add(&fresh.gallery, &[member("c", 1, Some(1), &[0.9, 0.1])]);
    assert_eq!(all(), [Some(1), Some(1), Some(1)]);
    fresh.gallery.remove(&Selection::Classes(vec![Pid(1)])).unwrap();
    assert_eq!(all(), [Some(2), Some(2), Some(2)]);
    fresh.gallery.compact().unwrap();
    add(&fresh.gallery, &first);
    fresh.gallery.compact().unwrap();
    assert_eq!(all(), [Some(1), Some(2), Some(1)]);
}

#[test]
fn queries_that_cannot_be_compared_are_named() {
    let fresh = Fresh::new(&Settings::new(2));
    let error = |queries: &[&[f32]]| {
        fresh.gallery.search(queries, &SearchOptions::default()).unwrap_err().to_string()
    };
    assert!(error(&[&[1.0, 0.0], &[1.0]]).starts_with("query 1 has 1 dimensions"));
    assert!(error(&[&[1.0, f32::NAN]]).starts_with("query 0 holds NaN in dimension 1"));
}
