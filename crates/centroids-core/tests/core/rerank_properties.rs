use std::collections::BTreeSet;

use centroids_core::{
    CameraRule, Distance, Embeddings, Error, Expansion, KReciprocal, Metric, Pid, RankedQuery,
    Ranking, Unit, evaluate, rank, rerank,
};
use proptest::prelude::*;

use crate::dense_rerank;
use crate::naive::{self, Image, Item};
use crate::protocol_properties::{assert_report, images, metric};

fn settings() -> impl Strategy<Value = KReciprocal> {
    let lambda = prop::sample::select(vec![0.0, 0.3, 0.5, 1.0]);
    (1_usize..12, 1_usize..8, lambda).prop_map(|(k1, k2, lambda)| KReciprocal { k1, k2, lambda })
}

fn no_junk(images: &[Image]) -> Vec<Image> {
    images.iter().filter(|image| image.pid != -1).copied().collect()
}

fn own_camera(query: &Image, image: &Image) -> bool {
    image.camera.is_some() && image.camera == query.camera
}

fn counts(query: &Image, image: &Image, rule: CameraRule) -> bool {
    !own_camera(query, image)
        || match rule {
            CameraRule::Market => query.pid != image.pid,
            CameraRule::Cross => false,
            CameraRule::Any => true,
        }
}

/// All distances of the queries and the units, one list after the other.
fn all_distances(query: &[Image], units: &[[f64; 2]], metric: &Metric) -> Vec<Vec<f64>> {
    let queries = query.iter().map(|query| naive::widen(query.at));
    let joint: Vec<[f64; 2]> = queries.chain(units.iter().copied()).collect();
    let row = |a: &[f64; 2]| joint.iter().map(|b| naive::distance(*a, *b, metric)).collect();
    joint.iter().map(row).collect()
}

