use std::fs;
use std::path::Path;
use std::process::Command;

use centroids_store::{EmbeddedGallery, Error, Gallery, OpenOptions, SearchOptions, Settings};

use crate::support::{Fresh, Numbers, add, member};

fn open(path: &Path) -> Result<EmbeddedGallery, Error> {
    EmbeddedGallery::open(path, OpenOptions::default())
}

/// Refused with one line that names the file, which stays as it is, with nothing beside it.
fn refused(path: &Path, part: &str) {
    let before = fs::read(path).unwrap();
    let error = open(path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    assert!(error.contains(part) && error.lines().count() == 1, "{error}");
    assert!(fs::read(path).unwrap() == before);
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
}

/// A closed gallery of a few hundred pages.
fn closed() -> (tempfile::TempDir, std::path::PathBuf) {
    let fresh = Fresh::new(&Settings::new(64));
    let mut numbers = Numbers(5);
    let members: Vec<_> = (0..600)
        .map(|i| member(&format!("{i}.jpg"), i % 100, Some(0), &numbers.vector(64)))
        .collect();
    add(&fresh.gallery, &members);
    let path = fresh.path();
    drop(fresh.gallery);
    (fresh.folder, path)
}

#[test]
fn other_files_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.gallery");
    let error = open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("other.gallery: there is no gallery"), "{error}");
    for content in [&b""[..], b"text", &[7; 5000]] {
        fs::write(&path, content).unwrap();
        refused(&path, "no database");
    }
    fs::remove_file(&path).unwrap();
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE bookmark (url TEXT)").unwrap();
    foreign.close().unwrap();
    refused(&path, "another program's");
    assert!(open(folder.path()).is_err(), "a folder");
}

#[test]
fn a_newer_version_is_refused_untouched() {
    let (_folder, path) = closed();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 3").unwrap();
    connection.close().unwrap();
    refused(&path, "newer version (format 3");
}

#[test]
fn what_exists_is_not_made_again() {
    let (folder, path) = closed();
    let before = fs::read(&path).unwrap();
    let error = EmbeddedGallery::create(&path, &Settings::new(3)).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == before);
    assert!(EmbeddedGallery::create(&folder.path().join("none/g"), &Settings::new(3)).is_err());
    assert!(EmbeddedGallery::create(&folder.path().join("h"), &Settings::new(0)).is_err());
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

/// Wherever a page is destroyed: an error or the right answer, and verification notices.
#[test]
fn a_destroyed_page_is_an_error_and_no_wrong_answer() {
    let (folder, path) = closed();
    let sound = fs::read(&path).unwrap();
    let query = Numbers(6).vector(64);
    let ask = |gallery: &EmbeddedGallery| {
        gallery.search(&[&query], &SearchOptions { k: 100, ..SearchOptions::default() })
    };
    let right = ask(&open(&path).unwrap()).unwrap();
    let pages = sound.len() / 8192;
    let mut noticed = 0;
    for page in 0..pages {
        let mut bad = sound.clone();
        bad[page * 8192 + 100..(page + 1) * 8192].fill(0xa5);
        fs::write(&path, &bad).unwrap();
        let line = |error: &Error| {
            assert!(matches!(error, Error::Damaged { .. }), "page {page}: {error}");
            assert_eq!(error.to_string().lines().count(), 1);
        };
        match open(&path) {
            Err(error) => line(&error),
            Ok(gallery) => {
                match ask(&gallery) {
                    Ok(answer) => assert!(answer == right, "page {page}"),
                    Err(error) => line(&error),
                }
                match gallery.verify(false) {
                    Ok(found) => assert!(!found.sound(), "page {page}"),
                    Err(error) => line(&error),
                }
            }
        }
        noticed += 1;
        assert!(fs::read(&path).unwrap() == bad, "page {page}: the file was touched");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "page {page}");
    }
    assert!(noticed > 20, "{pages} pages");
}

#[test]
fn a_file_cut_short_is_damaged() {
    let (_folder, path) = closed();
    let sound = fs::read(&path).unwrap();
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let gallery = open(&path);
    let error = gallery.and_then(|g| g.verify(false).map(|found| assert!(!found.sound())));
    if let Err(error) = error {
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}

/// Runs only as a child, on a file system that its parent made too small or read-only.
#[test]
fn cramped() {
    let Ok(path) = std::env::var("STORE_CRAMPED") else { return };
    let gallery = open(Path::new(&path)).unwrap();
    let before = gallery.stats().unwrap();
    let mut numbers = Numbers(8);
    let mut kept = before.members;
    let error = loop {
        let batch: Vec<_> = (0..20)
            .map(|i| member(&format!("{kept}-{i}"), 1, Some(0), &numbers.vector(64)))
            .collect();
        match gallery.add(&batch, centroids_store::AddOptions::default()) {
            Ok(_) => kept += 20,
            Err(error) => break error,
        }
    };
    assert_eq!(gallery.stats().unwrap().members, kept, "all of what was acknowledged, no more");
    assert!(gallery.verify(false).unwrap().sound());
    assert!(gallery.search(&[&[1.0; 64]], &SearchOptions::default()).is_ok());
    println!("refused: {error}");
}

/// Runs `cramped` on a tmpfs in a namespace of its own; `None` where nothing can be mounted.
fn on_tmpfs(options: &str, remount: &str) -> Option<String> {
    let (_folder, path) = closed();
    let script = format!(
        "mount -t tmpfs -o {options} none /mnt && cp {} /mnt/g.gallery && {remount} \
         STORE_CRAMPED=/mnt/g.gallery {} --exact hostile::cramped --nocapture",
        path.display(),
        std::env::current_exe().unwrap().display()
    );
    let mut mount = Command::new("unshare");
    mount.args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]);
    let mounts = mount.output().is_ok_and(|output| output.status.success());
    if !mounts {
        return None;
    }
    let output = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

#[test]
fn a_full_disk_keeps_what_was_acknowledged() {
    let Some(text) = on_tmpfs("size=3m", "") else {
        println!("SKIPPED: no file system can be mounted here");
        return;
    };
    assert!(text.contains("refused: /mnt/g.gallery: the disk is full"), "{text}");
}

#[test]
fn a_read_only_file_system_can_be_searched_but_not_changed() {
    let Some(text) = on_tmpfs("size=9m", "mount -o remount,ro /mnt &&") else {
        println!("SKIPPED: no file system can be mounted here");
        return;
    };
    assert!(text.contains("refused: /mnt/g.gallery: cannot be written (read-only"), "{text}");
}
