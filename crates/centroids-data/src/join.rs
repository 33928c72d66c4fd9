//! Several datasets as one: all train, the first is tested.

use std::collections::{BTreeMap, BTreeSet};

use centroids_core::{CamId, Pid};

use crate::dataset::{Dataset, Split};
use crate::layout::DatasetSource;

/// Reads several datasets.
///
/// # Errors
/// The first that cannot be read, see [`DatasetSource::load`].
pub fn load_all(sources: &[DatasetSource]) -> Result<Vec<Dataset>, crate::Error> {
    sources.iter().map(DatasetSource::load).collect()
}

impl Dataset {
    /// One dataset with the training images of all and the query and gallery images of the first.
    ///
    /// The first keeps its pids and camids. Those of the others' training images become, set by set
    /// and in ascending order, the smallest numbers above 0 (cameras: from 0) that are still free;
    /// `pid_names` says whence each comes, as `market1501/2`. A set whose name has come before gets
    /// a number: `folder-2/hat`. A single dataset stays as it is.
    pub fn join(datasets: &[Self]) -> Self {
        let (first, others) = match datasets {
            [] => return Self::default(),
            [only] => return only.clone(),
            [first, others @ ..] => (first, others),
        };
        let names = distinct_names(datasets);
        let mut joined = first.clone();
        joined.name = names.join("+");
        joined.pid_names = first
            .pids()
            .map(|pid| (pid, format!("{}/{}", names[0], first.pid_name(pid))))
            .collect();
        joined.oddities = first.oddities.iter().map(|odd| format!("{}: {odd}", names[0])).collect();
        let mut pids: BTreeSet<Pid> = first.pids().collect();
        let mut camids: BTreeSet<CamId> = first.camids().collect();
        for (dataset, name) in others.iter().zip(&names[1..]) {
            let pid_map = fresh(dataset.train.iter().map(|r| r.pid), &mut pids, (1..).map(Pid));
            let cameras = dataset.train.iter().filter_map(|r| r.camid);
            let camera_map = fresh(cameras, &mut camids, (0..).map(CamId));
            for (old, new) in &pid_map {
                joined.pid_names.insert(*new, format!("{name}/{}", dataset.pid_name(*old)));
            }
            let mut images = dataset.train.clone();
            for image in &mut images {
                image.pid = pid_map[&image.pid];
                image.camid = image.camid.map(|camid| camera_map[&camid]);
            }
            joined.train.extend(images);
            joined.oddities.extend(dataset.oddities.iter().map(|odd| format!("{name}: {odd}")));
        }
        joined
    }

    /// Moves the pids of train behind those of query and gallery and names all: `train/7`, `7`. For
    /// sets that number the two independently.
    pub(crate) fn set_train_apart(&mut self) {
        let tested = self.query.iter().chain(&self.gallery).map(|record| record.pid);
        let mut used: BTreeSet<Pid> = tested.collect();
        let mut names: BTreeMap<Pid, String> =
            used.iter().map(|&pid| (pid, self.pid_name(pid))).collect();
        let first = used.last().map_or(1, |last| last.0.saturating_add(1));
        let free = (first..=i64::MAX).chain(1..first).map(Pid);
        let map = fresh(self.train.iter().map(|record| record.pid), &mut used, free);
        names.extend(map.iter().map(|(&old, &new)| (new, format!("train/{}", self.pid_name(old)))));
        for record in &mut self.train {
            record.pid = map[&record.pid];
        }
        self.pid_names = names;
    }

    /// What an identity is called: its name, or its number.
    fn pid_name(&self, pid: Pid) -> String {
        self.pid_names.get(&pid).cloned().unwrap_or_else(|| pid.to_string())
    }

    fn pids(&self) -> impl Iterator<Item = Pid> {
        Split::ALL.into_iter().flat_map(|split| self.split(split)).map(|record| record.pid)
    }

    fn camids(&self) -> impl Iterator<Item = CamId> {
        Split::ALL.into_iter().flat_map(|split| self.split(split)).filter_map(|record| record.camid)
    }
}

