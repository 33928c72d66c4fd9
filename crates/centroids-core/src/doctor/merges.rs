//! Classes that may be one: their members cannot tell them apart.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::cloud::Cloud;
use super::findings::{Class, Merge};
use crate::candidates::Candidates;
use crate::centroid::centroids;
use crate::embeddings::Embeddings;
use crate::nearest::{Neighbour, nearest};
use crate::protocol::Metric;

/// Nearest classes that each class is compared with.
const NEIGHBOURS: usize = 5;

/// Overlap from which two classes may be one. Of one class labelled at random it is 0.5; of six and
/// six images of one normal distribution 19 in 20 are beyond this, of two that are three deviations
/// apart (in 2 to 16 dimensions) 5 to 20 in 100, five apart none.
const LEAST_OVERLAP: f64 = 0.25;

/// Pairs of classes, of two images or more each, that overlap; by overlap, distance and pids.
pub(super) fn merges(gallery: &Embeddings, metric: &Metric) -> Vec<Merge> {
    let means = Candidates::means(gallery, metric, |_| true);
    let centroids = centroids(gallery, metric.centroid_of); // one row per candidate
    let all: Vec<usize> = (0..means.len()).collect();
    let other = |query: usize, class: usize| query != class;
    let neighbours = nearest(&means, &centroids, &all, NEIGHBOURS, other);
    let pair = |(class, near): (usize, &Vec<Neighbour>)| -> Vec<[usize; 2]> {
        near.iter().map(|n| [class.min(n.row as usize), class.max(n.row as usize)]).collect()
    };
    let pairs: BTreeSet<[usize; 2]> = neighbours.iter().enumerate().flat_map(pair).collect();
    let pairs: Vec<[usize; 2]> = pairs.into_iter().collect();
    let mut merges: Vec<Merge> =
        pairs.into_par_iter().filter_map(|pair| merge(gallery, &means, pair)).collect();
    merges.sort_by(|a, b| b.overlap.total_cmp(&a.overlap).then(a.distance.total_cmp(&b.distance)));
    merges
}

fn merge(gallery: &Embeddings, means: &Candidates<'_>, pair: [usize; 2]) -> Option<Merge> {
    let metric = means.metric();
    let rows = pair.map(|class| means.rows(class));
    let counts = rows.map(<[usize]>::len);
    if counts.iter().any(|&count| count < 2) {
        return None;
    }
    let cloud = Cloud::new(gallery, metric, &rows.concat());
    let first = cloud.part((0..counts[0]).collect());
    let second = cloud.part((counts[0]..cloud.len()).collect());
    let overlap = (cloud.overlap(&first, &second) + cloud.overlap(&second, &first)) / 2.0;
    if overlap < LEAST_OVERLAP {
        return None;
    }
    let mut centroid = vec![0.0; gallery.dim()];
    means.write_vector(rows[0], &mut centroid);
    let distance = means.distance(&centroid, pair[1]);
    let [first, second] = [0, 1].map(|i| Class::of(gallery, means.pids()[pair[i]], counts[i]));
    Some(Merge { first, second, distance, overlap })
}
