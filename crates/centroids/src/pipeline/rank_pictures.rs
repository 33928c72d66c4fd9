//! What a model finds, to look at: a picture per query and a page of all.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use centroids_core::{CameraRule, Embeddings, Hit, Metric, RankedQuery, Ranking, Unit, rank};
use centroids_data::{RankHit, RankPainter, RankRow, write_png};
use rayon::prelude::*;

use super::evaluate::numbered_alike;
use super::rank_page::page;
use super::search::pid_name;
use super::{Question, Unreadable};
use crate::files::write_text;
use crate::{Error, Experiment};

/// How many pictures, how large, and where.
#[derive(Clone, Copy, Debug)]
pub struct RankPictureOptions<'a> {
    /// Folder for the pictures and `index.html`; made if missing.
    pub dir: &'a Path,
    /// Hits per query (`TEST.VISUALIZE_TOPK`).
    pub topk: usize,
    /// Most queries, the first ones (`TEST.VISUALIZE_MAX_NUMBER`).
    pub max_queries: usize,
    /// Height and width of each picture with its frame (`INPUT.SIZE_TEST`).
    pub size: [usize; 2],
}

/// What was written.
#[derive(Debug)]
pub struct RankPictures {
    /// The page that shows all pictures, hardest query first.
    pub index: PathBuf,
    /// Queries drawn.
    pub queries: usize,
    /// Pictures that cannot be read; they are drawn grey.
    pub missing: Vec<Unreadable>,
}

/// A query as the page shows it.
pub(super) struct Entry {
    /// Name of its picture in the folder.
    pub(super) file: String,
    pub(super) path: String,
    pub(super) name: String,
    pub(super) average_precision: Option<f64>,
    pub(super) first_rank: Option<usize>,
    pub(super) hits: Vec<EntryHit>,
}

/// A hit as the page shows it.
pub(super) struct EntryHit {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) distance: f64,
    pub(super) right: bool,
}

/// Writes `<query stem>.png` for each query, in the measures of the reference's `visrank`, and
/// `index.html`. Hits are those that [`evaluate_all`](super::evaluate_all) counts under the rule; a
/// centroid is shown by its member nearest to the query and marked "C". Stems that collide are
/// numbered (`a.png`, `a-2.png`).
///
/// # Errors
/// Other dimensions; a folder or file that cannot be written. Pictures that cannot be read are no
/// error.
pub fn write_rank_pictures(
    query: &Embeddings,
    gallery: &Embeddings,
    unit: Unit,
    cameras: CameraRule,
    metric: &Metric,
    options: &RankPictureOptions<'_>,
) -> Result<RankPictures, Error> {
    let RankPictureOptions { dir, topk, max_queries, size } = *options;
    fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.into(), source })?;
    let query = numbered_alike(query, gallery);
    let rows: Vec<usize> = (0..query.len().min(max_queries)).collect();
    let ranking = Ranking { k: topk, unit, cameras, metric: *metric };
    let ranked = rank(&query, &rows, gallery, &ranking)?;

    let pictures: Vec<RankRow> =
        ranked.iter().map(|ranked| rank_row(ranked, &query, gallery, unit)).collect();
    let files = file_names(rows.iter().map(|&row| Path::new(&query.paths()[row])));
    let painter = RankPainter::new(&pictures, size);
    let draw = |(row, file): (&RankRow, &String)| write_png(&painter.row(row), &dir.join(file));
    pictures.par_iter().zip(&files).try_for_each(draw)?;
    let unreadable = |(path, reason)| Unreadable { path, reason };
    let missing: Vec<Unreadable> = painter.into_missing().into_iter().map(unreadable).collect();

    let entries = ranked.iter().zip(files).map(|(r, file)| entry(r, file, &query, gallery));
    let index = dir.join("index.html");
    let html = page(entries.collect(), &ranking, &missing);
    write_text(&index, &html)?;
    Ok(RankPictures { index, queries: rows.len(), missing })
}

/// Draws the rankings of images and of centroids that an experiment evaluates, as its `[test]` section
/// wants them, into `folder/instance` and `folder/centroid`.
///
/// # Errors
/// As [`write_rank_pictures`].
pub fn picture_rankings(
    experiment: &Experiment,
    query: &Embeddings,
    gallery: &Embeddings,
    folder: &Path,
) -> Result<(), Error> {
    let test = &experiment.test;
    for question in experiment.questions()? {
        let Question::Protocol(unit @ (Unit::Instance | Unit::Centroid), cameras) = question else {
            continue;
        };
        let options = RankPictureOptions {
            dir: &folder.join(unit.name()),
            topk: test.visualize_topk,
            max_queries: test.visualize_max_number,
            size: experiment.input.size_test,
        };
        write_rank_pictures(query, gallery, unit, cameras, &experiment.metric()?, &options)?;
    }
    Ok(())
}

pub(super) fn rank_row(
    ranked: &RankedQuery,
    query: &Embeddings,
    gallery: &Embeddings,
    unit: Unit,
) -> RankRow {
    let hit = |hit: &Hit| RankHit {
        picture: gallery.paths()[hit.example].clone().into(),
        right: hit.pid == query.pids()[ranked.query],
        of_class: unit == Unit::Centroid,
    };
    let hits = ranked.hits.iter().map(hit).collect();
    RankRow { query: query.paths()[ranked.query].clone().into(), hits }
}

fn entry(ranked: &RankedQuery, file: String, query: &Embeddings, gallery: &Embeddings) -> Entry {
    let pid = query.pids()[ranked.query];
    let hit = |hit: &Hit| EntryHit {
        path: gallery.paths()[hit.example].clone(),
        name: pid_name(gallery, hit.pid),
        distance: hit.distance,
        right: hit.pid == pid,
    };
    Entry {
        file,
        path: query.paths()[ranked.query].clone(),
        name: pid_name(query, pid),
        average_precision: ranked.average_precision,
        first_rank: ranked.first_rank,
        hits: ranked.hits.iter().map(hit).collect(),
    }
}

/// `<stem>.png` of each path; a stem that was there before, whatever its case, gets a number.
fn file_names<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<String> {
    let mut used = HashSet::new();
    let free = |path: &Path| {
        let stem = path.file_stem().unwrap_or("query".as_ref()).to_string_lossy();
        let numbered = (2..).map(|number| format!("{stem}-{number}.png"));
        let mut names = std::iter::once(format!("{stem}.png")).chain(numbered);
        names.find(|name| used.insert(name.to_lowercase())).unwrap_or_default()
    };
    paths.map(free).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_queries_get_one_file() {
        let paths = ["a/x.jpg", "b/x.png", "b/X.png", "c/x-2.jpg", "..", "y.tar.gz"];
        assert_eq!(
            file_names(paths.iter().map(Path::new)),
            ["x.png", "x-2.png", "X-3.png", "x-2-2.png", "query.png", "y.tar.png"]
        );
    }
}
