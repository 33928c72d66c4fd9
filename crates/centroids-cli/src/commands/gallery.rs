//! `centroids gallery`

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use centroids::core::doctor::{
    Effect, Findings, LeftOut, Options, Pairs, Step, examine_with_progress,
};
use centroids::core::{Embeddings, Metric};
use centroids::pipeline::{DoctorFiles, write_findings};
use serde_json::json;

use crate::cli::{DoctorArgs, GalleryArgs, GalleryCommand};
use crate::output::{Output, text};
use crate::progress::Counter;

pub(crate) fn run(arguments: GalleryArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        GalleryCommand::Doctor(arguments) => doctor(&arguments, output),
    }
}

fn doctor(arguments: &DoctorArgs, output: &Output) -> anyhow::Result<ExitCode> {
    if let Some(dir) = &arguments.out {
        // Found out before the work, not after it.
        fs::create_dir_all(dir).with_context(|| format!("cannot write {}", dir.display()))?;
    }
    let gallery = Embeddings::load(&arguments.gallery)?;
    let against = arguments.against.as_deref().map(Embeddings::load).transpose()?;
    let against = against.map(|mut against| {
        warn_of_two_models(&against, &gallery, output);
        against.adopt_pid_numbers(&gallery);
        against
    });
    let findings = examine(&gallery, against.as_ref(), &options(arguments), output)?;
    show(&findings, arguments.worst, output);
    let files = match &arguments.out {
        Some(dir) => Some(write_findings(&findings, &gallery, dir, arguments.worst)?),
        None => None,
    };
    let mut value = serde_json::to_value(&findings)?;
    if let Some(files) = &files {
        show_files(files, output);
        let missing: Vec<String> = files.missing.iter().map(|image| text(&image.path)).collect();
        value["files"] = json!({
            "index": text(&files.index), "findings": text(&files.findings),
            "keep": text(&files.keep), "missing": missing,
        });
    }
    output.value(&value);
    Ok(ExitCode::SUCCESS)
}

fn options(arguments: &DoctorArgs) -> Options {
    Options {
        metric: arguments.metric.over(Metric::default()),
        cameras: arguments.cameras,
        outlier_z: arguments.outlier_z,
        voters: arguments.voters,
        duplicate_distance: arguments.duplicate_distance,
        max_pairs: arguments.max_pairs,
    }
}

