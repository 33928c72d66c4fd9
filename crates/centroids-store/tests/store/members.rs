use centroids_core::{CamId, Pid};
use centroids_store::{
    AddOptions, Added, ClassRef, ContentHash, Gallery, MemberId, NewMember, OnConflict, Precision,
    SearchOptions, Selection, Settings,
};

use crate::support::{Fresh, add, member};

fn named(key: &str, name: &str) -> NewMember {
    NewMember::new(key, ClassRef::Name(name.to_owned()), None, vec![1.0, 0.0])
}

#[test]
fn adding_again_adds_nothing() {
    let fresh = Fresh::new(&Settings::new(2));
    let of_image = |key: &str, pid, bytes: &[u8], vector: &[f32]| {
        let mut new = member(key, pid, None, vector);
        new.hash = Some(ContentHash::of(bytes));
        new
    };
    let first = of_image("a.jpg", 1, b"picture", &[1.0, 2.0]);
    let there = Added::AlreadyThere { id: MemberId(1), pid: Pid(1) };
    let batch = [first.clone(), first.clone(), of_image("copy.jpg", 2, b"picture", &[3.0, 4.0])];
    let added = add(&fresh.gallery, &batch);
    assert_eq!(added, [Added::Added { id: MemberId(1) }, there, there]);
    assert_eq!(add(&fresh.gallery, &[member("a.jpg", 5, None, &[1.0, 2.0])]), [there]);
    assert_eq!(add(&fresh.gallery, &[member("j", -1, None, &[1.0, 2.0])]), [Added::Junk]);
    let hashes = [b"other".as_slice(), b"picture"].map(ContentHash::of);
    let known = fresh.gallery.known(&hashes).unwrap();
    assert_eq!((known[0], known[1].unwrap().pid), (None, Pid(1)));

    let changed = [member("b.jpg", 1, None, &[1.0, 1.0]), member("a.jpg", 1, None, &[2.0, 1.0])];
    let error = fresh.gallery.add(&changed, AddOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("a.jpg: is a member already"), "{error}");
    assert_eq!(fresh.gallery.stats().unwrap().members, 1, "nothing of the batch");
    let replace = AddOptions { on_conflict: OnConflict::Replace };
    let replaced = fresh.gallery.add(&changed, replace).unwrap();
    let is = [Added::Added { id: MemberId(2) }, Added::Replaced { id: MemberId(3) }];
    assert_eq!(replaced, is);
    assert_eq!(fresh.gallery.stats().unwrap().members, 2);
}

/// A vector that came without its picture is that picture once it is known.
#[test]
fn a_hash_is_learnt_later() {
    let fresh = Fresh::new(&Settings::new(1));
    let mut new = member("a.jpg", 1, None, &[1.0]);
    add(&fresh.gallery, &[new.clone()]);
    new.hash = Some(ContentHash::of(b"a"));
    add(&fresh.gallery, &[new]);
    assert!(fresh.gallery.known(&[ContentHash::of(b"a")]).unwrap()[0].is_some());
}

#[test]
fn names_and_numbers_are_one_space() {
    let fresh = Fresh::new(&Settings::new(2));
    add(&fresh.gallery, &[named("a", "bag"), named("b", "7"), named("c", "hat")]);
    let find = |class: ClassRef| fresh.gallery.find_class(&class).unwrap();
    let name = |name: &str| ClassRef::Name(name.to_owned());
    assert_eq!(find(name("7")), Some(Pid(7)));
    let (bag, hat) = (find(name("bag")).unwrap(), find(name("hat")).unwrap());
    assert_eq!((bag, hat, find(name("1"))), (Pid(1), Pid(8), None));
    // The number of a class that has another name is no name of it.
    add(&fresh.gallery, &[named("d", "1")]);
    assert_eq!(find(name("1")), Some(Pid(9)));

    fresh.gallery.relabel(&Selection::Keys(vec!["a".to_owned()]), &name("hat")).unwrap();
    assert_eq!((find(name("bag")), find(ClassRef::Pid(bag))), (None, None));
    add(&fresh.gallery, &[named("e", "shoe")]);
    assert_eq!(find(name("shoe")), Some(Pid(10)), "no number is used twice");
    let answers = fresh.gallery.search(&[&[1.0, 0.0]], &SearchOptions::default()).unwrap();
    let names: Vec<_> = answers[0].hits.iter().map(|hit| hit.name.as_deref()).collect();
    assert_eq!(names, [None, Some("hat"), Some("1"), Some("shoe")]);
}

#[test]
fn pages_go_through_everything() {
    let fresh = Fresh::new(&Settings::new(1));
    let rows: Vec<_> = (0..7)
        .map(|i| member(&format!("{i}"), i % 3, Some(i as u32 % 2), &[i as f32 + 1.0]))
        .collect();
    add(&fresh.gallery, &rows);
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = fresh.gallery.members(None, after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        keys.extend(page.into_iter().map(|member| (member.key, member.embedding)));
    }
    assert_eq!(keys, (0..7).map(|i| (format!("{i}"), vec![i as f32 + 1.0])).collect::<Vec<_>>());
    assert_eq!(fresh.gallery.members(Some(Pid(0)), None, 9).unwrap().len(), 3);
    let classes = fresh.gallery.classes(Some(Pid(0)), 1).unwrap();
    let one = &classes[0];
    assert_eq!((classes.len(), one.pid, one.members, one.cameras), (1, Pid(1), 2, 2));
}

