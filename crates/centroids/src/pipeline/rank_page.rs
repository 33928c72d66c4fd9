//! The page of rank pictures: one HTML file that needs nothing but the pictures beside it.

use centroids_core::{Ranking, Unit};

use super::Unreadable;
use super::html::{self, text, url};
use super::rank_pictures::{Entry, EntryHit};

/// All entries, lowest AP first; those without anything to find stand at the end.
pub(super) fn page(mut entries: Vec<Entry>, ranking: &Ranking, missing: &[Unreadable]) -> String {
    let hardness = |entry: &Entry| entry.average_precision.unwrap_or(f64::INFINITY);
    entries
        .sort_by(|a, b| hardness(a).total_cmp(&hardness(b)).then(b.first_rank.cmp(&a.first_rank)));
    let Ranking { unit, cameras, metric, .. } = ranking;
    let mut body = format!(
        "<p class=\"soft\">{} queries, hardest first. Camera rule {cameras}, {} distance{}.<br>\n\
         Black frame: the query. Green: its identity. Red: another one.{}</p>\n",
        entries.len(),
        metric.distance,
        if metric.normalize { " of normalised vectors" } else { "" },
        match unit {
            Unit::Centroid => {
                " C: the hit is a centroid; the picture is its member nearest to the query."
            }
            Unit::Nearest => " Each identity is shown by its nearest picture.",
            Unit::Instance => "",
        }
    );
    body += &missing_pictures(missing);
    for entry in &entries {
        body += &card(entry, *unit);
    }
    html::page(&format!("Rankings by {unit}"), &body)
}

/// Which pictures are grey, and why.
pub(super) fn missing_pictures(missing: &[Unreadable]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let reasons: String =
        missing.iter().map(|image| format!("<li>{}</li>\n", text(&image.reason))).collect();
    let count = missing.len();
    format!(
        "<details class=\"card\"><summary>{count} pictures cannot be read and are grey</summary>\n\
         <ul>\n{reasons}</ul></details>\n"
    )
}

fn card(entry: &Entry, unit: Unit) -> String {
    let score = match (entry.average_precision, entry.first_rank) {
        (Some(ap), Some(rank)) => {
            let class = if rank == 1 { "right" } else { "wrong" };
            format!(
                "AP {:.1}% · <span class=\"{class}\">first hit at rank {rank}</span>",
                100.0 * ap
            )
        }
        _ => "nothing to find: the gallery has no image of it that counts".to_owned(),
    };
    let shown = if unit == Unit::Centroid { "nearest member" } else { "picture" };
    let hits: String = entry.hits.iter().zip(1..).map(hit_row).collect();
    format!(
        "<section class=\"card\">\n<h2>{path}</h2>\n<p class=\"soft\">identity {name} · {score}</p>\n\
         <div class=\"strip\"><img loading=\"lazy\" src=\"{src}\" alt=\"ranking of {path}\"></div>\n\
         <details><summary>hits</summary>\n<table><tr><th>rank<th>identity<th>distance<th>{shown}\n\
         {hits}</table></details>\n</section>\n",
        path = text(&entry.path),
        name = text(&entry.name),
        src = url(&entry.file),
    )
}

fn hit_row((hit, rank): (&EntryHit, usize)) -> String {
    let class = if hit.right { "right" } else { "wrong" };
    format!(
        "<tr><td>{rank}<td class=\"{class}\">{} {}<td>{:.4}<td>{}\n",
        if hit.right { "✓" } else { "✗" },
        text(&hit.name),
        hit.distance,
        text(&hit.path)
    )
}

#[cfg(test)]
mod tests {
    use centroids_core::{CameraRule, Metric};

    use super::*;

    fn entry(path: &str, average_precision: Option<f64>) -> Entry {
        let hit = EntryHit { path: "g.png".into(), name: "7".into(), distance: 0.5, right: true };
        Entry {
            file: format!("{path}.png"),
            path: path.into(),
            name: "a&b".into(),
            average_precision,
            first_rank: average_precision.map(|ap| (1.0 / ap) as usize),
            hits: vec![hit],
        }
    }

    #[test]
    fn the_hardest_query_stands_first_and_names_cannot_break_the_page() {
        let entries = vec![entry("easy", Some(1.0)), entry("none", None), entry("<#1>", Some(0.5))];
        let metric = Metric::default();
        let ranking = Ranking { k: 1, unit: Unit::Centroid, cameras: CameraRule::Any, metric };
        let missing = Unreadable { path: "x".into(), reason: "x is gone".into() };
        let html = page(entries, &ranking, &[missing]);
        let at = |part: &str| html.find(part).unwrap_or_else(|| panic!("{part} is not in {html}"));
        assert!(at("&lt;#1&gt;") < at("<h2>easy") && at("<h2>easy") < at("<h2>none"));
        assert!(at("src=\"%3C%231%3E.png\"") > 0 && at("a&amp;b") > 0 && at("x is gone") > 0);
        assert!(at("first hit at rank 2") > 0 && at("its member nearest to the query") > 0);
        assert!(!html.contains("http"), "nothing from elsewhere");
    }
}
