//! What `centroids evaluate` tells beyond averages: intervals, results by query, a comparison with
//! another model, verification, open set.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use centroids::core::{
    Bootstrap, CameraRule, Difference, Embeddings, Estimate, Figure, Metric, OPEN_SET_RATES,
    OpenSet, PairedComparison, PerQuery, Preset, Report, Unit, UnknownBy, VERIFICATION_RATES,
    VerificationReport, compare_paired, intervals,
};
use centroids::pipeline::{Question, open_set_all, read_per_query, verify_all};
use serde_json::{Value, json};

use super::evaluate::percent;
use crate::cli::StatisticsArgs;
use crate::output::Output;

/// What was evaluated, and how it went.
pub(crate) struct Evaluated<'a> {
    pub(crate) query: &'a Embeddings,
    pub(crate) gallery: &'a Embeddings,
    pub(crate) questions: &'a [Question],
    pub(crate) metric: &'a Metric,
    pub(crate) reports: &'a [Report],
}

/// What is asked for beyond the averages.
pub(crate) struct Statistics<'a> {
    arguments: &'a StatisticsArgs,
    /// The file of `--against`, read before the work.
    other: Option<(PathBuf, Vec<PerQuery>)>,
}

impl<'a> Statistics<'a> {
    pub(crate) fn new(arguments: &'a StatisticsArgs) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| Ok::<_, anyhow::Error>((path.clone(), read_per_query(path)?));
        Ok(Self { arguments, other: arguments.against.as_ref().map(read).transpose()? })
    }

    /// Prints what is asked for, and adds it to the JSON of the evaluation.
    pub(crate) fn add_to(
        &self,
        value: &mut Value,
        evaluated: &Evaluated<'_>,
        output: &Output,
    ) -> anyhow::Result<()> {
        let of_query = |report: &Report| PerQuery::new(report, evaluated.query);
        let by_query: Vec<PerQuery> = evaluated.reports.iter().map(of_query).collect();
        if self.arguments.bootstrap.is_some() {
            self.add_intervals(value, &by_query, evaluated.reports, output);
        }
        if self.arguments.per_query {
            output.line("results by query: with --json");
            for (i, by_query) in by_query.iter().enumerate() {
                value["results"][i]["per_query"] = json!(by_query.per_query);
            }
        }
        if let Some((path, other)) = &self.other {
            let compared = self.compare(&by_query, path, other, evaluated.reports, output)?;
            value["against"] = compared.into();
        }
        if self.arguments.verification {
            value["verification"] = json!(self.verification(evaluated, output)?);
        }
        if self.arguments.open_set {
            value["open_set"] = json!(self.open_set(evaluated, output)?);
        }
        Ok(())
    }

    fn add_intervals(
        &self,
        value: &mut Value,
        by_query: &[PerQuery],
        reports: &[Report],
        output: &Output,
    ) {
        let (bootstrap, figures) = (self.bootstrap(), figures(reports));
        let mut rows = Vec::new();
        for (i, by_query) in by_query.iter().enumerate() {
            let estimates = intervals(&by_query.per_query, &figures, &bootstrap);
            let interval = |of: &Estimate| between(of.interval.low, of.interval.high);
            rows.push(named(by_query).into_iter().chain(estimates.iter().map(interval)).collect());
            value["results"][i]["intervals"] = json!(estimates);
        }
        let n = bootstrap.replicates;
        output.line(format!("95 % intervals, from {n} resamplings of the queries:"));
        let figures: Vec<String> = figures.iter().map(ToString::to_string).collect();
        output.table(&header(&["unit", "cameras"], &figures), rows);
    }