/// What a query should be compared with, in tie order.
fn items(
    query: &[Image],
    row: usize,
    gallery: &[Image],
    (unit, rule): (Unit, CameraRule),
    (metric, settings): (&Metric, &KReciprocal),
) -> Vec<Item> {
    let gallery = no_junk(gallery);
    let asked = &query[row];
    let pids: BTreeSet<i64> = gallery.iter().map(|image| image.pid).collect();
    let of_pid = |pid: i64, keep: &dyn Fn(&Image) -> bool| -> Vec<Image> {
        gallery.iter().filter(|image| image.pid == pid && keep(image)).copied().collect()
    };
    if unit == Unit::Centroid {
        let in_mean = |image: &Image| rule != CameraRule::Cross || !own_camera(asked, image);
        let classes = pids.into_iter().map(|pid| (pid, of_pid(pid, &in_mean)));
        let classes: Vec<_> = classes.filter(|(_, members)| !members.is_empty()).collect();
        let kept = |(_, members): &(i64, Vec<Image>)| {
            naive::mean(members, metric).map(|value| f64::from(value as f32))
        };
        let means: Vec<[f64; 2]> = classes.iter().map(kept).collect();
        let distances = all_distances(query, &means, metric);
        let found = &dense_rerank::reranked(&distances, settings)[row][query.len()..];
        let largest = distances[row].iter().copied().fold(0.0, f64::max);
        let item = |((pid, members), found): (&(i64, Vec<Image>), &f64)| {
            let counting = of_pid(*pid, &|image| counts(asked, image, rule));
            let mut distance = *found;
            if !counting.is_empty() && counting.len() < members.len() {
                let KReciprocal { lambda, .. } = *settings;
                let jaccard = KReciprocal { lambda: 0.0, ..*settings };
                let place = classes.iter().position(|(other, _)| other == pid).unwrap();
                let jaccard =
                    dense_rerank::reranked(&distances, &jaccard)[row][query.len() + place];
                let rest = naive::mean(&counting, metric);
                let rest = naive::distance(naive::widen(asked.at), rest, metric);
                let rest = if largest > 0.0 { rest / largest } else { 0.0 };
                distance = jaccard * (1.0 - lambda) + rest * lambda;
            }
            (!counting.is_empty()).then_some(Item { pid: *pid, distance })
        };
        return classes.iter().zip(found).filter_map(item).collect();
    }
    let at: Vec<[f64; 2]> = gallery.iter().map(|image| naive::widen(image.at)).collect();
    let found = dense_rerank::reranked(&all_distances(query, &at, metric), settings);
    let found = &found[row][query.len()..];
    let counting = gallery.iter().zip(found).filter(|(image, _)| counts(asked, image, rule));
    let images: Vec<Item> =
        counting.map(|(image, distance)| Item { pid: image.pid, distance: *distance }).collect();
    if unit == Unit::Instance {
        return images;
    }
    let nearest = |pid: i64| {
        let distances = images.iter().filter(|item| item.pid == pid).map(|item| item.distance);
        distances.min_by(f64::total_cmp).map(|distance| Item { pid, distance })
    };
    pids.into_iter().filter_map(nearest).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn distances_are_those_of_the_dense_form(
        query in images(12), gallery in images(25), metric in metric(), settings in settings(),
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        let sparse = rerank::distances(&sets.0, &sets.1, &metric, &settings).unwrap();
        let kept: Vec<usize> = (0..gallery.len()).filter(|&row| gallery[row].pid != -1).collect();
        let at: Vec<[f64; 2]> = kept.iter().map(|&row| naive::widen(gallery[row].at)).collect();
        let original = all_distances(&query, &at, &metric);
        let dense = dense_rerank::reranked(&original, &settings);
        for (q, sparse) in sparse.iter().enumerate() {
            for (place, &row) in kept.iter().enumerate() {
                let place = query.len() + place;
                let found = sparse.distance(&settings, row, original[q][place]);
                prop_assert_eq!(found, dense[q][place]);
            }
        }
    }

    #[test]
    fn every_unit_and_camera_rule_is_evaluated_as_the_dense_form_ranks_it(
        query in images(9), gallery in images(25), metric in metric(), settings in settings(),
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        for &unit in Unit::ALL {
            for &rule in CameraRule::ALL {
                let report = rerank::evaluate(&sets.0, &sets.1, unit, rule, &metric, &settings);
                let row = |asked: &Image| {
                    query.iter().position(|other| std::ptr::eq(other, asked)).unwrap()
                };
                let (protocol, how) = ((unit, rule), (&metric, &settings));
                assert_report(report, &query, |q| items(&query, row(q), &gallery, protocol, how));
            }
        }
    }

    #[test]
    fn rankings_are_the_dense_form_s(
        query in images(9), gallery in images(25), metric in metric(), settings in settings(),
        k in 0_usize..30,
    ) {
        let sets = (naive::embeddings(&query), naive::embeddings(&gallery));
        let rows: Vec<usize> = (0..query.len()).rev().collect();
        for &unit in Unit::ALL {
            for &cameras in CameraRule::ALL {
                let ranking = Ranking { k, unit, cameras, metric };
                let ranked = rerank::rank(&sets.0, &rows, &sets.1, &ranking, &settings).unwrap();
                prop_assert_eq!(ranked.iter().map(|r| r.query).collect::<Vec<_>>(), rows.clone());
                for RankedQuery { query: row, hits, average_precision, first_rank } in ranked {
                    let mut expected =
                        items(&query, row, &gallery, (unit, cameras), (&metric, &settings));
                    let metrics = naive::metrics(expected.clone(), query[row].pid);
                    prop_assert_eq!(average_precision, metrics.map(|metrics| metrics.0));
                    prop_assert_eq!(first_rank, metrics.map(|metrics| metrics.2));
                    expected.sort_by(|a, b| a.distance.partial_cmp(&b.distance).unwrap());
                    expected.truncate(k);
                    let found: Vec<Item> = hits
                        .iter()
                        .map(|hit| Item { pid: hit.pid.0, distance: hit.distance })
                        .collect();
                    prop_assert_eq!(found, expected);
                    for hit in hits {
                        prop_assert_eq!(Pid(gallery[hit.example].pid), hit.pid);
                        prop_assert!(counts(&query[row], &gallery[hit.example], cameras));
                    }
                }
            }
        }
    }

    /// Nothing that a camera rule leaves out changes a query, and nothing of a camera changes an
    /// image that counts for its queries.
    #[test]
    fn expansion_ignores_the_query_s_camera(
        query in images(9), gallery in images(25), metric in metric(), neighbours in 1_usize..6,
        alpha in prop::sample::select(vec![0.0, 1.0, 3.0]),
    ) {
        let expansion = Expansion { neighbours, alpha };
        let set = naive::embeddings(&gallery);
        for cameras in [CameraRule::Market, CameraRule::Cross] {
            let augmented = rerank::augment_gallery(&set, cameras, &metric, &expansion).unwrap();
            for asked in &query {
                let rest: Vec<usize> =
                    (0..gallery.len()).filter(|&row| !own_camera(asked, &gallery[row])).collect();
                let (one, others) = (naive::embeddings(&[*asked]), set.select(&rest));
                let expand = |gallery, cameras| {
                    rerank::expand_queries(&one, gallery, cameras, &metric, &expansion).unwrap()
                };
                prop_assert_eq!(expand(&set, cameras), expand(&others, CameraRule::Any));
                let alone =
                    rerank::augment_gallery(&others, cameras, &metric, &expansion).unwrap();
                prop_assert_eq!(alone, augmented.select(&rest));
            }
        }
    }
}

