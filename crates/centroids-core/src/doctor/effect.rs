//! What taking images out of the gallery does to rank-1.

use super::Options;
use super::findings::{Effect, LeftOut, Mislabelled, Outlier, Rank1};
use super::judgement::{Judgement, nearest_others, own_distances};
use crate::centroid::rows_by_pid;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::evaluate::evaluate;
use crate::protocol::{Metric, Unit};

/// Shares of the gallery that are taken out, worst first.
const SHARES: [f64; 3] = [0.01, 0.02, 0.05];

/// Rows that may be taken out.
pub(super) struct Flagged {
    /// Those with a z, highest first, then by row.
    by_z: Vec<usize>,
    /// Outliers and confirmed wrong labels.
    flagged: Vec<usize>,
}

impl Flagged {
    pub(super) fn new(
        judgements: &[Judgement],
        outliers: &[Outlier],
        mislabelled: &[Mislabelled],
    ) -> Self {
        let z = |row: &usize| judgements[*row].z.unwrap_or(f64::NEG_INFINITY);
        let mut by_z: Vec<usize> = (0..judgements.len()).collect();
        by_z.retain(|&row| judgements[row].z.is_some());
        by_z.sort_by(|a, b| z(b).total_cmp(&z(a)));
        let wrong = mislabelled.iter().filter(|found| found.confirmed);
        let flagged = outliers.iter().map(|found| found.image.row);
        Self { by_z, flagged: flagged.chain(wrong.map(|found| found.image.row)).collect() }
    }

    /// What is taken out, as a mark for each of `n` rows, and how much that is.
    fn left_out(&self, which: LeftOut, n: usize) -> (Vec<bool>, usize) {
        let rows = match which {
            LeftOut::Nothing => &[],
            LeftOut::Worst(share) => {
                &self.by_z
                    [..((share * self.by_z.len() as f64).ceil() as usize).min(self.by_z.len())]
            }
            LeftOut::Flagged => &self.flagged[..],
        };
        let mut marks = vec![false; n];
        rows.iter().for_each(|&row| marks[row] = true);
        let count = marks.iter().filter(|mark| **mark).count();
        (marks, count)
    }
}

/// Rank-1 with everything, without the worst, and without all that is flagged.
pub(super) fn effect(
    gallery: &Embeddings,
    against: Option<&Embeddings>,
    options: &Options,
    flagged: &Flagged,
) -> Result<Option<Effect>, Error> {
    let variants: Vec<LeftOut> = std::iter::once(LeftOut::Nothing)
        .chain(SHARES.map(LeftOut::Worst))
        .chain([LeftOut::Flagged])
        .collect();
    if flagged.by_z.is_empty() || rows_by_pid(gallery.pids()).len() < 2 {
        return Ok(None);
    }
    let mut queries = flagged.by_z.clone();
    queries.sort_unstable();
    let leave_one_out = variants.iter().map(|&left_out| {
        let (marks, images) = flagged.left_out(left_out, gallery.len());
        let right = count_right(gallery, &options.metric, &queries, &marks);
        let rank1 = right as f64 / queries.len() as f64;
        Rank1 { left_out, images, queries: queries.len(), rank1 }
    });
    let mut effect =
        Effect { leave_one_out: leave_one_out.collect(), against: None, against_note: None };
    if let Some(against) = against {
        match against_queries(against, gallery, options, flagged, &variants) {
            Ok(rows) => effect.against = Some(rows),
            Err(Error::NoValidQuery(why)) => effect.against_note = Some(why.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(effect))
}

/// How many of the queries are nearer to the rest of their class than to any other; of equal
/// distances the lower pid is nearer.
fn count_right(gallery: &Embeddings, metric: &Metric, queries: &[usize], out: &[bool]) -> usize {
    let own = own_distances(gallery, metric, |row| !out[row]);
    let others = nearest_others(gallery, metric, queries, |row| !out[row]);
    let right = |(&row, other): (&usize, Option<_>)| match (own[row], other) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(own), Some(other)) => (own, gallery.pids()[row]) < other,
    };
    queries.iter().zip(others).filter(|(row, other)| right((row, *other))).count()
}

fn against_queries(
    against: &Embeddings,
    gallery: &Embeddings,
    options: &Options,
    flagged: &Flagged,
    variants: &[LeftOut],
) -> Result<Vec<Rank1>, Error> {
    let mut queries = None;
    let mut rows = Vec::with_capacity(variants.len());
    for &left_out in variants {
        let (marks, images) = flagged.left_out(left_out, gallery.len());
        let kept: Vec<usize> = (0..gallery.len()).filter(|&row| !marks[row]).collect();
        let kept = if images == 0 { None } else { Some(gallery.select(&kept)) };
        let kept = kept.as_ref().unwrap_or(gallery);
        let (unit, cameras) = (Unit::Centroid, options.cameras);
        let report = match evaluate(against, kept, unit, cameras, &options.metric) {
            Err(Error::NoValidQuery(_)) if queries.is_some() => None,
            report => Some(report?),
        };
        let (right, valid) = report.map_or((0.0, 0), |report| {
            (report.rank(1) * report.valid_queries as f64, report.valid_queries)
        });
        // Queries that lost their class count as missed.
        let queries = *queries.get_or_insert(valid);
        rows.push(Rank1 { left_out, images, queries, rank1: right / queries as f64 });
    }
    Ok(rows)
}
