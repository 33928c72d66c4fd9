use centroids_core::doctor::{Findings, Options, Step, examine, examine_with_progress};
use centroids_core::{CentroidOf, Distance, Embeddings, Error, Metric, Pid};

fn set(rows: &[(&[f32], i64)]) -> Embeddings {
    Embeddings::new(
        rows.first().map_or(2, |(vector, _)| vector.len()),
        rows.iter().flat_map(|(vector, _)| *vector).copied().collect(),
        rows.iter().map(|&(_, pid)| Pid(pid)).collect(),
        vec![None; rows.len()],
        (0..rows.len()).map(|row| format!("{row}.png")).collect(),
    )
    .unwrap()
}

/// Under every metric there is.
fn each_metric(set: &Embeddings, check: impl Fn(&Findings, &Metric)) {
    for &distance in Distance::ALL {
        for normalize in [false, true] {
            for &centroid_of in CentroidOf::ALL {
                let metric = Metric { distance, normalize, centroid_of };
                let options = Options { metric, ..Options::default() };
                check(&examine(set, Some(set), &options).unwrap(), &metric);
            }
        }
    }
}

fn nothing_but_duplicates(found: &Findings) {
    assert!(found.outliers.is_empty() && found.mislabelled.is_empty() && found.splits.is_empty());
}

#[test]
fn an_empty_set_and_junk_alone_have_nothing_to_find() {
    for empty in [set(&[]), set(&[(&[1.0, 0.0], -1), (&[1.0, 0.0], -1)])] {
        each_metric(&empty, |found, _| {
            nothing_but_duplicates(found);
            assert_eq!((found.images, found.classes, found.junk), (0, 0, empty.len()));
            assert_eq!(found.duplicates.leaks.as_ref().unwrap().count, 0);
            assert_eq!(found.effect, None);
        });
    }
}

#[test]
fn two_rows_of_one_class_or_of_two() {
    each_metric(&set(&[(&[1.0, 0.0], 4), (&[0.0, 1.0], 4)]), |found, _| {
        nothing_but_duplicates(found);
        assert_eq!((found.classes, found.not_judged.len()), (1, 0));
        assert_eq!(found.effect, None, "one class is always first");
        assert!(found.judgements[0].own.unwrap() > 0.9 && found.judgements[0].other.is_none());
    });
    each_metric(&set(&[(&[1.0, 0.0], 4), (&[0.0, 1.0], 5)]), |found, _| {
        nothing_but_duplicates(found);
        assert_eq!(found.not_judged.iter().map(|i| i.row).collect::<Vec<_>>(), [0, 1]);
        assert!(found.merges.is_empty() && found.effect.is_none());
    });
}

#[test]
fn one_image_per_class_cannot_be_judged() {
    let rows: Vec<[f32; 2]> = (0..20_u8).map(|i| [f32::from(i), 1.0]).collect();
    let rows: Vec<(&[f32], i64)> = rows.iter().zip(0..).map(|(row, pid)| (&row[..], pid)).collect();
    each_metric(&set(&rows), |found, _| {
        nothing_but_duplicates(found);
        assert_eq!((found.not_judged.len(), found.merges.len()), (20, 0));
    });
}

#[test]
fn equal_embeddings_and_zeros_are_duplicates_of_each_other() {
    for vector in [[0.3, -0.7], [0.0, 0.0]] {
        let rows: Vec<(&[f32], i64)> = (0..30).map(|row| (&vector[..], row / 10)).collect();
        each_metric(&set(&rows), |found, metric| {
            nothing_but_duplicates(found);
            let duplicates = &found.duplicates;
            // A zero vector is as far from itself as from others by the cosine: it has no direction.
            let none = metric.distance == Distance::Cosine && vector == [0.0, 0.0];
            let counts = if none { [0, 0, 0] } else { [3 * 45, 300, 900] };
            let leaks = duplicates.leaks.as_ref().unwrap();
            let kinds = [&duplicates.redundant, &duplicates.conflicts, leaks];
            assert_eq!(kinds.map(|pairs| pairs.count), counts, "{metric:?}");
            assert_eq!(duplicates.estimate.unwrap().sampled, 0);
            // Three labels for one thing.
            assert_eq!(found.merges.len(), 3);
            assert!(found.merges.iter().all(|merge| merge.overlap == 0.5));
            // By the lowest pid of equally near ones.
            assert_eq!(found.effect.as_ref().unwrap().leave_one_out[0].rank1, 1.0 / 3.0);
        });
    }
}

#[test]
fn values_beyond_single_precision_are_examined_in_double() {
    let far = [f32::MAX, 0.0];
    let near = [f32::MAX, f32::MAX / 4.0];
    let away = [-f32::MAX, 1.0];
    let rows: [(&[f32], i64); 6] =
        [(&far, 1), (&near, 1), (&near, 1), (&away, 2), (&away, 2), (&far, 2)];
    let metric = Metric { normalize: false, ..Metric::default() };
    let found = examine(&set(&rows), None, &Options { metric, ..Options::default() }).unwrap();
    assert_eq!(found.mislabelled.iter().map(|m| m.image.row).collect::<Vec<_>>(), [5]);
    assert_eq!(found.duplicates.redundant.count, 2);
    assert_eq!(found.duplicates.conflicts.count, 1);
}

#[test]
fn queries_without_a_match_leave_a_note_and_other_dimensions_are_refused() {
    let gallery = set(&[(&[1.0, 0.0], 1), (&[1.0, 0.1], 1), (&[0.0, 1.0], 2), (&[0.1, 1.0], 2)]);
    let found = examine(&gallery, Some(&set(&[(&[1.0, 0.5], 9)])), &Options::default()).unwrap();
    let effect = found.effect.unwrap();
    assert!(effect.against.is_none() && effect.against_note.unwrap().contains("gallery lacks"));
    let other = set(&[(&[1.0, 0.5, 0.0], 1)]);
    let error = examine(&gallery, Some(&other), &Options::default()).unwrap_err();
    assert!(matches!(error, Error::DimensionMismatch { query: 3, gallery: 2 }));
}

#[test]
fn progress_names_every_step_and_the_findings_are_json() {
    let gallery = set(&[(&[1.0, 0.0], 1), (&[1.0, 0.1], 1), (&[0.0, 1.0], 2), (&[0.1, 1.0], 2)]);
    let mut steps: Vec<&str> = Vec::new();
    let mut progress = |step: Step| {
        assert!(step.done < step.total);
        steps.push(step.what);
    };
    let options = Options::default();
    let found = examine_with_progress(&gallery, Some(&gallery), &options, &mut progress).unwrap();
    assert_eq!(steps.last(), Some(&"comparing files"));
    assert_eq!(steps.len(), 6);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["effect"]["leave_one_out"][1]["left_out"]["worst"], 0.01);
    assert_eq!(json["effect"]["leave_one_out"][0]["left_out"], "nothing");
    assert_eq!(json["duplicates"]["leaks"]["count"], 4);
    assert_eq!(json["duplicates"]["leaks"]["listed"][0]["first"]["path"], "0.png");
}
