//! One change, in an order that leaves something to mend it by wherever it is broken off.
//!
//! ```text
//! classes: stale ─▶ members ─▶ centroids ─▶ classes: not stale, with their counts
//! ```
//!
//! Sums are not added to but made anew from the members of each class that a change touches: then a
//! request that is repeated changes nothing, and no sum drifts. It costs reading these classes.

use std::collections::{BTreeMap, BTreeSet};

use centroids_core::Pid;
use milvus::v2::prelude::ConsistencyLevel;

use super::rows::{COUNTER, CentroidRow, ClassRow, MAX_CAMERAS, MemberRow};
use super::shelf::{LISTED, Shelf, one_of, one_of_texts};
use crate::error::Error;
use crate::member::ClassRef;
use crate::part::{Contribution, Part, direction};

/// Classes that are made anew at a time: their sums are in memory.
pub(super) const CLASSES: usize = 64;

/// A change under way.
pub(super) struct Change<'a> {
    pub(super) shelf: &'a Shelf,
    counter: ClassRow,
    /// Those looked up, and those made by this change.
    classes: BTreeMap<i64, ClassRow>,
    /// Classes whose centroids are to be made anew.
    stale: BTreeSet<i64>,
}

impl<'a> Change<'a> {
    /// Also takes up what a change that was broken off has left to do.
    pub(super) fn begin(shelf: &'a Shelf) -> Result<Self, Error> {
        let mut classes = BTreeMap::new();
        for row in shelf.now::<ClassRow>(&format!("stale == true or pid == {COUNTER}"))? {
            classes.insert(row.pid, row);
        }
        let counter = classes.remove(&COUNTER);
        let counter = counter.unwrap_or(ClassRow { pid: COUNTER, ..ClassRow::default() });
        let stale = classes.keys().copied().collect();
        Ok(Self { shelf, counter, classes, stale })
    }