/// `n` vectors of `dim` without a pattern, around `classes` places.
fn clustered(n: usize, dim: usize, classes: usize, mut state: u64) -> Embeddings {
    let mut number = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1_u64 << 24) as f32) - 0.5
    };
    let places: Vec<f32> = (0..classes * dim).map(|_| number()).collect();
    let value = |i: usize| places[i / dim % classes * dim + i % dim] + 1.5 * number();
    let values: Vec<f32> = (0..n * dim).map(value).collect();
    let pids = (0..n).map(|row| Pid((row % classes) as i64)).collect();
    Embeddings::new(dim, values, pids, vec![None; n], vec![String::new(); n]).unwrap()
}

/// Enough vectors that single precision alone would not decide, and copies among them.
#[test]
fn large_sets_are_ranked_as_by_the_dense_form() {
    let metric = Metric { normalize: false, ..Metric::default() };
    let settings = KReciprocal::default();
    let all = clustered(520, 40, 40, 7);
    let copies: Vec<usize> = (0..all.len()).chain((100..200).step_by(3)).collect();
    let all = all.select(&copies);
    let (queries, rows): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|row| row % 9 == 0);
    let (query, gallery) = (all.select(&queries), all.select(&rows));
    let joint: Vec<usize> = queries.iter().chain(&rows).copied().collect();
    let between = |a: &usize, b: &usize| Distance::default().between(all.row(*a), all.row(*b));
    let original: Vec<Vec<f64>> =
        joint.iter().map(|a| joint.iter().map(|b| between(a, b)).collect()).collect();
    let dense = dense_rerank::reranked(&original, &settings);
    let ranking = Ranking { k: 50, unit: Unit::Instance, cameras: CameraRule::Any, metric };
    let everyone: Vec<usize> = (0..query.len()).collect();
    let ranked = rerank::rank(&query, &everyone, &gallery, &ranking, &settings).unwrap();
    for RankedQuery { query: q, hits, .. } in &ranked {
        let mut expected: Vec<(f64, usize)> =
            dense[*q][query.len()..].iter().copied().zip(0..).collect();
        expected.sort_by(|a, b| a.0.total_cmp(&b.0));
        let found: Vec<_> = hits.iter().map(|hit| (hit.distance, hit.example)).collect();
        assert_eq!(found, expected[..50]);
    }
    let plain = rank(&query, &everyone, &gallery, &ranking).unwrap();
    assert_ne!(plain, ranked);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (query, gallery) = (clustered(70, 30, 11, 3), clustered(400, 30, 11, 4));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let distances = || {
            let settings = KReciprocal::default();
            rerank::distances(&query, &gallery, &Metric::default(), &settings).unwrap()
        };
        pool.install(distances)
    };
    assert_eq!(on(1), on(5));
}

