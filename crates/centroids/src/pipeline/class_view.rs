//! A class of a gallery, looked at from its centroid.

use centroids_core::Pid;
use centroids_core::doctor::{MAD_TO_DEVIATION, Options, median};
use centroids_store::{Gallery, Member, MemberId};

use crate::Error;

/// Members read at a time: a class may be larger than memory.
const PAGE: usize = 512;

/// Members from which one can stand out.
const FEWEST: usize = 4;

/// Keeps logarithms of the distance 0 finite.
const LEAST_DISTANCE: f64 = 1e-12;

/// A class.
#[derive(Debug)]
pub struct ClassView {
    /// Ascending by id, those that do not count included.
    pub members: Vec<ClassMember>,
    /// How far the members that count are from the centroid; `None` if there are none.
    pub spread: Option<ClassSpread>,
}

/// A member, seen from the centroid of its class.
#[derive(Debug)]
pub struct ClassMember {
    /// The member; its embedding is left out.
    pub member: Member,
    /// From the centroid, itself included; `None` where there is none.
    pub distance: Option<f64>,
    /// Whether it is much farther away than the others.
    pub outlier: bool,
}

/// Distances of the members that count from their centroid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassSpread {
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

/// A class with the distance of every member from its centroid.
///
/// # Errors
/// Of the gallery.
pub fn view_class(gallery: &dyn Gallery, pid: Pid) -> Result<ClassView, Error> {
    let metric = gallery.settings().metric();
    let mut centroid = gallery.centroid(pid)?;
    centroid.iter_mut().for_each(|centroid| metric.prepare(centroid));
    let mut members = Vec::new();
    each_member(gallery, pid, |mut member| {
        let vector = metric.prepared(&std::mem::take(&mut member.embedding));
        let distance = centroid.as_ref().map(|c| metric.distance.between_prepared(&vector, c));
        members.push(ClassMember { member, distance, outlier: false });
    })?;
    mark_outliers(&mut members);
    let spread = spread(&members);
    Ok(ClassView { members, spread })
}

fn each_member(gallery: &dyn Gallery, pid: Pid, mut look: impl FnMut(Member)) -> Result<(), Error> {
    let mut after: Option<MemberId> = None;
    loop {
        let page = gallery.members(Some(pid), after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.id);
        page.into_iter().for_each(&mut look);
    }
}

fn counting(members: &[ClassMember]) -> Vec<f64> {
    let count = members.iter().filter(|of| !of.member.quarantined);
    count.filter_map(|of| of.distance).collect()
}

fn spread(members: &[ClassMember]) -> Option<ClassSpread> {
    let distances = counting(members);
    let max = distances.iter().copied().reduce(f64::max)?;
    Some(ClassSpread { mean: distances.iter().sum::<f64>() / distances.len() as f64, max })
}

/// Marks members whose robust z of the logarithm of the distance is what the gallery doctor, too, takes
/// for that of an outlier.
fn mark_outliers(members: &mut [ClassMember]) {
    let log = |distance: f64| distance.max(LEAST_DISTANCE).ln();
    let logs: Vec<f64> = counting(members).into_iter().map(log).collect();
    if logs.len() < FEWEST {
        return;
    }
    let Some(middle) = median(logs.clone()) else { return };
    let deviations = logs.iter().map(|log| (log - middle).abs()).collect();
    let deviation = MAD_TO_DEVIATION * median(deviations).unwrap_or(0.0);
    let least = Options::default().outlier_z * deviation;
    for of in members {
        let log = of.distance.filter(|_| !of.member.quarantined).map(log);
        of.outlier = log.is_some_and(|log| log - middle > least && log > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use centroids_core::{CamId, CentroidOf, Distance, Metric, Unit};
    use centroids_store::{
        AddOptions, EmbeddedGallery, NewMember, SearchOptions, Selection, Settings,
    };

    fn gallery(folder: &std::path::Path, settings: Settings) -> EmbeddedGallery {
        let gallery = EmbeddedGallery::create(&folder.join("a.gallery"), &settings).unwrap();
        let angles = [0.0, 0.1, 0.2, 0.15, 1.5_f32];
        let members = angles.iter().enumerate().map(|(i, angle)| NewMember {
            time: Some(i as f64),
            weight: 1.0 + i as f64,
            ..NewMember::new(
                format!("{i}.jpg"),
                Pid(7),
                Some(CamId(0)),
                vec![2.0 * angle.cos(), 2.0 * angle.sin() + 0.1],
            )
        });
        gallery.add(&members.collect::<Vec<_>>(), AddOptions::default()).unwrap();
        gallery
    }

    /// Distances are those that searches find, whatever the metric.
    #[test]
    fn the_centroid_is_that_of_searches() {
        for (distance, normalize, centroid_of, half_life) in [
            (Distance::SquaredEuclidean, true, CentroidOf::Raw, None),
            (Distance::SquaredEuclidean, false, CentroidOf::Raw, Some(2.0)),
            (Distance::Cosine, true, CentroidOf::Unit, None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let metric = Metric { distance, normalize, centroid_of };
            let settings = Settings { half_life, ..Settings::new(2).with_metric(metric) };
            let gallery = gallery(folder.path(), settings);
            gallery.quarantine(&Selection::Keys(vec!["1.jpg".to_owned()]), true).unwrap();
            let view = view_class(&gallery, Pid(7)).unwrap();
            let all = gallery.members(Some(Pid(7)), None, 10).unwrap();
            let options = SearchOptions { unit: Unit::Centroid, ..SearchOptions::default() };
            for (of, member) in view.members.iter().zip(&all) {
                let found = gallery.search(&[&member.embedding], &options).unwrap();
                assert_eq!(of.member.id, member.id);
                let distance = of.distance.unwrap();
                assert!((distance - found[0].hits[0].distance).abs() < 1e-9, "{metric:?}");
            }
        }
    }

    #[test]
    fn what_stands_apart_is_marked() {
        let folder = tempfile::tempdir().unwrap();
        let mut members =
            view_class(&gallery(folder.path(), Settings::new(2)), Pid(7)).unwrap().members;
        for (of, distance) in members.iter_mut().zip([0.1, 0.12, 0.09, 0.11, 5.0]) {
            of.distance = Some(distance);
        }
        mark_outliers(&mut members);
        let marks: Vec<bool> = members.iter().map(|of| of.outlier).collect();
        assert_eq!(marks, [false, false, false, false, true]);
        let found = spread(&members).unwrap();
        assert!((found.mean - 1.084).abs() < 1e-12 && found.max == 5.0);
        members.truncate(3);
        members[2].distance = Some(50.0);
        members.iter_mut().for_each(|of| of.outlier = false);
        mark_outliers(&mut members);
        assert!(members.iter().all(|of| !of.outlier), "three are too few to tell");
    }

    #[test]
    fn a_class_without_members_has_no_centroid() {
        let folder = tempfile::tempdir().unwrap();
        let gallery = gallery(folder.path(), Settings::new(2));
        let view = view_class(&gallery, Pid(8)).unwrap();
        let centroid = gallery.centroid(Pid(8)).unwrap();
        assert!(view.members.is_empty() && centroid.is_none() && view.spread.is_none());
    }
}
