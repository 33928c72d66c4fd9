//! `centroids calibrate`

use std::process::ExitCode;

use anyhow::ensure;
use centroids::core::{Calibration, CalibrationTargets, Embeddings, Metric};
use centroids::pipeline::{calibrate_embeddings, write_calibration};
use serde_json::json;

use crate::cli::CalibrateArgs;
use crate::out_path::check_out;
use crate::output::{Output, text};

pub(crate) fn run(arguments: CalibrateArgs, output: &Output) -> anyhow::Result<ExitCode> {
    check_out(&arguments.out, &["json"])?;
    let query = Embeddings::load(&arguments.query)?;
    let gallery = Embeddings::load(&arguments.gallery)?;
    let (ours, theirs) = (query.model(), gallery.model());
    ensure!(
        ours.is_empty() || theirs.is_empty() || ours == theirs,
        "{} was embedded with {ours}, {} with {theirs}; embed both with one model",
        arguments.query.display(),
        arguments.gallery.display()
    );
    let targets = CalibrationTargets { fpir: arguments.target_fpir, fmr: arguments.target_fmr };
    let calibration = calibrate_embeddings(
        &query,
        &gallery,
        (arguments.unit, arguments.cameras),
        &arguments.metric.over(Metric::default()),
        &arguments.unknown.unknowns(),
        &targets,
    )?;
    write_calibration(&calibration, &arguments.out)?;
    show(&calibration, &arguments, output);
    output.value(&json!({ "out": text(&arguments.out), "calibration": calibration }));
    Ok(ExitCode::SUCCESS)
}

fn show(calibration: &Calibration, arguments: &CalibrateArgs, output: &Output) {
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    let identification = &calibration.identification;
    let mut rows = vec![vec![
        "identification".to_owned(),
        format!("FPIR ≤ {}", identification.target_fpir),
        format!("{:.6}", identification.threshold),
        format!("FPIR {}", percent(identification.fpir)),
        format!("DIR {}", percent(identification.dir)),
    ]];
    rows.push(match &calibration.verification {
        Some(verification) => vec![
            "verification".to_owned(),
            format!("FMR ≤ {}", verification.target_fmr),
            format!("{:.6}", verification.threshold),
            format!("FMR {}", percent(verification.fmr)),
            format!("TPR {}", percent(verification.tpr)),
        ],
        None => {
            let target = format!("FMR ≤ {}", arguments.target_fmr);
            vec!["verification".to_owned(), target, "-".into(), "-".into(), "-".into()]
        }
    });
    output.table(&["", "target", "threshold", "wrongly passed", "rightly passed"], rows);
    output.line(format!(
        "{} queries with a mate in the gallery, {} without{}",
        identification.known_queries,
        identification.unknown_queries,
        match identification.held_out_identities {
            0 => String::new(),
            identities => format!(" ({identities} identities were held out)"),
        }
    ));
    let at_threshold = calibration.confidence.at(identification.threshold);
    output.line(format!("confidence at the threshold: {}", percent(at_threshold)));
    output.line(format!("calibration: {}", arguments.out.display()));
}
