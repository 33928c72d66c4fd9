//! A training run as one page: its curves, its evaluation, a map of its embeddings, and what is odd in
//! its gallery.

use std::fs;
use std::path::Path;

use centroids_core::doctor::Findings;

use super::Unreadable;
use super::doctor_cards::sections;
use super::doctor_page::{Thumbnails, doctor_body};
use super::embedding_map::embedding_map;
use super::evaluation_page::{EvaluationPage, evaluation_body};
use super::html::{self, text};
use super::training_curves::{epochs, training_curves};
use crate::files::write_text;
use crate::run_log::Line;
use crate::{Error, RunDir};

/// What [`write_run_page`] shows.
#[derive(Clone, Copy, Debug)]
pub struct RunPage<'a> {
    /// The run.
    pub run: &'a RunDir,
    /// Its evaluation.
    pub evaluation: EvaluationPage<'a>,
    /// What is odd in the gallery.
    pub findings: &'a Findings,
    /// How many findings of each kind to show.
    pub worst: usize,
}

/// Writes one HTML file that needs nothing beside it. Pictures that cannot be read are grey, and named
/// in the result.
///
/// # Errors
/// The run's files cannot be read, or the page cannot be written.
pub fn write_run_page(path: &Path, page: &RunPage<'_>) -> Result<Vec<Unreadable>, Error> {
    let RunPage { run, evaluation, findings, worst } = page;
    let lines: Vec<Line> = run.lines()?.iter().map(Line::of).collect();
    let config = run.config();
    let settings =
        fs::read_to_string(&config).map_err(|source| Error::Read { path: config, source })?;
    let mut missing = Vec::new();
    let evaluated = evaluation_body(path, evaluation, &mut missing)?;
    let sections = sections(findings, evaluation.gallery, *worst);
    let pictures = Thumbnails::of(&sections);
    let body = format!(
        "<p class=\"soft\">{} epochs.</p>\n<details class=\"card\"><summary>Settings</summary>\n\
         <pre>{}</pre></details>\n<h2 class=\"part\">Training</h2>\n<div class=\"charts\">\n{}</div>\n\
         <h2 class=\"part\">Evaluation</h2>\n{evaluated}<h2 class=\"part\">Gallery</h2>\n<div class=\"charts maps\">\n{}</div>\n{}",
        epochs(&lines),
        text(&settings),
        training_curves(&lines),
        embedding_map(evaluation.gallery, evaluation.metric),
        doctor_body(findings, &sections, &pictures),
    );
    let name = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    write_text(path, &html::page(&format!("Run {name}"), &body))?;
    // The same picture may be missing in both parts.
    for image in pictures.missing() {
        if missing.iter().all(|other: &Unreadable| other.path != image.path) {
            missing.push(image);
        }
    }
    Ok(missing)
}
