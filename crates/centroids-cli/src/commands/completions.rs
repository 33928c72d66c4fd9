//! `centroids completions`

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};
use crate::output::Output;

pub(crate) fn run(arguments: CompletionsArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "centroids", &mut script);
    output.raw(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}
