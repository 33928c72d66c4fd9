//! `centroids bench`

mod embed;

use std::process::ExitCode;

use crate::cli::{BenchArgs, BenchCommand};
use crate::output::Output;

pub(crate) fn run(arguments: BenchArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        BenchCommand::Embed(arguments) => embed::run(&arguments, output)?,
    }
    Ok(ExitCode::SUCCESS)
}