    /// Looks up the classes that references may mean.
    pub(super) fn look_up<'r>(
        &mut self,
        classes: impl IntoIterator<Item = &'r ClassRef>,
    ) -> Result<(), Error> {
        let (mut pids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for class in classes {
            match class {
                ClassRef::Pid(pid) => drop(pids.insert(pid.0)),
                ClassRef::Name(name) => {
                    pids.extend(name.parse::<i64>());
                    names.insert(name.as_str());
                }
            }
        }
        self.look_up_pids(&pids)?;
        let names: Vec<&str> = names.into_iter().collect();
        for names in names.chunks(LISTED) {
            let rows = self.shelf.now::<ClassRow>(&one_of_texts("name", names.iter().copied()))?;
            self.classes.extend(rows.into_iter().map(|row| (row.pid, row)));
        }
        Ok(())
    }

    fn look_up_pids(&mut self, pids: &BTreeSet<i64>) -> Result<(), Error> {
        let unknown: Vec<i64> =
            pids.iter().copied().filter(|pid| !self.classes.contains_key(pid)).collect();
        for pids in unknown.chunks(LISTED) {
            let rows = self.shelf.now::<ClassRow>(&one_of("pid", pids.iter().copied()))?;
            self.classes.extend(rows.into_iter().map(|row| (row.pid, row)));
        }
        Ok(())
    }

    /// The class meant, of those looked up; made if there is none.
    pub(super) fn class(&mut self, class: &ClassRef) -> Result<i64, Error> {
        if let Some(pid) = find(self.classes.values(), class) {
            return Ok(pid.0);
        }
        let (pid, name) = match class {
            ClassRef::Pid(pid) => (pid.0, ""),
            ClassRef::Name(name) => match name.parse() {
                // A whole number is its own name.
                Ok(pid) if pid != Pid::JUNK.0 && !self.classes.contains_key(&pid) => (pid, ""),
                _ => (self.counter.highest + 1, name.as_str()),
            },
        };
        if pid <= COUNTER {
            let reason = format!("{pid} is too low for a gallery on a Milvus server");
            return Err(Error::Setting { key: "pid", reason });
        }
        self.counter.highest = self.counter.highest.max(pid);
        let row = ClassRow { pid, name: name.to_owned(), ..ClassRow::default() };
        self.classes.insert(pid, row);
        Ok(pid)
    }

    /// Notes on the server that members of these classes are about to change.
    pub(super) fn announce(&mut self, pids: impl IntoIterator<Item = i64>) -> Result<(), Error> {
        let new: BTreeSet<i64> = pids.into_iter().filter(|pid| !self.stale.contains(pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.look_up_pids(&new)?;
        self.counter.revision += 1;
        let mut rows = vec![self.counter.clone()];
        for &pid in &new {
            let class = self.classes.entry(pid);
            let class = class.or_insert_with(|| ClassRow { pid, ..ClassRow::default() });
            class.stale = true;
            rows.push(class.clone());
        }
        self.stale.extend(new);
        self.shelf.put(&rows)
    }

    /// Makes the centroids of all stale classes anew; returns how many classes they were.
    pub(super) fn close(self) -> Result<usize, Error> {
        let stale: Vec<i64> = self.stale.iter().copied().collect();
        stale.chunks(CLASSES).try_for_each(|pids| self.remake(pids))?;
        Ok(stale.len())
    }

    fn remake(&self, pids: &[i64]) -> Result<(), Error> {
        let tallies = Tally::of(self.shelf, pids)?;
        let of_these = one_of("pid", pids.iter().copied());
        let before = self.shelf.pids::<CentroidRow>(&of_these)?;
        let (mut rows, mut classes, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for &pid in pids {
            let Some(tally) = tallies.get(&pid) else {
                gone.push(pid.to_string());
                continue;
            };
            let class = self.classes.get(&pid).cloned();
            let class = class.unwrap_or(ClassRow { pid, ..ClassRow::default() });
            rows.extend(tally.centroids(self.shelf, &class)?);
            classes.push(tally.class(&class));
        }
        self.shelf.put(&rows)?;
        let after: BTreeSet<String> = rows.iter().map(|row| format!("\"{}\"", row.id())).collect();
        let left: Vec<String> =
            before.into_iter().map(|(id, _)| id).filter(|id| !after.contains(id)).collect();
        self.shelf.take::<CentroidRow>("id", &left)?;
        self.shelf.put(&classes)?;
        self.shelf.take::<ClassRow>("pid", &gone)
    }
}

/// The class meant, if it is one of these.
pub(super) fn find<'r>(
    classes: impl Iterator<Item = &'r ClassRow> + Clone,
    class: &ClassRef,
) -> Option<Pid> {
    let by = |test: &dyn Fn(&ClassRow) -> bool| {
        classes.clone().find(|row| test(row)).map(|row| Pid(row.pid))
    };
    match class {
        ClassRef::Pid(pid) => by(&|row| row.pid == pid.0),
        ClassRef::Name(name) => by(&|row| !name.is_empty() && row.name == *name).or_else(|| {
            let pid: i64 = name.parse().ok()?;
            by(&|row| row.pid == pid && row.name.is_empty())
        }),
    }
}

/// What the members of a class come to.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) quarantined: i64,
    /// Of the members that count, by camera; −1 is an unknown one.
    pub(super) parts: BTreeMap<i64, Part>,
    /// Lengths of what was added to the sums.
    pub(super) length: f64,
}

impl Tally {
    /// Goes through the members of these classes.
    pub(super) fn of(shelf: &Shelf, pids: &[i64]) -> Result<BTreeMap<i64, Self>, Error> {
        let mut tallies: BTreeMap<i64, Self> = BTreeMap::new();
        let filter = one_of("pid", pids.iter().copied());
        shelf.each_page(
            &filter,
            ConsistencyLevel::Strong,
            usize::MAX,
            |page: Vec<MemberRow>| {
                for member in page {
                    tallies.entry(member.pid).or_default().count(shelf, member)?;
                }
                Ok(())
            },
        )?;
        Ok(tallies)
    }

    fn count(&mut self, shelf: &Shelf, member: MemberRow) -> Result<(), Error> {
        if member.quarantined {
            self.quarantined += 1;
            return Ok(());
        }
        let MemberRow { camid, vector, weight, key, time, .. } = member;
        let image = Contribution::new(&shelf.settings, vector, weight, (&key, time))?;
        self.length += image.length();
        let part = self.parts.entry(camid);
        part.or_insert_with(|| Part::empty(shelf.settings.dim)).count(&image, 1);
        Ok(())
    }

    /// All images but those of one camera (−1: none is left out); `None` if there are none.
    pub(super) fn without(&self, dim: usize, camera: i64) -> Option<Part> {
        let mut rest = Part::empty(dim);
        for (&camid, part) in &self.parts {
            if camera < 0 || camid != camera {
                rest.absorb(part);
            }
        }
        (rest.members > 0).then_some(rest)
    }

    /// The rows that must be there.
    pub(super) fn centroids(
        &self,
        shelf: &Shelf,
        class: &ClassRow,
    ) -> Result<Vec<CentroidRow>, Error> {
        if self.parts.len() > MAX_CAMERAS {
            let cameras = self.parts.len();
            let reason = format!("{cameras} cameras are more than the {MAX_CAMERAS} of Milvus");
            return Err(Error::Member { key: format!("pid {}", class.pid), reason });
        }
        let left_out = self.parts.keys().copied().filter(|&camera| camera >= 0);
        let row = |without: i64| {
            let Part { members, weight, sum } = self.without(shelf.settings.dim, without)?;
            let (pid, name) = (class.pid, class.name.clone());
            let cameras = self.parts.keys().copied();
            let cameras = cameras.filter(|&camera| without < 0 || camera != without).collect();
            let vector = shelf.compared(&sum, weight);
            Some(CentroidRow { pid, without, name, cameras, members, weight, sum, vector })
        };
        Ok([-1].into_iter().chain(left_out).filter_map(row).collect())
    }

    /// The class with its counts.
    pub(super) fn class(&self, class: &ClassRow) -> ClassRow {
        ClassRow {
            stale: false,
            members: self.parts.values().map(|part| part.members).sum(),
            quarantined: self.quarantined,
            cameras: self.parts.keys().copied().collect(),
            ..class.clone()
        }
    }
}

impl Shelf {
    /// A mean as the server compares it, `[dim]`: its direction, or itself.
    pub(super) fn compared(&self, sum: &[f64], weight: f64) -> Vec<f32> {
        let mean: Vec<f64> = sum.iter().map(|sum| sum / weight).collect();
        match self.by_angle() {
            true => direction(&mean).0,
            false => mean.into_iter().map(|value| value as f32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MilvusGallery;
    use super::super::rows::Row as _;
    use super::*;
    use crate::gallery::{AddOptions, Gallery as _, Selection};
    use crate::member::NewMember;
    use crate::settings::Settings;

    /// A gallery of three images of pid 1, where a server may be used.
    fn filled(test: &str) -> Option<MilvusGallery> {
        let Ok(server) = std::env::var("CENTROIDS_MILVUS") else {
            eprint_skipped(test);
            return None;
        };
        let address = format!("milvus://{server}/change_{}_{test}", std::process::id());
        let gallery = MilvusGallery::create(&address, &Settings::new(2)).unwrap();
        gallery.add(&images(0..3), AddOptions::default()).unwrap();
        Some(gallery)
    }

    fn eprint_skipped(test: &str) {
        eprintln!("SKIPPED: {test}: CENTROIDS_MILVUS=host:port names no Milvus server");
    }

    fn images(numbers: std::ops::Range<u32>) -> Vec<NewMember> {
        let camera = |i| Some(centroids_core::CamId(i % 2));
        numbers
            .map(|i| NewMember::new(format!("{i}"), Pid(1), camera(i), vec![1.0, i as f32]))
            .collect()
    }

    /// Broken off after the members were written, a change is found, and taken up by the next one.
    #[test]
    fn what_is_broken_off_is_found_and_mended() {
        let Some(gallery) = filled("broken_off") else { return };
        let shelf = &gallery.shelf;
        let broken_off = || {
            let mut change = Change::begin(shelf).unwrap();
            change.announce([1]).unwrap();
            shelf.take::<MemberRow>("quarantined", &["false".to_owned()]).unwrap();
        };
        broken_off();
        let found = gallery.verify(false).unwrap();
        assert!(found.problems.iter().any(|problem| problem.contains("pid 1")), "{found:?}");
        gallery.remove(&Selection::Keys(vec!["none".to_owned()])).unwrap();
        assert!(gallery.verify(false).unwrap().sound());
        assert_eq!(gallery.stats().unwrap().classes, 0);

        gallery.add(&images(0..4), AddOptions::default()).unwrap();
        broken_off();
        let mended = gallery.verify(true).unwrap();
        assert!(mended.sound() && mended.repaired == 1, "{mended:?}");
        gallery.erase().unwrap();
    }

    /// Each fault of a row is found and mended.
    #[test]
    fn faults_are_found_and_mended() {
        let Some(gallery) = filled("faults") else { return };
        let shelf = &gallery.shelf;
        let centroids = || shelf.now::<CentroidRow>("").unwrap();
        let classes = || shelf.now::<ClassRow>(&format!("pid != {COUNTER}")).unwrap();
        let right = (centroids(), classes());
        let centroid = |spoil: fn(&mut CentroidRow)| {
            let mut rows = centroids();
            spoil(&mut rows[0]);
            shelf.put(&rows).unwrap();
        };
        let class = |spoil: fn(&mut ClassRow)| {
            let mut rows = classes();
            spoil(&mut rows[0]);
            shelf.put(&rows).unwrap();
        };
        let faults: [(&dyn Fn(), &str); 8] = [
            (&|| centroid(|row| row.sum[0] *= 1.0 + 1e-8), "is not its members'"),
            (&|| centroid(|row| row.weight *= 1.0 + 1e-8), "is not its members'"),
            (&|| centroid(|row| row.vector[0] += 1e-3), "is not its members'"),
            (&|| centroid(|row| row.without = 77), "of no members"),
            (&|| shelf.take::<CentroidRow>("pid", &["1".to_owned()]).unwrap(), "is missing"),
            (&|| class(|row| row.members = 7), "counts of the class"),
            (&|| class(|row| row.pid = 9), "class without members"),
            (&|| shelf.take::<ClassRow>("pid", &["1".to_owned()]).unwrap(), "is no class"),
        ];
        for (fault, part) in faults {
            fault();
            let found = gallery.verify(false).unwrap();
            assert!(found.problems.iter().any(|it| it.contains(part)), "{part}: {found:?}");
            let mended = gallery.verify(true).unwrap();
            assert!(mended.sound() && mended.repaired > 0, "{part}: {mended:?}");
            assert_eq!((centroids(), classes()), right, "{part}");
        }
        gallery.erase().unwrap();
    }

    /// Collections of these names that are another program's are left alone.
    #[test]
    fn other_collections_are_refused() {
        let Some(gallery) = filled("others") else { return };
        let address = gallery.location();
        let error = MilvusGallery::create(&address, &Settings::new(3)).map(drop).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
        let collection = gallery.shelf.collection::<ClassRow>();
        let label = |description: &str| {
            gallery.shelf.server.drop(&collection).unwrap();
            let schema = ClassRow::schema(2).description(description);
            let index = super::super::shelf::index(milvus::v2::prelude::MetricType::L2);
            gallery.shelf.server.create(&collection, &schema, &index).unwrap();
            MilvusGallery::open(&address).map(drop).unwrap_err().to_string()
        };
        assert!(label("users").contains("another program's collections"));
        let newer = label("{\"centroids_gallery\": 9, \"settings\": {}}");
        assert!(newer.contains("newer version (format 9"), "{newer}");
        let error = MilvusGallery::create(&address, &Settings::new(3)).map(drop).unwrap_err();
        assert!(error.to_string().contains("newer"), "{error}");
        gallery.erase().unwrap();
        let error = MilvusGallery::open(&address).map(drop).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
}
