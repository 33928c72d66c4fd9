use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::time::Duration;

use centroids_core::Pid;
use centroids_store::{
    AddOptions, ClassRef, EmbeddedGallery, Gallery, NewMember, OpenOptions, Selection, Settings,
};

use crate::processes::child;
use crate::support::{Fresh, Numbers, member};

const DIM: usize = 16;

/// Members of a batch, which are added together or not at all.
const BATCH: u64 = 3;

/// What operation number `n` is, whatever was before.
enum Operation {
    Add(Vec<NewMember>),
    Remove(Vec<String>),
    Relabel(Vec<String>, Pid),
    Merge(Pid, Pid),
}

fn key(n: u64, i: u64) -> String {
    format!("{n}-{i}.jpg")
}

fn operation(n: u64) -> Operation {
    let mut numbers = Numbers(n);
    let (kind, earlier) = (numbers.below(10), numbers.below(n.min(60) + 1));
    let keys = |numbers: &mut Numbers| {
        let end = numbers.below(BATCH) + 1;
        (0..end).map(|i| key(n - earlier, i)).collect()
    };
    match kind {
        0..5 => Operation::Add(
            (0..BATCH)
                .map(|i| {
                    let (pid, camera) = (numbers.below(12) as i64, numbers.below(3) as u32);
                    member(&key(n, i), pid, Some(camera), &numbers.vector(DIM))
                })
                .collect(),
        ),
        5..8 => Operation::Remove(keys(&mut numbers)),
        8 => Operation::Relabel(keys(&mut numbers), Pid(numbers.below(12) as i64)),
        _ => Operation::Merge(Pid(numbers.below(12) as i64), Pid(numbers.below(12) as i64)),
    }
}

fn perform(gallery: &EmbeddedGallery, n: u64) {
    match operation(n) {
        Operation::Add(members) => {
            gallery.add(&members, AddOptions::default()).unwrap();
        }
        Operation::Remove(keys) => {
            gallery.remove(&Selection::Keys(keys)).unwrap();
        }
        Operation::Relabel(keys, pid) => {
            gallery.relabel(&Selection::Keys(keys), &ClassRef::Pid(pid)).unwrap();
        }
        Operation::Merge(from, into) => {
            gallery.merge(&[from], &ClassRef::Pid(into)).unwrap();
        }
    }
}

/// Identity and embedding by key.
type Model = BTreeMap<String, (Pid, Vec<f32>)>;

fn imagine(model: &mut Model, n: u64) {
    match operation(n) {
        Operation::Add(members) => {
            for NewMember { key, class, embedding, .. } in members {
                let ClassRef::Pid(pid) = class else { unreachable!() };
                model.insert(key, (pid, embedding));
            }
        }
        Operation::Remove(keys) => keys.iter().for_each(|key| drop(model.remove(key))),
        Operation::Relabel(keys, pid) => {
            for key in keys {
                model.entry(key).and_modify(|entry| entry.0 = pid);
            }
        }
        Operation::Merge(from, into) => {
            model.values_mut().filter(|entry| entry.0 == from).for_each(|entry| entry.0 = into);
        }
    }
}

fn contents(gallery: &EmbeddedGallery) -> Model {
    let members = gallery.members(None, None, usize::MAX).unwrap();
    members.into_iter().map(|member| (member.key, (member.pid, member.embedding))).collect()
}

/// Runs only as a child of the test below: performs operations without end and says which are done.
#[test]
fn victim() {
    let (Ok(path), Ok(first)) = (std::env::var("STORE_VICTIM"), std::env::var("STORE_FIRST"))
    else {
        return;
    };
    let gallery = EmbeddedGallery::open(Path::new(&path), OpenOptions::default()).unwrap();
    let mut out = std::io::stdout().lock();
    for n in first.parse().unwrap().. {
        perform(&gallery, n);
        out.write_all(format!("done {n}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

/// Kills it after a while; returns the number of the last operation it acknowledged.
fn kill_one(path: &Path, next: u64, delay: Duration) -> Option<u64> {
    let arguments =
        [("STORE_VICTIM", path.to_str().unwrap().to_owned()), ("STORE_FIRST", next.to_string())];
    let mut victim = child("durability::victim", &arguments);
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    // From the first acknowledgement on, so that the delay falls into the writing.
    let number = |line: &str| line.strip_prefix("done ")?.parse().ok();
    let first = lines.by_ref().find_map(|line| number(&line.unwrap()));
    std::thread::sleep(delay);
    victim.kill().unwrap();
    victim.wait().unwrap();
    lines.filter_map(|line| number(&line.ok()?)).last().or(first)
}

/// SIGKILL at random points. `CENTROIDS_STORE_KILLS` says how many (1,000 for a longer run).
#[test]
fn what_was_acknowledged_survives_a_kill() {
    let kills = std::env::var("CENTROIDS_STORE_KILLS");
    let kills = kills.map_or(200, |kills| kills.parse().unwrap());
    let fresh = Fresh::new(&Settings::new(DIM));
    let path = fresh.path();
    drop(fresh.gallery);
    let (mut model, mut next, mut numbers) = (Model::new(), 1, Numbers(42));
    let mut unacknowledged = 0;
    for kill in 0..kills {
        let delay = Duration::from_micros(numbers.below(25_000));
        let last = kill_one(&path, next, delay).expect("an operation is acknowledged");
        assert!(last >= next, "kill {kill}");
        (next..=last).for_each(|n| imagine(&mut model, n));
        next = last + 1;
        let gallery = EmbeddedGallery::open(&path, OpenOptions::default()).unwrap();
        let found = contents(&gallery);
        if found != model {
            // The operation that was under way may have been completed, but nothing else.
            imagine(&mut model, next);
            assert!(
                found == model,
                "kill {kill}: something between {last} and {next} is half-done"
            );
            next += 1;
            unacknowledged += 1;
        }
        let verification = gallery.verify(false).unwrap();
        assert!(verification.sound(), "kill {kill}: {verification:?}");
        assert!(verification.largest_difference <= 1e-9);
    }
    println!("{kills} kills, {next} operations, {unacknowledged} completed but not acknowledged");
}