/// Examines with a bar for each step.
pub(super) fn examine(
    gallery: &Embeddings,
    against: Option<&Embeddings>,
    options: &Options,
    output: &Output,
) -> anyhow::Result<Findings> {
    let mut running: Option<(&str, Counter<'_>)> = None;
    let findings = examine_with_progress(gallery, against, options, &mut |step: Step| {
        if let Some((_, counter)) = running.take_if(|(what, _)| *what != step.what) {
            counter.finish();
        }
        let begin = || (step.what, Counter::new(output, step.what, step.total));
        let _ = running.get_or_insert_with(begin).1.at(step.done);
    })?;
    if let Some((_, counter)) = running {
        counter.finish();
    }
    Ok(findings)
}

fn warn_of_two_models(against: &Embeddings, gallery: &Embeddings, output: &Output) {
    let [a, b] = [against.model(), gallery.model()];
    if !a.is_empty() && !b.is_empty() && a != b {
        output.note(format!("warning: the gallery was embedded with {b}, the other file with {a}"));
    }
}

fn show_files(files: &DoctorFiles, output: &Output) {
    if let [first, ..] = files.missing.as_slice() {
        let count = files.missing.len();
        output.note(format!("warning: {count} pictures are missing, so grey; {}", first.reason));
        files.missing[1..].iter().for_each(|image| output.detail(&image.reason));
    }
    output.line(format!("page: {}", files.index.display()));
    output.line(format!("findings: {}", files.findings.display()));
    output.line(format!("verdicts to edit: {}", files.keep.display()));
}

/// Counts, the worst of each kind, the effect.
fn show(findings: &Findings, worst: usize, output: &Output) {
    let Findings { images, classes, junk, duplicates, .. } = findings;
    let junk = if *junk > 0 { format!(", {junk} junk images left out") } else { String::new() };
    output.line(format!("{images} images of {classes} classes{junk}"));
    show_counts(findings, output);
    let how = if duplicates.estimate.is_some() { " (estimated)" } else { "" };
    output.line(format!("duplicates are at most {:.3e} apart{how}", duplicates.threshold));
    show_mislabelled(findings, worst, output);
    show_outliers(findings, worst, output);
    if let Some(leaks) = &duplicates.leaks {
        show_pairs("in both files", leaks, worst, output);
    }
    show_pairs("duplicates under two labels", &duplicates.conflicts, worst, output);
    show_pairs("duplicates under one label", &duplicates.redundant, worst, output);
    show_classes(findings, worst, output);
    if let Some(effect) = &findings.effect {
        show_effect(effect, output);
    }
}

fn show_counts(findings: &Findings, output: &Output) {
    let Findings { mislabelled, outliers, duplicates, merges, splits, .. } = findings;
    let confirmed = mislabelled.iter().filter(|found| found.confirmed).count();
    let mut counts = vec![
        ("mislabelled, confirmed by neighbours", confirmed),
        ("mislabelled, not confirmed", mislabelled.len() - confirmed),
        ("outliers", outliers.len()),
        ("duplicates under two labels", duplicates.conflicts.count),
        ("duplicates under one label", duplicates.redundant.count),
        ("pairs of classes that may be one", merges.len()),
        ("classes that may be two", splits.len()),
        ("one image in its class: cannot be judged", findings.not_judged.len()),
    ];
    if let Some(leaks) = &duplicates.leaks {
        counts.insert(3, ("pairs in both files (leakage)", leaks.count));
    }
    let row = |(what, count): (&str, usize)| vec![what.to_owned(), count.to_string()];
    output.table(&["found", "count"], counts.into_iter().map(row).collect());
}

/// A table of the worst findings, if there are any.
fn show_worst(title: &str, count: usize, header: &[&str], rows: Vec<Vec<String>>, output: &Output) {
    if !rows.is_empty() {
        let shown =
            if rows.len() < count { format!(", the worst {}", rows.len()) } else { String::new() };
        output.line(format!("\n{title}: {count}{shown}"));
        output.table(header, rows);
    }
}

fn show_mislabelled(findings: &Findings, worst: usize, output: &Output) {
    let found = &findings.mislabelled;
    let row = |m: &centroids::core::doctor::Mislabelled| {
        let votes = format!("{}:{} of {}", m.votes.suggested, m.votes.own, m.votes.of);
        let margin = format!("{:.3}", m.margin);
        vec![m.image.path.clone(), m.image.name.clone(), m.suggested.name.clone(), margin, votes]
    };
    let rows = found.iter().take(worst).map(row).collect();
    let header = ["image", "label", "looks like", "margin", "votes"];
    show_worst("likely mislabelled", found.len(), &header, rows, output);
}

fn show_outliers(findings: &Findings, worst: usize, output: &Output) {
    let found = &findings.outliers;
    let row = |o: &centroids::core::doctor::Outlier| {
        let other = o.other.map_or("-".to_owned(), |other| format!("{other:.4}"));
        let (z, own) = (format!("{:.1}", o.z), format!("{:.4}", o.own));
        vec![o.image.path.clone(), o.image.name.clone(), z, own, other]
    };
    let rows = found.iter().take(worst).map(row).collect();
    let header = ["image", "label", "z", "to own class", "to nearest other"];
    show_worst("outliers", found.len(), &header, rows, output);
}

fn show_pairs(title: &str, pairs: &Pairs, worst: usize, output: &Output) {
    let row = |pair: &centroids::core::doctor::Pair| {
        let [a, b] = [&pair.first, &pair.second];
        let distance = format!("{:.2e}", pair.distance);
        vec![a.path.clone(), a.name.clone(), b.path.clone(), b.name.clone(), distance]
    };
    let rows = pairs.listed.iter().take(worst).map(row).collect();
    let header = ["image", "label", "image", "label", "distance"];
    show_worst(title, pairs.count, &header, rows, output);
}

fn show_classes(findings: &Findings, worst: usize, output: &Output) {
    let merge = |m: &centroids::core::doctor::Merge| {
        let counts = format!("{} + {}", m.first.images, m.second.images);
        let (overlap, distance) =
            (format!("{:.1}%", 100.0 * m.overlap), format!("{:.4}", m.distance));
        vec![m.first.name.clone(), m.second.name.clone(), counts, overlap, distance]
    };
    let rows = findings.merges.iter().take(worst).map(merge).collect();
    let header = ["class", "class", "images", "overlap", "distance"];
    show_worst("classes that may be one", findings.merges.len(), &header, rows, output);
    let split = |s: &centroids::core::doctor::Split| {
        let parts = s.parts.each_ref().map(|part| part.len().to_string());
        let aside = s.set_aside.len().to_string();
        vec![s.class.name.clone(), parts.join(" + "), aside, format!("{:.1}%", 100.0 * s.explained)]
    };
    let rows = findings.splits.iter().take(worst).map(split).collect();
    let header = ["class", "images", "in neither", "explained"];
    show_worst("classes that may be two", findings.splits.len(), &header, rows, output);
}

fn show_effect(effect: &Effect, output: &Output) {
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    let against = effect.against.as_deref();
    let queries = effect.leave_one_out.first().map_or(0, |rank1| rank1.queries);
    let rows = effect.leave_one_out.iter().enumerate().map(|(i, rank1)| {
        let mut row =
            vec![left_out(rank1.left_out), rank1.images.to_string(), percent(rank1.rank1)];
        row.extend(against.map(|rows| percent(rows[i].rank1)));
        row
    });
    output.line(format!("\nrank-1 among centroids, {queries} images, each without itself:"));
    let header = ["taken out", "images", "rank-1", "rank-1 of --against"];
    output.table(&header[..3 + usize::from(against.is_some())], rows.collect());
    output.line(
        "The queries stay the same, those taken out of the gallery included; the images taken out \
         were chosen by these queries, so this is the most that can be hoped for.",
    );
    if let Some(note) = &effect.against_note {
        output.line(format!("--against was not measured: {note}"));
    }
}

fn left_out(left_out: LeftOut) -> String {
    match left_out {
        LeftOut::Nothing => "nothing".to_owned(),
        LeftOut::Worst(share) => format!("worst {:.0} in 100", 100.0 * share),
        LeftOut::Flagged => "outliers and confirmed labels".to_owned(),
    }
}