/// With λ = 1 nothing but the original distance is left.
#[test]
fn a_lambda_of_one_is_the_plain_evaluation() {
    let (query, gallery) = (clustered(40, 12, 9, 5), clustered(200, 12, 9, 6));
    let settings = KReciprocal { lambda: 1.0, ..KReciprocal::default() };
    for (&unit, &rule) in Unit::ALL.iter().flat_map(|u| CameraRule::ALL.iter().map(move |r| (u, r)))
    {
        let metric = Metric::default();
        let plain = evaluate(&query, &gallery, unit, rule, &metric).unwrap();
        let reranked = rerank::evaluate(&query, &gallery, unit, rule, &metric, &settings).unwrap();
        assert_eq!(plain, reranked);
    }
}

/// What re-ranking is for: the neighbours of neighbours speak for an image.
#[test]
fn re_ranking_helps_where_identities_are_dense() {
    let (query, gallery) = (clustered(60, 16, 20, 8), clustered(400, 16, 20, 8));
    let (metric, settings) = (Metric::default(), KReciprocal::default());
    let (unit, rule) = (Unit::Instance, CameraRule::Any);
    let plain = evaluate(&query, &gallery, unit, rule, &metric).unwrap();
    let reranked = rerank::evaluate(&query, &gallery, unit, rule, &metric, &settings).unwrap();
    assert!(reranked.map > plain.map + 0.02, "{} {}", reranked.map, plain.map);
}

#[test]
fn odd_sets_have_defined_answers() {
    let image = |pid, x: f32| Image { pid, camera: None, at: [x, 1.0] };
    let settings = KReciprocal::default();
    let metric = Metric { normalize: false, ..Metric::default() };
    let rule = CameraRule::Any;
    let same = naive::embeddings(&[image(1, 2.0); 30]);
    let one = naive::embeddings(&[image(1, 2.0)]);
    for (query, gallery) in [(&same, &same), (&one, &one), (&one, &same), (&same, &one)] {
        for &unit in Unit::ALL {
            let report = rerank::evaluate(query, gallery, unit, rule, &metric, &settings).unwrap();
            assert_eq!(report.map, 1.0);
        }
    }
    let none = one.select(&[]);
    let error = rerank::evaluate(&one, &none, Unit::Instance, rule, &metric, &settings);
    assert!(matches!(error, Err(Error::NoValidQuery(_))));
    let error = rerank::evaluate(&none, &one, Unit::Centroid, rule, &metric, &settings);
    assert_eq!(error.unwrap_err().to_string(), "there is no query: nothing to evaluate");
    let huge = KReciprocal { k1: usize::MAX, k2: usize::MAX, lambda: 0.5 };
    assert!(rerank::evaluate(&one, &same, Unit::Instance, rule, &metric, &huge).is_ok());
    let bad = KReciprocal { k1: 0, ..settings };
    let error = rerank::evaluate(&one, &same, Unit::Instance, rule, &metric, &bad).unwrap_err();
    assert_eq!(error.to_string(), "`k1` is 0: it must be 1 or more");
    let wide = clustered(3, 5, 1, 1);
    let error = rerank::distances(&one, &wide, &metric, &settings).unwrap_err();
    assert!(error.to_string().starts_with("query has 2 dimensions but gallery has 5"));
    let once = Expansion { neighbours: 1, alpha: 0.0 };
    let error = rerank::expand_queries(&one, &wide, rule, &metric, &once).unwrap_err();
    assert!(error.to_string().starts_with("query has 2 dimensions but gallery has 5"));
}
