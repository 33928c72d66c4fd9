//! `centroids bench`

mod embed;
mod train;

use std::process::ExitCode;

use crate::cli::{BenchArgs, BenchCommand};
use crate::output::Output;

pub(crate) fn run(arguments: BenchArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        BenchCommand::Train(arguments) => train::run(&arguments, output),
        BenchCommand::Embed(arguments) => embed::run(&arguments, output),
    }
}
