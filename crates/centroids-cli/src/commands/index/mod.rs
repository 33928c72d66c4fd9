//! `centroids index`

mod add;
mod create;
mod edit;
mod show;
mod transfer;

use std::path::Path;
use std::process::ExitCode;

use centroids::store::{Gallery, OpenOptions, open_gallery};

use crate::cli::{IndexArgs, IndexCommand};
use crate::output::Output;

pub(crate) use add::model_path;

pub(crate) fn run(arguments: IndexArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        IndexCommand::Create(arguments) => create::run(&arguments, output)?,
        IndexCommand::Add(arguments) => add::run(&arguments, output)?,
        IndexCommand::Import(arguments) => transfer::import(&arguments, output)?,
        IndexCommand::Remove(arguments) => edit::remove(&arguments, output)?,
        IndexCommand::Relabel(arguments) => edit::relabel(&arguments, output)?,
        IndexCommand::Merge(arguments) => edit::merge(&arguments, output)?,
        IndexCommand::Quarantine(arguments) => edit::quarantine(&arguments, true, output)?,
        IndexCommand::Release(arguments) => edit::quarantine(&arguments, false, output)?,
        IndexCommand::List(arguments) => show::list(&arguments, output)?,
        IndexCommand::Info(arguments) => show::info(&arguments, output)?,
        IndexCommand::Verify(arguments) => return show::verify(&arguments, output),
        IndexCommand::Export(arguments) => transfer::export(&arguments, output)?,
        IndexCommand::Compact(arguments) => edit::compact(&arguments, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The gallery at a path or an address.
pub(crate) fn open(file: &Path) -> anyhow::Result<Box<dyn Gallery>> {
    Ok(open_gallery(file, OpenOptions::default())?)
}