/// The centroid is Σ w·v / Σ w, and what is set aside takes no part in it.
#[test]
fn weights_and_quarantine_move_the_centroid() {
    let fresh = Fresh::new(&Settings { normalize: false, ..Settings::new(1) });
    let weighted =
        |key: &str, value, weight| NewMember { weight, ..member(key, 1, Some(0), &[value]) };
    add(
        &fresh.gallery,
        &[weighted("a", 1.0, 3.0), weighted("b", 5.0, 1.0), weighted("c", 90.0, 1.0)],
    );
    let mean = || {
        let answers = fresh.gallery.search(&[&[0.0]], &SearchOptions::default()).unwrap();
        answers[0].hits.first().map(|hit| hit.distance.sqrt())
    };
    let outlier = Selection::Keys(vec!["c".to_owned()]);
    assert_eq!(mean(), Some(19.6));
    assert_eq!(fresh.gallery.quarantine(&outlier, true).unwrap(), 1);
    assert_eq!((fresh.gallery.quarantine(&outlier, true).unwrap(), mean()), (0, Some(2.0)));
    let stats = fresh.gallery.stats().unwrap();
    assert_eq!((stats.members, stats.quarantined, stats.classes), (2, 1, 1));
    assert_eq!(fresh.gallery.quarantine(&outlier, false).unwrap(), 1);
    assert_eq!(mean(), Some(19.6));
    fresh.gallery.quarantine(&Selection::Classes(vec![Pid(1)]), true).unwrap();
    assert_eq!((mean(), fresh.gallery.stats().unwrap().classes), (None, 1));
}

/// 2^-((t' - t) / half-life) is the ratio of two weights, at whatever time one asks.
#[test]
fn old_images_fade() {
    let settings = Settings { normalize: false, half_life: Some(10.0), ..Settings::new(1) };
    let fresh = Fresh::new(&settings);
    let at =
        |key: &str, time, value| NewMember { time: Some(time), ..member(key, 1, None, &[value]) };
    add(&fresh.gallery, &[at("old", 100.0, 0.0), at("new", 120.0, 5.0)]);
    let answers = fresh.gallery.search(&[&[0.0]], &SearchOptions::default()).unwrap();
    assert!((answers[0].hits[0].distance.sqrt() - 4.0).abs() < 1e-12);
    let error = fresh.gallery.add(&[member("timeless", 1, None, &[1.0])], AddOptions::default());
    assert!(error.unwrap_err().to_string().starts_with("timeless: has no time"));
}

#[test]
fn members_that_cannot_be_kept_are_named() {
    let fresh = Fresh::new(&Settings { precision: Precision::F16, ..Settings::new(2) });
    let error = |new: NewMember| {
        let good = member("good", 1, None, &[1.0, 1.0]);
        fresh.gallery.add(&[good, new], AddOptions::default()).unwrap_err().to_string()
    };
    assert!(error(member("a", 1, None, &[1.0])).starts_with("a has 1 dimensions"));
    assert!(error(member("a", 1, None, &[1.0, f32::NAN])).contains("NaN in dimension 1"));
    assert!(error(member("a", 1, None, &[1e6, 0.0])).contains("1000000 in dimension 0"));
    assert!(error(member("", 1, None, &[1.0, 0.0])).contains("key"));
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let new = NewMember { weight, ..member("a", 1, None, &[1.0, 0.0]) };
        assert!(error(new).starts_with("a: weight"));
    }
    let late = NewMember { time: Some(f64::INFINITY), ..member("a", 1, None, &[1.0, 0.0]) };
    assert!(error(late).starts_with("a: time"));
    let selection = Selection::Keys(vec!["good".to_owned()]);
    let error = fresh.gallery.relabel(&selection, &ClassRef::Pid(Pid::JUNK)).unwrap_err();
    assert!(error.to_string().contains("junk"));
    assert_eq!(fresh.gallery.stats().unwrap().members, 0);
}

/// Everything a member is comes back as it was given.
#[test]
fn members_come_back_whole() {
    let fresh = Fresh::new(&Settings::new(2));
    let mut new = member("a b'\"é.jpg", 4, Some(3), &[0.1, -0.2]);
    new.hash = Some(ContentHash::of(b"x"));
    (new.time, new.weight) = (Some(12.5), 0.75);
    new.attributes.insert("shop".to_owned(), "north".into());
    add(&fresh.gallery, &[new.clone()]);
    let back = fresh.gallery.members(None, None, 9).unwrap().remove(0);
    assert_eq!((back.key, back.hash, back.pid), (new.key, new.hash, Pid(4)));
    assert_eq!((back.camid, back.time, back.weight), (Some(CamId(3)), Some(12.5), 0.75));
    assert_eq!((back.attributes, back.embedding), (new.attributes, new.embedding));
    assert!(!back.quarantined);
}
