//! Scores where images are the candidates: of images, and of identities by their nearest image.

use super::pass::{ByRule, Followed, Pass, by_rule};
use super::precede::Key;
use super::score::QueryScore;
use super::{Scores, all_rows};
use crate::candidates::Candidates;
use crate::embeddings::Embeddings;
use crate::protocol::{CameraRule, Metric};

/// Scores of each query as [`Unit::Instance`](crate::Unit::Instance) and as
/// [`Unit::Nearest`](crate::Unit::Nearest), from one pass over the images.
pub(super) fn score(
    query: &Embeddings,
    gallery: &Embeddings,
    metric: &Metric,
    cross: bool,
) -> Vec<(Scores, Scores)> {
    let images = Candidates::images_by_pid(gallery, metric);
    let pass = Pass::new(query, gallery, metric, images, cross);
    let allowed = |rule: CameraRule, row: usize, image: &Key| {
        rule.allows(query.camids()[row], gallery.camids()[image.place], true)
    };
    let begin = |row: usize| {
        let own = pass.keys(row, pass.own(row));
        let limits: ByRule<Option<Key>> = by_rule(|rule| {
            let counting = own.iter().filter(|image| allowed(rule, row, image));
            let distance = counting.map(|image| image.distance).min_by(f64::total_cmp)?;
            Some(Key { distance, place: pass.own_class(row) })
        });
        Followed::new(own, limits)
    };
    let end = |row: usize, seen: Followed| {
        let instance = by_rule(|rule| {
            let before = if rule == CameraRule::Cross { &seen.before_cross } else { &seen.before };
            let own = seen.own.iter().zip(before).filter(|(image, _)| allowed(rule, row, image));
            QueryScore::from_wrong_before(own.map(|(_, &before)| before))
        });
        (instance, seen.classes.map(|class| class.score()))
    };
    pass.follow(&all_rows(query), begin, end)
}