/// A number of `free` that is not `used` for every distinct one of `ids`, in ascending order.
fn fresh<T: Copy + Ord>(
    ids: impl Iterator<Item = T>,
    used: &mut BTreeSet<T>,
    free: impl Iterator<Item = T>,
) -> BTreeMap<T, T> {
    let ids: BTreeSet<T> = ids.collect();
    let free = free.filter(|id| !used.contains(id));
    let map: BTreeMap<T, T> = ids.into_iter().zip(free).collect();
    used.extend(map.values());
    map
}

fn distinct_names(datasets: &[Dataset]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(datasets.len());
    for dataset in datasets {
        let numbered = (2..).map(|n| format!("{}-{n}", dataset.name));
        let mut candidates = std::iter::once(dataset.name.clone()).chain(numbered);
        names.extend(candidates.find(|name| !names.contains(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::ImageRecord;

    fn records(images: &[(i64, Option<u32>)]) -> Vec<ImageRecord> {
        let record = |&(pid, camera): &(i64, Option<u32>)| ImageRecord {
            path: format!("{pid}.jpg").into(),
            pid: Pid(pid),
            camid: camera.map(CamId),
        };
        images.iter().map(record).collect()
    }

    fn dataset(name: &str, train: &[(i64, Option<u32>)], test: &[(i64, Option<u32>)]) -> Dataset {
        let (train, query) = (records(train), records(test));
        Dataset { name: name.into(), train, gallery: query.clone(), query, ..Dataset::default() }
    }

    #[test]
    fn the_first_stays_and_the_others_get_free_numbers() {
        let market = dataset("market1501", &[(2, Some(0)), (7, Some(1))], &[(3, Some(0))]);
        let shop = dataset("shop", &[(7, Some(0)), (2, None), (7, Some(5))], &[(9, None)]);
        let joined = Dataset::join(&[market.clone(), shop.clone(), shop]);
        assert_eq!(joined.name, "market1501+shop+shop-2");
        let train: Vec<_> =
            joined.train.iter().map(|r| (r.pid.0, r.camid.map(|camid| camid.0))).collect();
        let expected = [
            [(2, Some(0)), (7, Some(1))].as_slice(),
            &[(4, Some(2)), (1, None), (4, Some(3))],
            &[(6, Some(4)), (5, None), (6, Some(5))],
        ];
        assert_eq!(train, expected.concat());
        assert_eq!((&joined.query, &joined.gallery), (&market.query, &market.gallery));
        let names: Vec<_> = joined.pid_names.values().map(String::as_str).collect();
        let expected = ["shop/2", "market1501/2", "market1501/3", "shop/7", "shop-2/2", "shop-2/7"];
        assert_eq!(names[..6], expected);
        assert_eq!(Dataset::join(std::slice::from_ref(&market)), market);
    }

    proptest! {
        #[test]
        fn identities_and_cameras_of_two_sets_never_meet(
            first in prop::collection::vec((-3..6_i64, prop::option::of(0..4_u32)), 1..20),
            second in prop::collection::vec((-3..6_i64, prop::option::of(0..4_u32)), 1..20),
        ) {
            let joined = Dataset::join(&[dataset("a", &first, &first), dataset("b", &second, &[])]);
            let (ours, theirs) = joined.train.split_at(first.len());
            for record in theirs {
                prop_assert!(ours.iter().all(|our| our.pid != record.pid));
                prop_assert!(ours.iter().all(|our| !CamId::same(our.camid, record.camid)));
            }
            for (record, (pid, camera)) in theirs.iter().zip(&second) {
                prop_assert_eq!(&joined.pid_names[&record.pid], &format!("b/{pid}"));
                prop_assert_eq!(record.camid.is_some(), camera.is_some());
            }
        }
    }

    #[test]
    fn train_is_set_apart_even_at_the_end_of_the_numbers() {
        let mut set = dataset("a", &[(0, None), (i64::MAX, None)], &[(0, None), (i64::MAX, None)]);
        set.set_train_apart();
        assert_eq!(set.train.iter().map(|r| r.pid.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(set.pid_names[&Pid(1)], "train/0");
        assert_eq!(set.pid_names[&Pid(0)], "0");
    }
}
