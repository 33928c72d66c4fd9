use std::collections::BTreeMap;

use centroids_core::{CamId, CentroidOf, Distance, Metric, Pid, Unit};
use centroids_store::{
    AddOptions, Answer, ClassRef, EmbeddedGallery, Gallery, NewMember, OnConflict, OpenOptions,
    Precision, SearchOptions, Selection, Settings,
};
use proptest::prelude::*;

use crate::support::{Fresh, Numbers, member};

const DIM: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Add { key: u8, pid: u8, camera: Option<u32>, weight: u8, seed: u64 },
    Remove(u8),
    RemoveClass(u8),
    Relabel(u8, u8),
    Merge(u8, u8),
    Quarantine(u8, bool),
    Search,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, pid) = (0_u8..24, 0_u8..6);
    let camera = prop::option::weighted(0.8, 0_u32..3);
    let add = (key.clone(), pid.clone(), camera, 0_u8..4, any::<u64>())
        .prop_map(|(key, pid, camera, weight, seed)| Step::Add { key, pid, camera, weight, seed });
    let step = prop_oneof![
        8 => add,
        2 => key.clone().prop_map(Step::Remove),
        1 => pid.clone().prop_map(Step::RemoveClass),
        2 => (key.clone(), pid.clone()).prop_map(|(key, pid)| Step::Relabel(key, pid)),
        1 => (pid.clone(), pid).prop_map(|(from, to)| Step::Merge(from, to)),
        2 => (key, any::<bool>()).prop_map(|(key, aside)| Step::Quarantine(key, aside)),
        1 => Just(Step::Search),
    ];
    prop::collection::vec(step, 1..40)
}

fn settings() -> impl Strategy<Value = Settings> {
    let distance = prop::sample::select(Distance::ALL);
    let centroid_of = prop::sample::select(CentroidOf::ALL);
    let precision = prop::sample::select(vec![Precision::F32, Precision::F16]);
    let half_life = prop::option::of(Just(100.0));
    (distance, any::<bool>(), centroid_of, precision, half_life, 1_usize..4).prop_map(
        |(distance, normalize, centroid_of, precision, half_life, sub_centroids)| Settings {
            precision,
            half_life,
            sub_centroids,
            ..Settings::new(DIM).with_metric(Metric { distance, normalize, centroid_of })
        },
    )
}

/// What the gallery must hold: by key the member and whether it is set aside.
type Model = BTreeMap<String, (NewMember, bool)>;

fn of(key: u8) -> (String, Selection) {
    let key = format!("{key}.jpg");
    (key.clone(), Selection::Keys(vec![key]))
}

fn class(pid: u8) -> ClassRef {
    ClassRef::Pid(Pid(pid.into()))
}

fn take(gallery: &EmbeddedGallery, model: &mut Model, step: &Step) {
    match *step {
        Step::Add { key, pid, camera, weight, seed } => {
            let (key, _) = of(key);
            let mut numbers = Numbers(seed);
            let mut new = member(&key, pid.into(), camera, &numbers.vector(DIM));
            new.weight = f64::from(weight) + 0.25;
            new.time = Some(numbers.below(1000) as f64);
            let options = AddOptions { on_conflict: OnConflict::Replace };
            gallery.add(std::slice::from_ref(&new), options).unwrap();
            model.insert(key, (new, false));
        }
        Step::Remove(key) => {
            let (key, selection) = of(key);
            let there = usize::from(model.remove(&key).is_some());
            assert_eq!(gallery.remove(&selection).unwrap(), there);
        }
        Step::RemoveClass(pid) => {
            gallery.remove(&Selection::Classes(vec![Pid(pid.into())])).unwrap();
            model.retain(|_, (member, _)| member.class != class(pid));
        }
        Step::Relabel(key, pid) => {
            let (key, selection) = of(key);
            gallery.relabel(&selection, &class(pid)).unwrap();
            if let Some((member, _)) = model.get_mut(&key) {
                member.class = class(pid);
            }
        }
        Step::Merge(from, to) => {
            gallery.merge(&[Pid(from.into())], &class(to)).unwrap();
            for (member, _) in model.values_mut().filter(|(m, _)| m.class == class(from)) {
                member.class = class(to);
            }
        }
        Step::Quarantine(key, aside) => {
            let (key, selection) = of(key);
            gallery.quarantine(&selection, aside).unwrap();
            if let Some(entry) = model.get_mut(&key) {
                entry.1 = aside;
            }
        }
        Step::Search => {
            ask(gallery, Unit::Instance, Some(CamId(1)));
            ask(gallery, Unit::Centroid, Some(CamId(1)));
        }
    }
}

