//! Images that look like another class.

use super::cloud::{RESOLUTION, squared_length};
use super::findings::{Class, Image, Mislabelled, Votes};
use super::judgement::Judgement;
use crate::candidates::Candidates;
use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::ids::Pid;
use crate::nearest::{Neighbour, nearest};
use crate::protocol::Metric;

/// Images nearer to another centroid than to that of their class without them, confirmed ones first,
/// then by margin.
pub(super) fn mislabelled(
    gallery: &Embeddings,
    judgements: &[Judgement],
    metric: &Metric,
    voters: usize,
) -> Vec<Mislabelled> {
    let suspects: Vec<usize> = (0..gallery.len())
        .filter(|&row| is_suspect(gallery, row, &judgements[row], metric))
        .collect();
    let images = Candidates::images(gallery, metric, |_| true);
    let others = |query: usize, image: usize| images.rows(image)[0] != query;
    let neighbours = nearest(&images, gallery, &suspects, voters, others);
    let classes = rows_by_pid(gallery.pids());
    let finding = |(row, near): (usize, Vec<Neighbour>)| {
        let Judgement { own: Some(own), other: Some(other), nearest: Some(suggested), .. } =
            judgements[row]
        else {
            return None;
        };
        let count = |pid: Pid| near.iter().filter(|n| images.pids()[n.row as usize] == pid).count();
        let votes =
            Votes { own: count(gallery.pids()[row]), suggested: count(suggested), of: near.len() };
        Some(Mislabelled {
            image: Image::of(gallery, row),
            suggested: Class::of(gallery, suggested, classes[&suggested].len()),
            margin: 1.0 - other / own,
            own,
            other,
            votes,
            confirmed: votes.suggested > votes.own,
        })
    };
    let mut found: Vec<Mislabelled> =
        suspects.into_iter().zip(neighbours).filter_map(finding).collect();
    found.sort_by(|a, b| b.confirmed.cmp(&a.confirmed).then(b.margin.total_cmp(&a.margin)));
    found
}

fn is_suspect(gallery: &Embeddings, row: usize, judgement: &Judgement, metric: &Metric) -> bool {
    let (Some(own), Some(other)) = (judgement.own, judgement.other) else {
        return false;
    };
    own - other > RESOLUTION * squared_length(&metric.prepared(gallery.row(row)))
}