    /// Compares what is in both evaluations.
    fn compare(
        &self,
        by_query: &[PerQuery],
        path: &Path,
        other: &[PerQuery],
        reports: &[Report],
        output: &Output,
    ) -> anyhow::Result<Vec<Value>> {
        let (bootstrap, figures) = (self.bootstrap(), figures(reports));
        let (mut rows, mut values, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for ours in by_query {
            let alike = |theirs: &&PerQuery| question(theirs) == question(ours);
            let Some(theirs) = other.iter().find(alike) else {
                missing.push(ours.protocol());
                continue;
            };
            let compared = compare_paired(ours, theirs, &figures, &bootstrap)
                .with_context(|| path.display().to_string())?;
            let row = |of: &Difference| difference_row(ours, &compared, of);
            rows.extend(compared.figures.iter().map(row));
            let (unit, cameras, preset) = question(ours);
            let mut value = json!(compared);
            (value["unit"], value["cameras"]) = (json!(unit), json!(cameras));
            value["preset"] = json!(preset);
            values.push(value);
        }
        if values.is_empty() {
            let theirs: Vec<String> = other.iter().map(PerQuery::protocol).collect();
            bail!(
                "{}: holds only {}; choose --unit, --cameras or --preset alike",
                path.display(),
                theirs.join(", ")
            );
        }
        let (path, n) = (path.display(), bootstrap.replicates);
        if !missing.is_empty() {
            output.note(format!("not in {path}, so not compared: {}", missing.join(", ")));
        }
        output.line(format!("against {path}, by the queries of both, {n} resamplings:"));
        let columns = ["this", "other", "difference", "95 % interval", "this is greater in"];
        let columns = [&["unit", "cameras", "queries", "figure"][..], &columns].concat();
        output.table(&columns, rows);
        Ok(values)
    }

    fn verification(
        &self,
        Evaluated { query, gallery, questions, metric, .. }: &Evaluated<'_>,
        output: &Output,
    ) -> anyhow::Result<Vec<VerificationReport>> {
        let rates = self.rates(&VERIFICATION_RATES);
        let found = verify_all(query, gallery, questions, metric)?;
        let reports: Vec<_> = found.iter().map(|found| found.report(rates)).collect();
        let row = |report: &VerificationReport| {
            let mut row = vec![report.unit.to_string(), report.cameras.to_string()];
            row.extend([report.genuine_pairs, report.impostor_pairs].map(|n| n.to_string()));
            row.extend([report.auc, report.eer].map(percent));
            row.extend(report.at.iter().map(|at| measured(at.point.map(|point| point.tpr))));
            row
        };
        output.line(
            "Verification, query against gallery unit. TPR@r: share of genuine pairs that pass where \
             no more than a share r of the impostors does (FMR ≤ r); FNMR@FMR is 1 − it. -: too few \
             impostors to measure.",
        );
        let first = ["unit", "cameras", "genuine", "impostors", "AUC", "EER"];
        let at: Vec<String> = rates.iter().map(|rate| format!("TPR@{rate}")).collect();
        output.table(&header(&first, &at), reports.iter().map(row).collect());
        Ok(reports)
    }

    fn open_set(
        &self,
        Evaluated { query, gallery, questions, metric, .. }: &Evaluated<'_>,
        output: &Output,
    ) -> anyhow::Result<Vec<OpenSet>> {
        let (rates, unknowns) = (self.rates(&OPEN_SET_RATES), self.arguments.unknown.unknowns());
        let found = open_set_all(query, gallery, questions, metric, &unknowns, rates)?;
        let row = |set: &OpenSet| {
            let mut row = vec![set.unit.to_string(), set.cameras.to_string()];
            let counts = [set.known_queries, set.unknown_queries, set.skipped_queries];
            row.extend(counts.map(|n| n.to_string()));
            row.push(percent(set.rank1));
            row.extend(set.at.iter().map(|at| measured(at.point.map(|point| point.dir))));
            row
        };
        let Some(first) = found.first() else { return Ok(found) };
        let from = match first.unknown {
            UnknownBy::Absent => "their identities are not in the gallery".to_owned(),
            UnknownBy::HeldOut { identities, seed } => {
                format!("{identities} identities were held out of the gallery (seed {seed})")
            }
        };
        output.line(format!(
            "Open set. Unknown queries: {from}. DIR@r: share of known queries answered rightly where \
             no more than a share r of the unknown ones is answered at all (FPIR ≤ r). -: too few \
             unknown queries to measure."
        ));
        let columns = ["unit", "cameras", "known", "unknown", "skipped", "rank-1"];
        let at: Vec<String> = rates.iter().map(|rate| format!("DIR@{rate}")).collect();
        output.table(&header(&columns, &at), found.iter().map(row).collect());
        Ok(found)
    }

    fn bootstrap(&self) -> Bootstrap {
        let replicates = self.arguments.bootstrap.unwrap_or(1000) as usize;
        Bootstrap { replicates, seed: self.arguments.unknown.seed }
    }

    fn rates<'r>(&'r self, default: &'r [f64]) -> &'r [f64] {
        if self.arguments.rates.is_empty() { default } else { &self.arguments.rates }
    }
}

/// The figures of the reports' table.
fn figures(reports: &[Report]) -> Vec<Figure> {
    Figure::all(reports.first().map_or(&[], |report| &report.shown_ranks))
}

fn difference_row(ours: &PerQuery, compared: &PairedComparison, of: &Difference) -> Vec<String> {
    let mut row = named(ours);
    row.extend([compared.queries.to_string(), of.figure.to_string()]);
    row.extend([of.a, of.b].map(percent));
    row.push(format!("{:+.2}%", 100.0 * of.difference));
    row.push(between(of.interval.low, of.interval.high));
    row.push(percent(of.share_a_greater));
    row
}

/// What is asked, apart from the gallery.
fn question(of: &PerQuery) -> (Unit, CameraRule, Option<Preset>) {
    (of.unit, of.cameras, of.preset)
}

fn named(of: &PerQuery) -> Vec<String> {
    let name = match of.preset {
        Some(preset) => format!("{} ({preset})", of.unit),
        None => of.unit.to_string(),
    };
    vec![name, of.cameras.to_string()]
}

fn header<'h>(first: &[&'h str], more: &'h [String]) -> Vec<&'h str> {
    first.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

fn measured(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), percent)
}

fn between(low: f64, high: f64) -> String {
    format!("{:.2} to {:.2}%", 100.0 * low, 100.0 * high)
}
