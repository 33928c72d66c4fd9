//! Ranking images.

use super::score::{QueryScore, Standing};
use super::{Scores, score_all};
use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::protocol::{CameraRule, Metric};

/// Every image that is not junk is a candidate.
pub(super) fn score(
    query: &Embeddings,
    gallery: &Embeddings,
    cameras: CameraRule,
    metric: &Metric,
) -> Scores {
    let images = Candidates::images(gallery, metric, |_| true);
    let by_query = score_all(query, &images, |i, distances| {
        QueryScore::new(distances, |image| {
            let same_pid = images.pids()[image] == query.pids()[i];
            let camid = gallery.camids()[images.rows(image)[0]];
            match (cameras.allows(query.camids()[i], camid, same_pid), same_pid) {
                (false, _) => Standing::LeftOut,
                (true, true) => Standing::Relevant,
                (true, false) => Standing::Wrong,
            }
        })
    });
    Scores { by_query, gallery_units: images.len() }
}
