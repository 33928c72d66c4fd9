//! A class of a gallery, looked at from its centroid.

use centroids_core::{CentroidOf, Distance, Metric, Pid};
use centroids_store::{Gallery, Member, MemberId, Settings};

use crate::Error;

/// Members read at a time: a class may be larger than memory.
const PAGE: usize = 512;

/// Members from which one can stand out.
const FEWEST: usize = 4;

/// Robust z of the logarithm of the distance from which a member is an outlier, as in the gallery
/// doctor.
const OUTLIER_Z: f64 = 3.5;

/// The standard deviation of a normal distribution in median absolute deviations.
const DEVIATIONS: f64 = 1.4826;

/// Keeps logarithms of the distance 0 finite.
const LEAST_DISTANCE: f64 = 1e-12;

/// A class.
#[derive(Debug)]
pub struct ClassView {
    /// Ascending by id, those that do not count included.
    pub members: Vec<ClassMember>,
    /// Mean of the members that count, `[dim]`; `None` if there are none.
    pub centroid: Option<Vec<f64>>,
    /// How far the members that count are from it.
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

/// The mean of a class's members that count, `[dim]`, not normalised: what a search by centroids
/// compares with. `None` where none counts.
///
/// # Errors
/// Of the gallery.
pub fn class_centroid(gallery: &dyn Gallery, pid: Pid) -> Result<Option<Vec<f64>>, Error> {
    let settings = gallery.settings();
    let (mut sum, mut total) = (vec![0.0; settings.dim], 0.0);
    each_member(gallery, pid, |member| {
        if !member.quarantined {
            let share = share(settings, &member);
            let vector = contribution(settings, &member.embedding);
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += share * value);
            total += share;
        }
    })?;
    Ok((total > 0.0).then(|| sum.into_iter().map(|sum| sum / total).collect()))
}

/// A class with the distance of every member from its centroid.
///
/// # Errors
/// Of the gallery.
pub fn view_class(gallery: &dyn Gallery, pid: Pid) -> Result<ClassView, Error> {
    let metric = gallery.settings().metric();
    let centroid = class_centroid(gallery, pid)?;
    let prepared = centroid.clone().map(|mut centroid| {
        metric.prepare(&mut centroid);
        centroid
    });
    let mut members = Vec::new();
    each_member(gallery, pid, |mut member| {
        let vector = metric.prepared(&std::mem::take(&mut member.embedding));
        let distance = prepared.as_ref().map(|c| metric.distance.between_prepared(&vector, c));
        members.push(ClassMember { member, distance, outlier: false });
    })?;
    mark_outliers(&mut members);
    let spread = spread(&members);
    Ok(ClassView { members, centroid, spread })
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

/// How much a member counts; the decay is relative to the gallery's reference time, as its sums.
fn share(settings: &Settings, member: &Member) -> f64 {
    let age = member.time.zip(settings.half_life);
    let decay = age.map_or(1.0, |(time, half)| ((time - settings.reference_time) / half).exp2());
    member.weight * decay
}

fn contribution(settings: &Settings, embedding: &[f32]) -> Vec<f64> {
    let normalize = settings.centroid_of == CentroidOf::Unit;
    let metric = Metric { distance: Distance::SquaredEuclidean, normalize, ..settings.metric() };
    metric.prepared(embedding)
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

fn mark_outliers(members: &mut [ClassMember]) {
    let log = |distance: f64| distance.max(LEAST_DISTANCE).ln();
    let logs: Vec<f64> = counting(members).into_iter().map(log).collect();
    if logs.len() < FEWEST {
        return;
    }
    let middle = median(logs.clone());
    let deviation = DEVIATIONS * median(logs.iter().map(|log| (log - middle).abs()).collect());
    for of in members {
        let log = of.distance.filter(|_| !of.member.quarantined).map(log);
        of.outlier = log.is_some_and(|log| log - middle > OUTLIER_Z * deviation && log > middle);
    }
}

/// Of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    low.midpoint(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use centroids_core::{CamId, Unit};
    use centroids_store::{AddOptions, EmbeddedGallery, NewMember, SearchOptions, Selection};

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

    /// The centroid is the one that searches compare with, whatever the metric.
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
        let view = view_class(&gallery(folder.path(), Settings::new(2)), Pid(8)).unwrap();
        assert!(view.members.is_empty() && view.centroid.is_none() && view.spread.is_none());
    }
}
