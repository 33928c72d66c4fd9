use centroids_store::{EmbeddedGallery, Gallery, OpenOptions, SearchOptions, Settings};

use crate::support::{Fresh, Numbers, add, member};

fn filled() -> Fresh {
    let fresh = Fresh::new(&Settings::new(4));
    let mut numbers = Numbers(3);
    let members: Vec<_> = (0..30)
        .map(|i| member(&format!("{i}"), i % 4, Some(i as u32 % 2), &numbers.vector(4)))
        .collect();
    add(&fresh.gallery, &members);
    fresh
}

/// Each fault is found, mended, and the gallery then answers as before.
#[test]
fn faults_are_found_and_mended() {
    let faults = [
        ("UPDATE part SET sum = zeroblob(32) WHERE pid = 1 AND camid = 1", "the sum is not"),
        ("UPDATE part SET members = members + 1 WHERE pid = 2", "counts 8 members of 7"),
        ("UPDATE part SET weight = weight * 1.00001 WHERE pid = 2", "the sum is not"),
        ("DELETE FROM part WHERE pid = 3", "missing or unreadable"),
        ("UPDATE part SET sum = x'00' WHERE pid = 3", "missing or unreadable"),
        (
            "INSERT INTO part SELECT 77, camid, members, weight, sum FROM part LIMIT 1",
            "pid 77, camera",
        ),
        ("DELETE FROM centroid WHERE pid = 0", "does not follow"),
        ("UPDATE centroid SET norm = 9 WHERE pid = 0", "does not follow"),
        ("UPDATE centroid SET direction = x'00' WHERE pid = 0", "does not follow"),
        ("DELETE FROM class WHERE pid = 2", "is no class"),
        ("INSERT INTO class (pid) VALUES (99)", "class without members"),
    ];
    for (sql, part) in faults {
        let fresh = filled();
        let query: &[f32] = &[0.3, 0.1, -0.4, 0.2];
        let ask = |gallery: &EmbeddedGallery| {
            gallery.search(&[query], &SearchOptions::default()).unwrap()
        };
        let right = ask(&fresh.gallery);
        let other = rusqlite::Connection::open(fresh.path()).unwrap();
        assert!(other.execute(sql, []).unwrap() > 0, "{sql}");
        let found = fresh.gallery.verify(false).unwrap();
        assert!(found.problems.iter().any(|problem| problem.contains(part)), "{sql}: {found:?}");
        let repaired = fresh.gallery.verify(true).unwrap();
        assert!(repaired.sound() && repaired.repaired > 0, "{sql}: {repaired:?}");
        assert!(fresh.gallery.verify(false).unwrap().sound());
        let reopened = EmbeddedGallery::open(&fresh.path(), OpenOptions::default()).unwrap();
        assert_eq!(ask(&reopened), right, "{sql}");
        assert_eq!(ask(&fresh.gallery), right, "{sql}");
    }
}

/// A member whose embedding is destroyed cannot be mended, only removed.
#[test]
fn a_destroyed_embedding_is_named() {
    let fresh = filled();
    let other = rusqlite::Connection::open(fresh.path()).unwrap();
    other.execute("UPDATE member SET embedding = x'0000' WHERE key = '7'", []).unwrap();
    let found = fresh.gallery.verify(true).unwrap();
    assert_eq!(found.problems, ["the embedding of 7 is unreadable: remove this member"]);
}

/// Sums lose no digits when large images leave small ones behind.
#[test]
fn what_is_left_of_a_sum_is_exact() {
    let fresh = Fresh::new(&Settings::new(1));
    let large: Vec<_> = (0..50).map(|i| member(&format!("l{i}"), 1, None, &[1e20])).collect();
    add(&fresh.gallery, &[member("small", 1, None, &[1e-3])]);
    add(&fresh.gallery, &large);
    let keys = large.iter().map(|member| member.key.clone()).collect();
    fresh.gallery.remove(&centroids_store::Selection::Keys(keys)).unwrap();
    let found = fresh.gallery.verify(false).unwrap();
    assert!(found.sound() && found.largest_difference == 0.0, "{found:?}");
}
