use std::process::{Child, Command, Stdio};
use std::time::Duration;

use centroids_store::{EmbeddedGallery, Error, Gallery, OpenOptions, Settings};

use crate::support::{Fresh, Numbers, add, member};

const ADDS: usize = 60;

/// This test binary again, running one test as a process of its own.
pub(crate) fn child(test: &str, arguments: &[(&str, String)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.envs(arguments.iter().map(|(name, value)| (*name, value.as_str())));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs only as a child of the test below.
#[test]
fn writer() {
    let (Ok(path), Ok(name)) = (std::env::var("STORE_WRITE"), std::env::var("STORE_NAME")) else {
        return;
    };
    let gallery = EmbeddedGallery::open(path.as_ref(), OpenOptions::default()).unwrap();
    let mut numbers = Numbers(name.len() as u64);
    for i in 0..ADDS {
        let new = member(&format!("{name}-{i}"), (i % 5) as i64, Some(0), &numbers.vector(8));
        add(&gallery, &[new]);
    }
}

#[test]
fn two_processes_add_at_once() {
    let fresh = Fresh::new(&Settings::new(8));
    let path = fresh.path().to_str().unwrap().to_owned();
    let start = |name: &str| {
        child(
            "processes::writer",
            &[("STORE_WRITE", path.clone()), ("STORE_NAME", name.to_owned())],
        )
    };
    for mut writer in ["first", "second!"].map(start) {
        assert!(writer.wait().unwrap().success());
    }
    let stats = fresh.gallery.stats().unwrap();
    assert_eq!((stats.members, stats.classes, stats.parts), (2 * ADDS, 5, 5));
    assert!(fresh.gallery.verify(false).unwrap().sound());
}

#[test]
fn a_writer_that_never_ends_is_reported() {
    let fresh = Fresh::new(&Settings::new(1));
    let options = OpenOptions { busy_timeout: Duration::from_millis(50), ..OpenOptions::default() };
    let impatient = EmbeddedGallery::open(&fresh.path(), options).unwrap();
    let holder = rusqlite::Connection::open(fresh.path()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = impatient.remove(&centroids_store::Selection::Ids(vec![])).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert_eq!(impatient.stats().unwrap().members, 0, "reading goes on");
}
