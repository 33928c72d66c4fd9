//! The `centroids` command: parse, run, exit code.

mod cli;
mod commands;
mod interrupt;
mod out_path;
mod output;
mod processes;
mod progress;
mod serve;
mod values;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::output::Output;

fn main() -> ExitCode {
    let Cli { command, global } = Cli::parse();
    let output = Output::new(&global);
    let result = prepare().and_then(|()| match command {
        Command::Train(arguments) => commands::train::run(arguments, &output),
        Command::Embed(arguments) => commands::embed::run(*arguments, &output),
        Command::Index(arguments) => commands::index::run(arguments, &output),
        Command::Search(arguments) => commands::search::run(arguments, &output),
        Command::Serve(arguments) => commands::serve::run(arguments, &output),
        Command::Evaluate(arguments) => commands::evaluate::run(*arguments, &output),
        Command::Report(arguments) => commands::report::run(arguments, &output),
        Command::Gallery(arguments) => commands::gallery::run(arguments, &output),
        Command::Calibrate(arguments) => commands::calibrate::run(arguments, &output),
        Command::Data(arguments) => commands::data::run(arguments, &output),
        Command::Export(arguments) => commands::export::run(arguments, &output),
        Command::Bench(arguments) => commands::bench::run(arguments, &output),
        Command::Weights(arguments) => commands::weights::run(arguments, &output),
        Command::Demo(arguments) => commands::demo::run(arguments, &output),
        Command::Completions(arguments) => commands::completions::run(arguments, &output),
    });
    result.unwrap_or_else(|error| {
        output.error(&error);
        ExitCode::FAILURE
    })
}

/// Settings of the process.
fn prepare() -> anyhow::Result<()> {
    centroids::model::keep_freed_memory();
    Ok(centroids::model::kernels::check_cpu_variable()?)
}
