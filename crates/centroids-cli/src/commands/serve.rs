//! `centroids serve`

use std::process::ExitCode;

use crate::cli::ServeArgs;
use crate::output::Output;
use crate::serve;

pub(crate) fn run(arguments: ServeArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let ServeArgs { store, model, calibration, service, device } = arguments;
    let source = serve::Source { store, model, calibration, device };
    serve::run(source, &service, output)?;
    Ok(ExitCode::SUCCESS)
}