fn ask(gallery: &EmbeddedGallery, unit: Unit, without_camera: Option<CamId>) -> Vec<Answer> {
    let mut numbers = Numbers(7);
    let queries: Vec<Vec<f32>> = (0..4).map(|_| numbers.vector(DIM)).collect();
    let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
    let options = SearchOptions { k: 30, unit, without_camera, ..SearchOptions::default() };
    gallery.search(&queries, &options).unwrap()
}

/// The same answers, but for the order of what is equally far.
fn assert_alike(a: &[Answer], b: &[Answer]) {
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.hits.len(), b.hits.len());
        for (i, (x, y)) in a.hits.iter().zip(&b.hits).enumerate() {
            assert!((x.distance - y.distance).abs() <= 1e-6, "{x:?} {y:?}");
            let key = |hit: &centroids_store::Hit| hit.example.clone().map(|e| e.key);
            let tied = |at: Option<usize>| {
                let other = at.and_then(|at| a.hits.get(at));
                other.is_some_and(|other| (other.distance - x.distance).abs() < 1e-9)
            };
            if !tied(i.checked_sub(1)) && !tied(Some(i + 1)) {
                assert_eq!((x.pid, key(x)), (y.pid, key(y)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_history_ends_in_the_gallery_of_its_last_members(
        settings in settings(), steps in steps(), rows in prop::bool::ANY,
    ) {
        let lived = Fresh::new(&settings);
        let mut model = Model::new();
        for step in &steps {
            take(&lived.gallery, &mut model, step);
        }
        let fresh = Fresh::new(&settings);
        let members: Vec<NewMember> = model.values().map(|(member, _)| member.clone()).collect();
        fresh.gallery.add(&members, AddOptions::default()).unwrap();
        let aside = model.iter().filter(|(_, entry)| entry.1).map(|(key, _)| key.clone());
        fresh.gallery.quarantine(&Selection::Keys(aside.collect()), true).unwrap();

        let rows = if rows { Precision::F16 } else { Precision::F32 };
        let options = OpenOptions { rows, ..OpenOptions::default() };
        let reopened = EmbeddedGallery::open(&lived.path(), options).unwrap();
        for &unit in Unit::ALL {
            for camera in [None, Some(CamId(1)), Some(CamId(2)), Some(CamId(9))] {
                let expected = ask(&fresh.gallery, unit, camera);
                assert_alike(&ask(&lived.gallery, unit, camera), &expected);
                assert_alike(&ask(&reopened, unit, camera), &expected);
            }
        }
        let verification = lived.gallery.verify(false).unwrap();
        prop_assert!(verification.sound(), "{verification:?}");
        prop_assert!(verification.members == model.len() && verification.largest_difference <= 1e-9);
        let counts = |gallery: &EmbeddedGallery| {
            let stats = gallery.stats().unwrap();
            (stats.classes, stats.members, stats.quarantined, stats.cameras, stats.parts)
        };
        prop_assert_eq!(counts(&lived.gallery), counts(&fresh.gallery));
        prop_assert_eq!(
            lived.gallery.classes(None, 99).unwrap(), fresh.gallery.classes(None, 99).unwrap()
        );
    }
}
