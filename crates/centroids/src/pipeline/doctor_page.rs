//! The page of the doctor: one HTML file that needs nothing else, small pictures included.

use std::collections::BTreeMap;
use std::path::Path;

use centroids_core::doctor::{Effect, Findings, LeftOut, Rank1};
use centroids_data::thumbnail;
use rayon::prelude::*;

use super::Unreadable;
use super::doctor_cards::{Card, Section, Strip};
use super::html::{self, picture_url, text};
use super::rank_page::missing_pictures;

/// Longer side of a picture, in pixels.
const SIDE: u32 = 96;

const MORE_STYLE: &str = "\
section[id] > h2 { margin-top: 2.5rem; font-size: 1.25rem; }
h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.strips { display: flex; flex-wrap: wrap; gap: 0.5rem 1.5rem; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: 0.85rem; }
figure div { display: flex; flex-wrap: wrap; gap: 3px; }
figure img, .gone { max-width: 96px; max-height: 96px; border: 1px solid var(--line); }
.gone { display: inline-block; width: 64px; height: 64px; background: #d8d8d8; }
nav ul { margin: 0.5rem 0; padding-left: 1.2rem; }
";

/// Small pictures as `data:` addresses, or why there is none; by path.
pub(super) struct Thumbnails(BTreeMap<String, Result<String, String>>);

impl Thumbnails {
    /// Those of all cards, on all threads.
    pub(super) fn of(sections: &[Section]) -> Self {
        let strips = sections.iter().flat_map(|s| &s.cards).flat_map(|card| &card.strips);
        let mut paths: Vec<&String> = strips.flat_map(|strip| &strip.paths).collect();
        paths.sort_unstable();
        paths.dedup();
        let small = |path: &String| match thumbnail(Path::new(path), SIDE) {
            Ok(jpeg) => Ok(picture_url("jpeg", &jpeg)),
            Err(error) => Err(error.to_string()),
        };
        Self(paths.into_par_iter().map(|path| (path.clone(), small(path))).collect())
    }

    /// Pictures that cannot be read.
    pub(super) fn missing(&self) -> Vec<Unreadable> {
        let unreadable = |(path, small): (&String, &Result<String, String>)| {
            let reason = small.as_ref().err()?.clone();
            Some(Unreadable { path: path.into(), reason })
        };
        self.0.iter().filter_map(unreadable).collect()
    }

    fn image(&self, path: &str) -> String {
        let name = text(path);
        match self.0.get(path) {
            Some(Ok(data)) => {
                format!("<img loading=\"lazy\" src=\"{data}\" alt=\"{name}\" title=\"{name}\">")
            }
            _ => format!("<span class=\"gone\" title=\"{name}\"></span>"),
        }
    }
}

/// The whole page.
pub(super) fn page(findings: &Findings, sections: &[Section], pictures: &Thumbnails) -> String {
    let hint = "<p class=\"soft\">Edit the verdicts in keep.csv.</p>\n";
    html::page("Gallery doctor", &(hint.to_owned() + &doctor_body(findings, sections, pictures)))
}

/// What the page says below its heading.
pub(super) fn doctor_body(
    findings: &Findings,
    sections: &[Section],
    pictures: &Thumbnails,
) -> String {
    let Findings { images, classes, junk, not_judged, duplicates, effect, .. } = findings;
    let contents: String = sections.iter().enumerate().map(contents_row).collect();
    let bodies: String =
        sections.iter().enumerate().map(|section| section_html(section, pictures)).collect();
    format!(
        "<style>\n{MORE_STYLE}</style>\n<p class=\"soft\">{images} images of {classes} classes{left_out}. Duplicates are at most \
         {threshold:.2e} apart{how}.<br>\nAll this is what the model sees: a suspicion, no \
         verdict.</p>\n{missing}<nav class=\"card\"><ul>\n{contents}\
         </ul>\n{effect}</nav>\n{bodies}",
        left_out = left_out(*junk, not_judged.len()),
        threshold = duplicates.threshold,
        how = if duplicates.estimate.is_some() { " (estimated)" } else { "" },
        missing = missing_pictures(&pictures.missing()),
        effect = effect.as_ref().map_or(String::new(), effect_table),
    )
}

/// What is not examined, if there is such.
fn left_out(junk: usize, alone: usize) -> String {
    let part = |count: usize, what: &str| match count {
        0 => String::new(),
        _ => format!("; {count} {what}"),
    };
    part(junk, "junk images are left out") + &part(alone, "are alone in their class: not judged")
}

fn contents_row((number, section): (usize, &Section)) -> String {
    format!("<li><a href=\"#s{number}\">{}</a>: {}\n", section.title, section.count)
}

fn section_html((number, section): (usize, &Section), pictures: &Thumbnails) -> String {
    let Section { title, meaning, count, cards } = section;
    let shown =
        if cards.len() < *count { format!(", the worst {}", cards.len()) } else { String::new() };
    let cards: String = cards.iter().map(|card| card_html(card, pictures)).collect();
    format!(
        "<section id=\"s{number}\">\n<h2>{title}: {count}{shown}</h2>\n\
         <p class=\"soft\">{meaning}</p>\n{cards}</section>\n"
    )
}

fn card_html(card: &Card, pictures: &Thumbnails) -> String {
    let strip = |strip: &Strip| {
        let images: String = strip.paths.iter().map(|path| pictures.image(path)).collect();
        let caption = text(&strip.caption);
        format!("<figure><figcaption>{caption}</figcaption><div>{images}</div></figure>\n")
    };
    format!(
        "<div class=\"card\">\n<h3>{}</h3>\n<p class=\"soft\">{}</p>\n<div class=\"strips\">\n{}\
         </div></div>\n",
        text(&card.title),
        text(&card.facts),
        card.strips.iter().map(strip).collect::<String>()
    )
}

fn effect_table(effect: &Effect) -> String {
    let against = effect.against.iter().flatten();
    let queries = |first: Option<&Rank1>| first.map_or(0, |rank1| rank1.queries);
    let rows: String = effect
        .leave_one_out
        .iter()
        .enumerate()
        .map(|(i, rank1)| {
            let other = effect.against.as_ref().and_then(|rows| rows.get(i));
            let other = other.map_or(String::new(), |o| format!("<td>{:.2}%", 100.0 * o.rank1));
            let (left_out, images) = (left_out_name(rank1.left_out), rank1.images);
            format!("<tr><td>{left_out}<td>{images}<td>{:.2}%{other}\n", 100.0 * rank1.rank1)
        })
        .collect();
    let other = match queries(against.clone().next()) {
        0 => String::new(),
        n => format!("<th>rank-1, {n} queries of the other file"),
    };
    format!(
        "<table><tr><th>taken out of the gallery<th>images<th>rank-1, {} images, each without \
         itself{other}\n{rows}</table>\n<p class=\"soft\">Rank-1 among centroids. The queries stay \
         the same, those taken out of the gallery included; the images of the gallery chose themselves what \
         is taken out, so their figure is the most that can be hoped for.</p>\n",
        queries(effect.leave_one_out.first()),
    )
}

/// What was taken out, in words.
pub(super) fn left_out_name(left_out: LeftOut) -> String {
    match left_out {
        LeftOut::Nothing => "nothing".to_owned(),
        LeftOut::Worst(share) => format!("the worst {}%", 100.0 * share),
        LeftOut::Flagged => "outliers and confirmed labels".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use centroids_core::doctor::{Options, examine};
    use centroids_core::{Embeddings, Pid};

    #[test]
    fn names_cannot_break_the_page_and_missing_pictures_are_grey() {
        let folder = tempfile::tempdir().unwrap();
        let sound = folder.path().join("<b>&\".png").to_string_lossy().into_owned();
        let rgb = centroids_data::RgbImage::black(4, 4);
        centroids_data::write_png(&rgb, Path::new(&sound)).unwrap();
        let pids = vec![Pid(1); 2];
        let paths = vec![sound.clone(), "gone.png".to_owned()];
        let set = Embeddings::new(1, vec![1.0; 2], pids, vec![None; 2], paths).unwrap();
        let findings = examine(&set, None, &Options::default()).unwrap();
        let sections = super::super::doctor_cards::sections(&findings, &set, 20);
        let pictures = Thumbnails::of(&sections);
        let missing: Vec<_> = pictures.missing().into_iter().map(|image| image.path).collect();
        assert_eq!(missing, [Path::new("gone.png")]);
        let html = page(&findings, &sections, &pictures);
        assert!(html.contains("Duplicates under one label: 1") && html.contains("class=\"gone\""));
        assert!(html.contains("&lt;b&gt;&amp;&quot;.png") && !html.contains("<b>"));
        assert!(html.contains("src=\"data:image/jpeg;base64,") && !html.contains("http"));
    }
}
