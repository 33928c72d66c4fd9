//! One evaluation as a page: tables, curves, and the hardest queries with their pictures.

use std::io;
use std::path::Path;

use centroids_core::{Embeddings, Metric, RankedQuery, Ranking, Report, Unit, Verification, rank};
use centroids_data::{RankPainter, RankRow, encode_png};
use rayon::prelude::*;

use super::chart::{Axis, Curve, bars, curves};
use super::evaluate::numbered_alike;
use super::html::{self, picture_url, table, text};
use super::rank_pictures::rank_row;
use super::search::pid_name;
use super::{UnitCost, Unreadable};
use crate::Error;
use crate::files::write_text;

/// The CMC curve is drawn to this rank.
const CMC_DEPTH: usize = 50;
/// Points of a ROC curve.
const ROC_POINTS: usize = 200;
/// Bins of the histograms of AP.
const BINS: usize = 20;
/// Queries shown of each unit, and hits of each.
const HARDEST: usize = 20;
const HITS: usize = 10;

/// What [`write_evaluation_page`] shows.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationPage<'a> {
    /// The queries.
    pub query: &'a Embeddings,
    /// The gallery.
    pub gallery: &'a Embeddings,
    /// How vectors were compared.
    pub metric: &'a Metric,
    /// The figures.
    pub reports: &'a [Report],
    /// What each unit costs.
    pub costs: &'a [UnitCost],
    /// How well pairs are told apart, drawn as ROC curves.
    pub verification: &'a [Verification],
    /// Height and width of each picture.
    pub size: [usize; 2],
}

/// Writes one HTML file that needs nothing beside it. Pictures that cannot be read are grey, and
/// named in the result.
///
/// # Errors
/// The file cannot be written.
pub fn write_evaluation_page(
    path: &Path,
    page: &EvaluationPage<'_>,
) -> Result<Vec<Unreadable>, Error> {
    let mut missing = Vec::new();
    let body = evaluation_body(path, page, &mut missing)?;
    write_text(path, &html::page("Evaluation", &body))?;
    Ok(missing)
}

/// Tables, curves and hardest queries; `path` is that of the page, for errors.
pub(super) fn evaluation_body(
    path: &Path,
    page: &EvaluationPage<'_>,
    missing: &mut Vec<Unreadable>,
) -> Result<String, Error> {
    let query = numbered_alike(page.query, page.gallery);
    let page = &EvaluationPage { query: &query, ..*page };
    let EvaluationPage { gallery, reports, .. } = page;
    let mut body = format!(
        "<p class=\"soft\">{} queries against {} images. {} distance{}; a centroid is the mean of {} \
         embeddings.{}</p>\n",
        query.len(),
        gallery.len(),
        page.metric.distance,
        if page.metric.normalize { " of normalised vectors" } else { "" },
        page.metric.centroid_of,
        match query.model() {
            "" => String::new(),
            model => format!(" Model {}.", text(model)),
        }
    );
    for group in Group::ALL {
        body += &group.table(reports);
    }
    body += &costs_table(page.costs);
    body += "<div class=\"charts\">\n";
    for group in Group::ALL {
        body += &group.cmc(reports);
    }
    body += &roc_chart(page.verification);
    for report in reports.iter().filter(|report| report.cameras == reports[0].cameras) {
        body += &ap_histogram(report);
    }
    body += "</div>\n";
    for report in reports.iter().filter(|report| report.cameras == reports[0].cameras) {
        if report.preset.is_none() && report.unit != Unit::Nearest {
            body += &hardest(page, report, path, missing)?;
        }
    }
    Ok(body)
}

/// Reports whose figures may be compared with each other.
#[derive(Clone, Copy, PartialEq)]
enum Group {
    Images,
    Identities,
    Presets,
}

impl Group {
    const ALL: [Self; 3] = [Self::Images, Self::Identities, Self::Presets];

    fn of(report: &Report) -> Self {
        match (report.preset, report.unit) {
            (Some(_), _) => Self::Presets,
            (None, Unit::Instance) => Self::Images,
            (None, Unit::Nearest | Unit::Centroid) => Self::Identities,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Images => "Images",
            Self::Identities => "Identities",
            Self::Presets => "The reference's centroid protocol",
        }
    }

    fn note(self) -> &'static str {
        match self {
            Self::Images => {
                "Every image of the query's identity is to be found. Not comparable with figures of \
                 identities."
            }
            Self::Identities => {
                "One identity is to be found, so AP is 1 / rank: not comparable with figures of \
                 images. Centroid against nearest, same cameras, is the honest gain of centroids."
            }
            Self::Presets => "Only comparable with itself and with published figures of the paper.",
        }
    }

    fn members(self, reports: &[Report]) -> Vec<&Report> {
        reports.iter().filter(|report| Self::of(report) == self).collect()
    }

    fn table(self, reports: &[Report]) -> String {
        let members = self.members(reports);
        let Some(first) = members.first() else { return String::new() };
        let ranks: Vec<String> = first.shown_ranks.iter().map(|k| format!("rank-{k}")).collect();
        let mut header = vec!["unit", "cameras", "mAP"];
        header.extend(ranks.iter().map(String::as_str));
        header.extend(["mINP", "R-precision", "MAP@R", "queries", "skipped", "gallery"]);
        let row = |report: &&Report| {
            let preset = report.preset.map(|preset| format!(" ({preset})")).unwrap_or_default();
            let mut row = vec![format!("{}{preset}", report.unit), report.cameras.to_string()];
            row.push(percent(report.map));
            row.extend(report.shown_ranks.iter().map(|&k| percent(report.rank(k))));
            row.extend([report.minp, report.r_precision, report.map_at_r].map(percent));
            let counts = [report.valid_queries, report.skipped_queries, report.gallery_units];
            row.extend(counts.map(|count| count.to_string()));
            row
        };
        let rows: Vec<_> = members.iter().map(row).collect();
        let (title, note) = (self.title(), self.note());
        let table = table(&header, &rows);
        format!(
            "<section class=\"card\"><h2>{title}</h2>\n<p class=\"soft\">{note}</p>\n{table}\
             </section>\n"
        )
    }

    fn cmc(self, reports: &[Report]) -> String {
        let members = self.members(reports);
        if members.is_empty() {
            return String::new();
        }
        let curve = |report: &&Report| Curve {
            name: name(report),
            points: (1..).map(f64::from).zip(report.cmc(CMC_DEPTH)).map(|(k, s)| [k, s]).collect(),
        };
        let x = Axis {
            label: "rank",
            ends: [1.0, CMC_DEPTH as f64],
            logarithmic: false,
            marks: vec![1.0, 10.0, 20.0, 30.0, 40.0, 50.0],
        };
        let all: Vec<Curve> = members.iter().map(curve).collect();
        curves(&format!("CMC: {}", self.title()), &x, &Axis::share("queries found"), &all)
    }
}

