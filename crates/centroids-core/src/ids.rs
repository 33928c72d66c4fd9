//! Identities and cameras as the dataset numbers them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Identity of a person or product, as the dataset numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub i64);

impl Pid {
    /// Images to ignore: as gallery images they count neither as right nor as wrong.
    pub const JUNK: Self = Self(-1);

    /// What Market-1501 calls its distractors. Nothing treats the number specially: a distractor
    /// counts as wrong because no query carries its pid, and where identities are ranked all
    /// images of pid 0 form one identity, as in the reference.
    pub const DISTRACTOR: Self = Self(0);
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Camera, numbered from 0. `Option<CamId>` is used throughout: some sets have no cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CamId(pub u32);

impl CamId {
    /// Whether two images are known to come from one camera. An unknown camera (`None`) differs
    /// from every other, also from another unknown one.
    pub fn same(a: Option<Self>, b: Option<Self>) -> bool {
        a.is_some() && a == b
    }
}

impl fmt::Display for CamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Numbers identities that are known by name, such as the folders of a catalogue.
///
/// Names that are all whole numbers are the pids themselves, and the returned map is empty.
/// Otherwise the distinct names are numbered from 1 in sorted order, and the map leads back; `-1`
/// stays junk.
pub fn pids_from_names(names: &[impl AsRef<str>]) -> (Vec<Pid>, BTreeMap<Pid, String>) {
    let whole: Option<Vec<Pid>> =
        names.iter().map(|name| name.as_ref().parse().ok().map(Pid)).collect();
    if let Some(pids) = whole {
        return (pids, BTreeMap::new());
    }
    let junk = |name: &str| name.parse() == Ok(Pid::JUNK.0);
    let distinct: BTreeSet<&str> =
        names.iter().map(AsRef::as_ref).filter(|name| !junk(name)).collect();
    let number: BTreeMap<&str, Pid> = distinct.into_iter().zip((1..).map(Pid)).collect();
    let pids = names.iter().map(|name| *number.get(name.as_ref()).unwrap_or(&Pid::JUNK)).collect();
    (pids, number.into_iter().map(|(name, pid)| (pid, name.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_camera_is_never_the_same_camera() {
        assert!(CamId::same(Some(CamId(3)), Some(CamId(3))));
        assert!(!CamId::same(Some(CamId(3)), Some(CamId(2))));
        assert!(!CamId::same(Some(CamId(3)), None));
        assert!(!CamId::same(None, None));
    }

    #[test]
    fn whole_numbers_are_the_pids() {
        assert_eq!(
            pids_from_names(&["0007", "-1", "7"]),
            (vec![Pid(7), Pid(-1), Pid(7)], [].into())
        );
    }

    #[test]
    fn other_names_are_numbered_in_sorted_order() {
        let (pids, names) = pids_from_names(&["shoe", "12", "bag", "shoe"]);
        assert_eq!(pids, [Pid(3), Pid(1), Pid(2), Pid(3)]);
        assert_eq!(names.into_values().collect::<Vec<_>>(), ["12", "bag", "shoe"]);
    }

    #[test]
    fn ids_are_plain_numbers_in_json_also_as_keys() {
        let names = BTreeMap::from([(Pid(-1), "junk"), (Pid(5), "bag")]);
        assert_eq!(serde_json::to_string(&names).unwrap(), r#"{"-1":"junk","5":"bag"}"#);
        assert_eq!(serde_json::to_string(&Some(CamId(2))).unwrap(), "2");
    }
}
