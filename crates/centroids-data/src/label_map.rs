//! Identities → contiguous training classes.

use std::collections::BTreeSet;

use centroids_core::Pid;

use crate::record::ImageRecord;

/// Labels 0..n of the training identities, by ascending pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    pids: Vec<Pid>,
}

impl LabelMap {
    /// The labels of all identities in `records`.
    pub fn of(records: &[ImageRecord]) -> Self {
        let pids: BTreeSet<Pid> = records.iter().map(|record| record.pid).collect();
        Self { pids: pids.into_iter().collect() }
    }

    /// The label of an identity; `None` when training has no image of it.
    pub fn label(&self, pid: Pid) -> Option<usize> {
        self.pids.binary_search(&pid).ok()
    }

    /// The identities in the order of their labels.
    pub fn pids(&self) -> &[Pid] {
        &self.pids
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.pids.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.pids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_ascending_pids() {
        let record = |pid| ImageRecord { path: "x.jpg".into(), pid: Pid(pid), camid: None };
        let labels = LabelMap::of(&[record(30), record(7), record(30), record(9)]);
        assert_eq!(labels.pids(), [Pid(7), Pid(9), Pid(30)]);
        assert_eq!((labels.label(Pid(30)), labels.label(Pid(8))), (Some(2), None));
    }
}