fn name(report: &Report) -> String {
    match report.preset {
        Some(preset) => preset.to_string(),
        None => format!("{}, {}", report.unit, report.cameras),
    }
}

fn percent(fraction: f64) -> String {
    format!("{:.2}%", 100.0 * fraction)
}

fn costs_table(costs: &[UnitCost]) -> String {
    let row = |cost: &UnitCost| {
        let seconds = format!("{:.6}", cost.seconds_per_query);
        vec![cost.unit.to_string(), cost.rows.to_string(), cost.bytes.to_string(), seconds]
    };
    let rows: Vec<_> = costs.iter().map(row).collect();
    let table = table(&["unit", "vectors", "bytes", "seconds per query"], &rows);
    format!("<section class=\"card\"><h2>Storage and time, measured</h2>\n{table}</section>\n")
}

fn roc_chart(verification: &[Verification]) -> String {
    if verification.is_empty() {
        return String::new();
    }
    let x = Axis {
        label: "false match rate",
        ends: [1e-5, 1.0],
        logarithmic: true,
        marks: vec![1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0],
    };
    let curve = |of: &Verification| Curve {
        name: format!("{}, {}", of.unit, of.cameras),
        points: of.roc.points(ROC_POINTS).iter().map(|point| [point.fpr, point.tpr]).collect(),
    };
    let all: Vec<Curve> = verification.iter().map(curve).collect();
    curves("ROC", &x, &Axis::share("true match rate"), &all)
}

fn ap_histogram(report: &Report) -> String {
    let mut counts = [0; BINS];
    for ap in report.average_precision.iter().flatten() {
        counts[((ap * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    bars(&format!("AP of queries: {}", name(report)), &Axis::share("AP"), &counts)
}

/// The queries of lowest AP with what was found instead.
fn hardest(
    page: &EvaluationPage<'_>,
    report: &Report,
    path: &Path,
    missing: &mut Vec<Unreadable>,
) -> Result<String, Error> {
    let EvaluationPage { query, gallery, metric, size, .. } = *page;
    let valid = report.average_precision.iter().enumerate();
    let mut valid: Vec<(usize, f64)> = valid.filter_map(|(row, ap)| Some((row, (*ap)?))).collect();
    valid.sort_by(|a, b| a.1.total_cmp(&b.1));
    let rows: Vec<usize> = valid.iter().take(HARDEST).map(|(row, _)| *row).collect();
    let ranking = Ranking { k: HITS, unit: report.unit, cameras: report.cameras, metric: *metric };
    let ranked = rank(query, &rows, gallery, &ranking)?;
    let pictures: Vec<RankRow> =
        ranked.iter().map(|ranked| rank_row(ranked, query, gallery, report.unit)).collect();
    let painter = RankPainter::new(&pictures, size);
    let strips: io::Result<Vec<Vec<u8>>> =
        pictures.par_iter().map(|row| encode_png(&painter.row(row))).collect();
    let strips = strips.map_err(|source| Error::Write { path: path.into(), source })?;
    let reasons = painter.into_missing().into_iter();
    missing.extend(reasons.map(|(path, reason)| Unreadable { path, reason }));
    let cards = ranked.iter().zip(&strips).map(|(ranked, strip)| strip_card(query, ranked, strip));
    let shown = match report.unit {
        Unit::Centroid => " C: a centroid, shown by its member nearest to the query.",
        _ => "",
    };
    Ok(format!(
        "<details open class=\"card\"><summary>Hardest queries: {}</summary>\n<p class=\"soft\">Black: \
         the query. Green: its identity. Red: another one.{shown}</p>\n{}</details>\n",
        name(report),
        cards.collect::<String>()
    ))
}

fn strip_card(query: &Embeddings, ranked: &RankedQuery, strip: &[u8]) -> String {
    let path = text(&query.paths()[ranked.query]);
    let identity = text(&pid_name(query, query.pids()[ranked.query]));
    let ap = 100.0 * ranked.average_precision.unwrap_or(0.0);
    let first = ranked.first_rank.unwrap_or(0);
    format!(
        "<p>{path} <span class=\"soft\">identity {identity} · AP {ap:.1}% · first hit at rank {first}\
         </span></p>\n<div class=\"strip\"><img loading=\"lazy\" src=\"{}\" alt=\"ranking of {path}\">\
         </div>\n",
        picture_url("png", strip)
    )
}
