//! What every engine must do, told by one suite.

use centroids_core::{CamId, CentroidOf, Distance, Metric, Pid, Unit, search};
use centroids_store::{
    AddOptions, Added, Answer, ClassRef, ContentHash, Filter, Gallery, MemberId, NewMember,
    OnConflict, Precision, SearchOptions, Selection, Settings,
};
use serde_json::Value;

use crate::engines::Engine;
use crate::support::{Numbers, assert_hits, member};

/// A check's name, and what it does.
type Check = (&'static str, fn(&Engine));

/// All checks.
const CHECKS: &[Check] = &[
    ("adding", adding),
    ("names", names),
    ("pages", pages),
    ("centroids", centroids),
    ("fading", fading),
    ("refusals", refusals),
    ("wholeness", wholeness),
    ("brute_force", brute_force),
    ("filters", filters),
    ("ties", ties),
    ("thresholds", thresholds),
    ("history", history),
];

#[test]
fn files_conform() {
    CHECKS.iter().for_each(|(_, check)| check(&Engine::Embedded));
}

#[cfg(feature = "milvus")]
#[test]
fn milvus_conforms() {
    let Some(engine) = Engine::milvus("conformance") else { return };
    for (name, check) in CHECKS {
        let start = std::time::Instant::now();
        check(&engine);
        println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
}

fn add(gallery: &dyn Gallery, members: &[NewMember]) -> Vec<Added> {
    gallery.add(members, AddOptions::default()).unwrap()
}

fn ask(gallery: &dyn Gallery, query: &[f32], options: &SearchOptions) -> Answer {
    gallery.search(&[query], options).unwrap().remove(0)
}

fn keys(keys: &[&str]) -> Selection {
    Selection::Keys(keys.iter().map(|&key| key.to_owned()).collect())
}

fn name(name: &str) -> ClassRef {
    ClassRef::Name(name.to_owned())
}

fn sound(gallery: &dyn Gallery) {
    let found = gallery.verify(false).unwrap();
    assert!(found.sound() && found.largest_difference <= 1e-9, "{found:?}");
}

/// Twice is once; a taken key is refused or replaced; a hash is learnt later.
fn adding(engine: &Engine) {
    let gallery = engine.make(&Settings::new(2));
    let of_image = |key: &str, pid, bytes: &[u8], vector: &[f32]| {
        let hash = Some(ContentHash::of(bytes));
        NewMember { hash, ..member(key, pid, None, vector) }
    };
    let first = of_image("a.jpg", 1, b"picture", &[1.0, 2.0]);
    let batch = [first.clone(), first.clone(), of_image("copy.jpg", 2, b"picture", &[3.0, 4.0])];
    let added = add(&*gallery, &batch);
    let Added::Added { id } = added[0] else { panic!("{added:?}") };
    let there = Added::AlreadyThere { id, pid: Pid(1) };
    assert_eq!(added[1..], [there, there]);
    assert_eq!(add(&*gallery, &[member("a.jpg", 5, None, &[1.0, 2.0])]), [there]);
    assert_eq!(add(&*gallery, &[member("j", -1, None, &[1.0, 2.0])]), [Added::Junk]);
    assert_eq!(add(&*gallery, &[]), []);
    let known = gallery.known(&[b"other".as_slice(), b"picture"].map(ContentHash::of)).unwrap();
    assert_eq!((known[0], known[1].map(|known| (known.id, known.pid))), (None, Some((id, Pid(1)))));

    let revision = gallery.stats().unwrap().revision;
    let changed = [member("b.jpg", 1, None, &[1.0, 1.0]), member("a.jpg", 3, None, &[2.0, 1.0])];
    let error = gallery.add(&changed, AddOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with("a.jpg: is a member already"), "{error}");
    let stats = gallery.stats().unwrap();
    assert_eq!((stats.members, stats.revision), (1, revision), "nothing of the batch");
    let options = AddOptions { on_conflict: OnConflict::Replace };
    let replaced = gallery.add(&changed, options).unwrap();
    assert!(matches!(replaced[..], [Added::Added { .. }, Added::Replaced { .. }]), "{replaced:?}");
    let stats = gallery.stats().unwrap();
    assert_eq!((stats.members, stats.classes), (2, 2));
    assert!(stats.revision > revision);
    let gone = gallery.known(&[ContentHash::of(b"picture")]).unwrap();
    assert_eq!(gone, [None], "the picture was replaced by a vector without one");
    add(&*gallery, &[of_image("a.jpg", 3, b"again", &[2.0, 1.0])]);
    assert!(gallery.known(&[ContentHash::of(b"again")]).unwrap()[0].is_some());
    sound(&*gallery);
}

/// Names and numbers are one space, and no number is given twice.
fn names(engine: &Engine) {
    let gallery = engine.make(&Settings::new(2));
    let of = |key: &str, class: &str| NewMember::new(key, name(class), None, vec![1.0, 0.0]);
    assert!(!gallery.has_names().unwrap());
    add(&*gallery, &[of("a", "bag"), of("b", "7"), of("c", "h\"a\\t")]);
    let find = |class: ClassRef| gallery.find_class(&class).unwrap();
    assert!(gallery.has_names().unwrap());
    assert_eq!((find(name("7")), find(name("1"))), (Some(Pid(7)), None));
    let (bag, hat) = (find(name("bag")).unwrap(), find(name("h\"a\\t")).unwrap());
    assert_eq!((bag, hat), (Pid(1), Pid(8)));
    // The number of a class that has another name is no name of it.
    add(&*gallery, &[of("d", "1")]);
    assert_eq!(find(name("1")), Some(Pid(9)));

    assert_eq!(gallery.relabel(&keys(&["a", "none"]), &name("h\"a\\t")).unwrap(), 1);
    assert_eq!((find(name("bag")), find(ClassRef::Pid(bag))), (None, None));
    assert_eq!(gallery.merge(&[Pid(7), Pid(9)], &name("shoe")).unwrap(), 2);
    assert_eq!(find(name("shoe")), Some(Pid(10)));
    let answer = ask(&*gallery, &[1.0, 0.0], &SearchOptions::default());
    let names: Vec<_> = answer.hits.iter().map(|hit| hit.name.as_deref()).collect();
    assert_eq!(names, [Some("h\"a\\t"), Some("shoe")]);
    let instances = SearchOptions { unit: Unit::Instance, ..SearchOptions::default() };
    let answer = ask(&*gallery, &[1.0, 0.0], &instances);
    assert_eq!(answer.hits[3].name.as_deref(), Some("shoe"));
    assert_eq!(gallery.remove(&Selection::Classes(vec![Pid(10), Pid(99)])).unwrap(), 2);
    add(&*gallery, &[of("e", "belt")]);
    assert_eq!(find(name("belt")), Some(Pid(11)), "no number is given twice");
    sound(&*gallery);
}

fn pages(engine: &Engine) {
    let gallery = engine.make(&Settings::new(1));
    let rows: Vec<_> = (0..7)
        .map(|i| member(&format!("{i}"), i % 3, Some(i as u32 % 2), &[i as f32 + 1.0]))
        .collect();
    rows.chunks(3).for_each(|rows| drop(add(&*gallery, rows)));
    let (mut keys, mut ids, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = gallery.members(None, after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        ids.extend(page.iter().map(|member| member.id));
        keys.extend(page.into_iter().map(|member| (member.key, member.embedding)));
    }
    assert!(ids.is_sorted_by(|a: &MemberId, b| a < b));
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(keys, (0..7).map(|i| (format!("{i}"), vec![i as f32 + 1.0])).collect::<Vec<_>>());
    assert_eq!(gallery.members(Some(Pid(0)), None, 9).unwrap().len(), 3);
    assert_eq!(gallery.members(Some(Pid(0)), Some(ids[6]), 9).unwrap().len(), 0);
    let classes = gallery.classes(Some(Pid(0)), 1).unwrap();
    let one = &classes[0];
    assert_eq!((classes.len(), one.pid, one.members, one.cameras), (1, Pid(1), 2, 2));
    let all: Vec<i64> =
        gallery.classes(None, usize::MAX).unwrap().iter().map(|class| class.pid.0).collect();
    assert_eq!(all, [0, 1, 2]);
    let embeddings = gallery.to_embeddings().unwrap();
    assert_eq!((embeddings.len(), embeddings.dim()), (7, 1));
}

/// The centroid is Σ w·v / Σ w, and what is set aside takes no part in it.
fn centroids(engine: &Engine) {
    let gallery = engine.make(&Settings { normalize: false, ..Settings::new(1) });
    let weighted =
        |key: &str, value, weight| NewMember { weight, ..member(key, 1, Some(0), &[value]) };
    add(&*gallery, &[weighted("a", 1.0, 3.0), weighted("b", 5.0, 1.0), weighted("c", 90.0, 1.0)]);
    let mean = || {
        let answer = ask(&*gallery, &[0.0], &SearchOptions::default());
        answer.hits.first().map(|hit| hit.distance.sqrt())
    };
    assert_eq!(mean(), Some(19.6));
    assert_eq!(gallery.quarantine(&keys(&["c"]), true).unwrap(), 1);
    assert_eq!((gallery.quarantine(&keys(&["c"]), true).unwrap(), mean()), (0, Some(2.0)));
    let stats = gallery.stats().unwrap();
    assert_eq!((stats.members, stats.quarantined, stats.classes, stats.parts), (2, 1, 1, 1));
    assert_eq!(gallery.quarantine(&keys(&["c"]), false).unwrap(), 1);
    assert_eq!(mean(), Some(19.6));
    gallery.quarantine(&Selection::Classes(vec![Pid(1)]), true).unwrap();
    assert_eq!((mean(), gallery.stats().unwrap().classes), (None, 1));
    sound(&*gallery);
}

/// 2^-((t' - t) / half-life) is the ratio of two weights, at whatever time one asks.
fn fading(engine: &Engine) {
    let settings = Settings { normalize: false, half_life: Some(10.0), ..Settings::new(1) };
    let gallery = engine.make(&settings);
    let at =
        |key: &str, time, value| NewMember { time: Some(time), ..member(key, 1, None, &[value]) };
    add(&*gallery, &[at("old", 100.0, 0.0), at("new", 120.0, 5.0)]);
    let answer = ask(&*gallery, &[0.0], &SearchOptions::default());
    assert!((answer.hits[0].distance.sqrt() - 4.0).abs() < 1e-12);
    let error = gallery.add(&[member("timeless", 1, None, &[1.0])], AddOptions::default());
    assert!(error.unwrap_err().to_string().starts_with("timeless: has no time"));
}

/// What cannot be kept is named, and nothing of its batch is written.
fn refusals(engine: &Engine) {
    let gallery = engine.make(&Settings { precision: Precision::F16, ..Settings::new(2) });
    let error = |new: NewMember| {
        let good = member("good", 1, None, &[1.0, 1.0]);
        gallery.add(&[good, new], AddOptions::default()).unwrap_err().to_string()
    };
    assert!(error(member("a", 1, None, &[1.0])).starts_with("a has 1 dimensions"));
    assert!(error(member("a", 1, None, &[1.0, f32::NAN])).contains("NaN in dimension 1"));
    assert!(error(member("a", 1, None, &[1e6, 0.0])).contains("1000000 in dimension 0"));
    assert!(error(member("", 1, None, &[1.0, 0.0])).contains("key"));
    let unweighted = NewMember { weight: 0.0, ..member("a", 1, None, &[1.0, 0.0]) };
    assert!(error(unweighted).starts_with("a: weight"));
    let error = gallery.relabel(&keys(&["good"]), &ClassRef::Pid(Pid::JUNK)).unwrap_err();
    assert!(error.to_string().contains("junk"));
    assert_eq!(gallery.stats().unwrap().members, 0);
    let error = |query: &[f32]| {
        gallery.search(&[query], &SearchOptions::default()).unwrap_err().to_string()
    };
    assert!(error(&[1.0]).starts_with("query 0 has 1 dimensions"));
    assert!(error(&[1.0, f32::NAN]).starts_with("query 0 holds NaN in dimension 1"));
}

/// Everything a member is comes back as it was given, in the width of the gallery.
fn wholeness(engine: &Engine) {
    let gallery = engine.make(&Settings { precision: Precision::F16, ..Settings::new(3) });
    let mut new = member("a b'\"é\\.jpg", 4, Some(3), &[0.1, -0.2, 0.5]);
    new.hash = Some(ContentHash::of(b"x"));
    (new.time, new.weight) = (Some(1_700_000_000.123_456), 0.1);
    new.attributes.insert("it's".to_owned(), "nörth \"1\"".into());
    new.attributes.insert("list".to_owned(), serde_json::json!([1, 2.5, null]));
    add(&*gallery, &[new.clone(), member("plain", 4, None, &[1.0, 0.0, 0.0])]);
    let members = gallery.members(None, None, 9).unwrap();
    let back = members.iter().find(|member| member.key == new.key).unwrap();
    assert_eq!((back.hash, back.pid, back.camid), (new.hash, Pid(4), new.camid));
    assert_eq!((back.time, back.weight, back.quarantined), (new.time, new.weight, false));
    assert_eq!(back.attributes, new.attributes);
    let kept: Vec<f32> =
        new.embedding.iter().map(|&value| half::f16::from_f32(value).to_f32()).collect();
    assert_eq!(back.embedding, kept);
    let plain = members.iter().find(|member| member.key == "plain").unwrap();
    assert_eq!((plain.hash, plain.camid, plain.time), (None, None, None));
    assert_eq!(gallery.remove(&Selection::Ids(vec![back.id, MemberId(5)])).unwrap(), 1);
    assert_eq!(gallery.remove(&keys(&[&back.key])).unwrap(), 0);
}

/// Up to 5 images of 60 identities from 3 cameras or none, a few of them junk.
fn crowd(dim: usize) -> Vec<NewMember> {
    let mut numbers = Numbers(1);
    let one = |i: usize| {
        let camera = u32::try_from(numbers.below(4)).ok().filter(|camera| *camera < 3);
        let pid = numbers.below(61) as i64 - 1;
        let mut new = member(&format!("{i}.jpg"), pid, camera, &numbers.vector(dim));
        new.attributes.insert("even".to_owned(), i.is_multiple_of(2).into());
        new
    };
    (0..180).map(one).collect()
}

/// Hits are those of the brute force over all images, whatever is compared and left out.
fn brute_force(engine: &Engine) {
    let metrics = [
        (Distance::Cosine, true, CentroidOf::Raw),
        (Distance::SquaredEuclidean, true, CentroidOf::Unit),
        (Distance::SquaredEuclidean, false, CentroidOf::Raw),
    ];
    for (distance, normalize, centroid_of) in metrics {
        let metric = Metric { distance, normalize, centroid_of };
        let gallery = engine.make(&Settings::new(19).with_metric(metric));
        add(&*gallery, &crowd(19));
        let everything = gallery.to_embeddings().unwrap();
        let mut numbers = Numbers(2);
        let queries: Vec<Vec<f32>> = (0..7).map(|_| numbers.vector(19)).collect();
        let slices: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        for &unit in Unit::ALL {
            for without_camera in [None, Some(CamId(0)), Some(CamId(7))] {
                for k in [1, 8, usize::MAX] {
                    let examples = k == 8;
                    let options = SearchOptions {
                        k,
                        unit,
                        without_camera,
                        examples,
                        ..SearchOptions::default()
                    };
                    let answers = gallery.search(&slices, &options).unwrap();
                    for (query, answer) in queries.iter().zip(answers) {
                        let right =
                            search(query, without_camera, &everything, k, unit, &metric).unwrap();
                        let shown = examples || unit != Unit::Centroid;
                        assert_hits(&answer.hits, &right, (&everything, shown));
                    }
                }
            }
        }
    }
}

/// A filter leaves what a gallery of the images that pass would find, and tells types apart.
fn filters(engine: &Engine) {
    let gallery = engine.make(&Settings::new(6));
    add(&*gallery, &crowd(6));
    let everything = gallery.to_embeddings().unwrap();
    let number = |key: &String| key.trim_end_matches(".jpg").parse::<usize>().unwrap();
    let even: Vec<usize> =
        (0..everything.len()).filter(|&row| number(&everything.paths()[row]) % 2 == 0).collect();
    let even = everything.select(&even);
    let query = Numbers(3).vector(6);
    for &unit in Unit::ALL {
        for without_camera in [None, Some(CamId(1))] {
            let filter = Filter::default().and("even", true.into()).unwrap();
            let options = SearchOptions {
                unit,
                without_camera,
                filter,
                examples: true,
                ..SearchOptions::default()
            };
            let answer = ask(&*gallery, &query, &options);
            let right = search(&query, without_camera, &even, 10, unit, &Metric::default());
            let right = right.unwrap();
            assert_eq!(answer.hits.len(), right.len());
            for (hit, right) in answer.hits.iter().zip(right) {
                assert_eq!((hit.rank, hit.pid), (right.rank, right.pid));
                assert!((hit.distance - right.distance).abs() < 1e-12);
                assert_eq!(hit.example.as_ref().unwrap().key, even.paths()[right.example]);
            }
        }
    }
    let types: [(&str, Value); 4] =
        [("text", "1".into()), ("number", 1.into()), ("true", true.into()), ("null", Value::Null)];
    let typed = |(key, value): (&str, Value)| {
        let mut new = member(key, 100, None, &query);
        new.attributes.insert("it's".to_owned(), value);
        new
    };
    add(&*gallery, &types.map(typed));
    let found = |value: Value| {
        let filter = Filter::default().and("it's", value).unwrap();
        let options =
            SearchOptions { unit: Unit::Instance, filter, k: 999, ..SearchOptions::default() };
        let hits = ask(&*gallery, &query, &options).hits;
        hits.into_iter().map(|hit| hit.example.unwrap().key).collect::<Vec<_>>()
    };
    assert_eq!(found("1".into()), ["text"]);
    assert_eq!(found(1.0.into()), ["number"]);
    assert_eq!(found(true.into()), ["true"]);
    assert!(found(false.into()).is_empty() && found(2.into()).is_empty());
    let null = found(Value::Null);
    assert_eq!((null[0].as_str(), null.len()), ("null", everything.len() + 1), "absent is null");
}

fn ties(engine: &Engine) {
    let gallery = engine.make(&Settings::new(2));
    let rows: Vec<_> =
        (0..500).rev().map(|pid| member(&format!("{pid}"), pid, None, &[1.0, 1.0])).collect();
    add(&*gallery, &rows);
    for unit in [Unit::Centroid, Unit::Nearest, Unit::Instance] {
        let options = SearchOptions { k: 3, unit, ..SearchOptions::default() };
        let answer = ask(&*gallery, &[1.0, 0.5], &options);
        let pids: Vec<Pid> = answer.hits.iter().map(|hit| hit.pid).collect();
        assert_eq!(pids, [Pid(0), Pid(1), Pid(2)], "{unit}");
        assert_eq!(answer.margin, Some(0.0));
    }
}

fn thresholds(engine: &Engine) {
    let gallery = engine.make(&Settings::new(2));
    let at = |threshold| {
        let options = SearchOptions { k: 1, threshold, ..SearchOptions::default() };
        ask(&*gallery, &[1.0, 0.0], &options)
    };
    assert!(at(None).unknown && at(None).hits.is_empty());
    add(&*gallery, &[member("a", 1, None, &[0.0, 1.0]), member("b", 2, None, &[-1.0, 0.0])]);
    let answer = at(Some(1.9));
    assert_eq!((answer.unknown, answer.hits[0].pid, answer.margin), (true, Pid(1), Some(2.0)));
    assert!(!at(Some(2.1)).unknown && !at(None).unknown);
}

/// Whatever happened before, the gallery is the one that a file made of its last members is.
fn history(engine: &Engine) {
    const DIM: usize = 5;
    let settings = Settings { half_life: Some(100.0), ..Settings::new(DIM) };
    let lived = engine.make(&settings);
    let mut numbers = Numbers(9);
    for step in 0..24 {
        let (key, pid) = (numbers.below(12), numbers.below(5) as i64);
        let one = keys(&[&format!("{key}")]);
        match if step < 8 { 0 } else { numbers.below(7) } {
            0..3 => {
                let batch: Vec<_> = (0..3)
                    .map(|i| {
                        let camera = numbers.below(4) as u32;
                        let camera = Some(camera).filter(|&camera| camera < 3);
                        let key = format!("{}", (key + i) % 12);
                        let mut new = member(&key, pid, camera, &numbers.vector(DIM));
                        new.weight = numbers.below(4) as f64 + 0.25;
                        new.time = Some(numbers.below(1000) as f64);
                        new
                    })
                    .collect();
                let options = AddOptions { on_conflict: OnConflict::Replace };
                drop(lived.add(&batch, options).unwrap());
            }
            3 => drop(lived.remove(&one).unwrap()),
            4 => drop(lived.relabel(&one, &ClassRef::Pid(Pid(pid))).unwrap()),
            5 => drop(lived.merge(&[Pid(pid)], &ClassRef::Pid(Pid(4))).unwrap()),
            _ => drop(lived.quarantine(&one, step % 3 > 0).unwrap()),
        }
    }
    sound(&*lived);
    let members = lived.members(None, None, usize::MAX).unwrap();
    assert!(members.len() > 4 && members.iter().any(|member| member.quarantined));
    let fresh = Engine::Embedded.make(&settings);
    for member in &members {
        let new = NewMember {
            weight: member.weight,
            time: member.time,
            ..NewMember::new(&member.key, member.pid, member.camid, member.embedding.clone())
        };
        add(&*fresh, &[new]);
        fresh.quarantine(&keys(&[&member.key]), member.quarantined).unwrap();
    }
    assert_eq!(lived.classes(None, 99).unwrap(), fresh.classes(None, 99).unwrap());
    let queries: Vec<Vec<f32>> = (0..4).map(|_| numbers.vector(DIM)).collect();
    for &unit in Unit::ALL {
        for without_camera in [None, Some(CamId(1)), Some(CamId(9))] {
            let options =
                SearchOptions { unit, without_camera, examples: true, ..SearchOptions::default() };
            for query in &queries {
                let (a, b) = (ask(&*lived, query, &options), ask(&*fresh, query, &options));
                assert_eq!(a.hits.len(), b.hits.len());
                for (a, b) in a.hits.iter().zip(&b.hits) {
                    let key = |hit: &centroids_store::Hit| hit.example.clone().unwrap().key;
                    assert_eq!((a.pid, key(a)), (b.pid, key(b)));
                    assert!((a.distance - b.distance).abs() < 1e-6);
                }
            }
        }
    }
}
