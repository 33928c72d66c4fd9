use std::fs;

use centroids_core::Pid;
use centroids_store::{
    ClassRef, ContentHash, Error, Gallery, NewMember, ParquetMembers, Selection, Settings,
    write_parquet,
};

use crate::support::{Fresh, Numbers, add, member};

/// A gallery with everything a member can have, and a member with nothing of it.
fn filled() -> Fresh {
    let settings = Settings { model: "resnet50@1".to_owned(), ..Settings::new(7) };
    let fresh = Fresh::new(&settings);
    let mut numbers = Numbers(4);
    let mut whole = NewMember {
        hash: Some(ContentHash::of(b"picture")),
        class: ClassRef::Name("shoe".to_owned()),
        time: Some(1.5e9),
        weight: 0.25,
        ..member("dir/ä \"b\".jpg", 0, Some(3), &numbers.vector(7))
    };
    whole.attributes.insert("shop".to_owned(), "north".into());
    add(&fresh.gallery, &[whole, member("plain", 9, None, &numbers.vector(7))]);
    fresh.gallery.quarantine(&Selection::Keys(vec!["plain".to_owned()]), true).unwrap();
    fresh
}

#[test]
fn parquet_holds_everything() {
    let fresh = filled();
    let file = fresh.folder.path().join("members.parquet");
    assert_eq!(write_parquet(&fresh.gallery, &file).unwrap(), 2);
    let members = ParquetMembers::open(&file).unwrap();
    assert_eq!((members.model.as_str(), members.len), ("resnet50@1", 2));
    let members: Vec<_> = members.collect::<Result<_, _>>().unwrap();
    let kept = fresh.gallery.members(None, None, 9).unwrap();
    for ((new, quarantined), kept) in members.iter().zip(&kept) {
        assert_eq!((&new.key, new.hash, new.camid), (&kept.key, kept.hash, kept.camid));
        assert_eq!((new.time, new.weight), (kept.time, kept.weight));
        assert_eq!((&new.attributes, &new.embedding), (&kept.attributes, &kept.embedding));
        assert_eq!(*quarantined, kept.quarantined);
    }
    assert_eq!(members[0].0.class, ClassRef::Name("shoe".to_owned()));
    assert_eq!(members[1].0.class, ClassRef::Pid(Pid(9)));
}

#[test]
fn more_members_than_a_row_group() {
    let fresh = Fresh::new(&Settings::new(1));
    let rows: Vec<_> =
        (0..5000).map(|i| member(&format!("{i}"), i % 7, None, &[i as f32 + 0.5])).collect();
    add(&fresh.gallery, &rows);
    let file = fresh.folder.path().join("members.parquet");
    assert_eq!(write_parquet(&fresh.gallery, &file).unwrap(), 5000);
    let back: Vec<_> = ParquetMembers::open(&file).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(back.iter().map(|(new, _)| new).eq(&rows));
}

/// However a file ends: an error that names it, and no panic.
#[test]
fn a_broken_parquet_file_is_named() {
    let fresh = filled();
    let file = fresh.folder.path().join("members.parquet");
    write_parquet(&fresh.gallery, &file).unwrap();
    let sound = fs::read(&file).unwrap();
    for length in (0..sound.len()).step_by(37) {
        fs::write(&file, &sound[..length]).unwrap();
        let error = ParquetMembers::open(&file).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("members.parquet: not a Parquet file"), "{error}");
    }
    for at in (4..sound.len() - 8).step_by(5) {
        let mut bad = sound.clone();
        bad[at] ^= 0x55;
        fs::write(&file, &bad).unwrap();
        // Not every bit can be checked; what is found must be an error of the file.
        let read =
            ParquetMembers::open(&file).and_then(|members| members.collect::<Result<Vec<_>, _>>());
        if let Err(error) = read {
            assert!(matches!(error, Error::BadFile { .. }), "{error}");
        }
    }
}

#[test]
fn embeddings_hold_what_counts() {
    let fresh = filled();
    let set = fresh.gallery.to_embeddings().unwrap();
    assert_eq!(
        (set.len(), set.model(), set.paths()[0].as_str()),
        (1, "resnet50@1", "dir/ä \"b\".jpg")
    );
    assert_eq!(set.pid_names().get(&set.pids()[0]).map(String::as_str), Some("shoe"));
}
