//! Classes that may be two: their members lie in two heaps with little between them.

use rayon::prelude::*;

use super::cloud::{Cloud, Part, squared};
use super::findings::{Class, Image, Split};
use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::ids::Pid;
use crate::protocol::Metric;

/// Fewest images of a class that can be said to be two.
const LEAST_IMAGES: usize = 8;

/// Fewest images of a part; and a tenth of the class at least.
const LEAST_PART: usize = 3;

/// Largest share of a class that may be set aside.
const MOST_ASIDE: f64 = 0.2;

/// Explained variance from which a class may be two. Of normally distributed classes of 8 images in 1
/// to 8 dimensions up to one in twenty is beyond it, of 20 images one in a hundred, in 64 dimensions
/// none; two heaps are found when they are 8 of their deviations apart.
const LEAST_EXPLAINED: f64 = 0.85;

/// Steps of the power iteration: a start for k-means needs no more.
const POWER_STEPS: usize = 20;

/// Steps of k-means; it ends before if no point moves.
const MEANS_STEPS: usize = 50;

/// The classes that may be two, those whose split explains most first, then by pid.
pub(super) fn splits(gallery: &Embeddings, metric: &Metric) -> Vec<Split> {
    let classes: Vec<(Pid, Vec<usize>)> = rows_by_pid(gallery.pids()).into_iter().collect();
    let of_class = |(pid, rows): (Pid, Vec<usize>)| split(gallery, metric, pid, &rows);
    let mut splits: Vec<Split> = classes.into_par_iter().filter_map(of_class).collect();
    splits.sort_by(|a, b| b.explained.total_cmp(&a.explained));
    splits
}

fn split(gallery: &Embeddings, metric: &Metric, pid: Pid, rows: &[usize]) -> Option<Split> {
    if rows.len() < LEAST_IMAGES {
        return None;
    }
    let cloud = Cloud::new(gallery, metric, rows);
    let (parts, aside) = parts(&cloud)?;
    let explained = cloud.explained(&parts);
    if explained < LEAST_EXPLAINED {
        return None;
    }
    let images = |members: &[usize]| -> Vec<Image> {
        members.iter().map(|&i| Image::of(gallery, rows[i])).collect()
    };
    Some(Split {
        class: Class::of(gallery, pid, rows.len()),
        explained,
        parts: [&parts[0], &parts[1]].map(|part| images(&part.members)),
        set_aside: images(&aside),
    })
}

/// Two parts, the larger first, and what was set aside: a part too small to be a class is, and the
/// rest tried again.
fn parts(cloud: &Cloud) -> Option<([Part; 2], Vec<usize>)> {
    let mut members: Vec<usize> = (0..cloud.len()).collect();
    let mut aside = Vec::new();
    while members.len() >= LEAST_IMAGES && aside.len() as f64 <= MOST_ASIDE * cloud.len() as f64 {
        let least = LEAST_PART.max(members.len() / 10);
        let [large, small] = two_means(cloud, members)?;
        if small.members.len() >= least {
            aside.sort_unstable();
            return Some(([large, small], aside));
        }
        aside.extend(small.members);
        members = large.members;
    }
    None
}

/// 2-means from a cut across the principal direction, the larger part first; `None` if all points are
/// one. A point as near to both means stays in the part it is in.
fn two_means(cloud: &Cloud, members: Vec<usize>) -> Option<[Part; 2]> {
    let mut sides = principal_sides(cloud, &members)?;
    for _ in 0..MEANS_STEPS {
        let [left, right] = [false, true].map(|side| part_of(cloud, &members, &sides, side));
        let (left, right) = (left?, right?);
        let before = sides.clone();
        for (&i, side) in members.iter().zip(&mut sides) {
            let [a, b] = [&left, &right].map(|part| squared(cloud.point(i), &part.mean));
            *side = if a == b { *side } else { b < a };
        }
        if sides == before {
            break;
        }
    }
    let [left, right] = [false, true].map(|side| part_of(cloud, &members, &sides, side));
    let (left, right) = (left?, right?);
    let ordered = left.members.len() >= right.members.len();
    Some(if ordered { [left, right] } else { [right, left] })
}

fn part_of(cloud: &Cloud, members: &[usize], sides: &[bool], side: bool) -> Option<Part> {
    let of_side = members.iter().zip(sides).filter(|(_, own)| **own == side);
    let members: Vec<usize> = of_side.map(|(&i, _)| i).collect();
    (!members.is_empty()).then(|| cloud.part(members))
}

/// On which side of the mean each member lies along the direction of most variance, found by power
/// iteration from the farthest member; `None` if all are one point.
fn principal_sides(cloud: &Cloud, members: &[usize]) -> Option<Vec<bool>> {
    let mean = cloud.part(members.to_vec()).mean;
    let centred = |i: usize| cloud.point(i).iter().zip(&mean).map(|(x, mean)| x - mean);
    let along = |direction: &[f64], i: usize| -> f64 {
        centred(i).zip(direction).map(|(x, direction)| x * direction).sum()
    };
    let distance = |&i: &usize| squared(cloud.point(i), &mean);
    // The first of equally far ones.
    let farthest = *members.iter().rev().max_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    let mut direction: Vec<f64> = centred(farthest).collect();
    for _ in 0..POWER_STEPS {
        let mut next = vec![0.0; direction.len()];
        for &i in members {
            let weight = along(&direction, i);
            next.iter_mut().zip(centred(i)).for_each(|(next, x)| *next += weight * x);
        }
        let length = crate::distance::length(&next);
        if length == 0.0 {
            return None;
        }
        direction = next.into_iter().map(|value| value / length).collect();
    }
    Some(members.iter().map(|&i| along(&direction, i) > 0.0).collect())
}
