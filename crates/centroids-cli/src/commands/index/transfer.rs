//! `centroids index import` and `export`

use std::path::Path;

use anyhow::ensure;
use centroids::core::Embeddings;
use centroids::store::{
    Error, OpenOptions, ParquetMembers, Settings, create_gallery, open_gallery, write_parquet,
};
use serde_json::json;

use super::add::{add_file, addition, say};
use super::create::kept;
use super::open;
use crate::cli::{ExportIndexArgs, ImportIndexArgs};
use crate::out_path::check_out;
use crate::output::{Output, text};

pub(super) fn import(arguments: &ImportIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = match open_gallery(&arguments.file, OpenOptions::default()) {
        Err(Error::Missing { .. }) => {
            let settings = kept(settings_for(&arguments.input)?, &arguments.kept);
            create_gallery(&arguments.file, &settings)?
        }
        opened => opened?,
    };
    let report = add_file(&*gallery, &arguments.input, &addition(&arguments.common), output)?;
    say(&report, &arguments.file, output);
    Ok(())
}

/// A gallery into which the file fits.
fn settings_for(input: &Path) -> anyhow::Result<Settings> {
    if input.extension().is_some_and(|kind| kind == "parquet") {
        let mut members = ParquetMembers::open(input)?;
        let (model, model_path) = (members.model.clone(), members.model_path.clone());
        let first = members.next().transpose()?;
        ensure!(first.is_some(), "{}: has no rows, so nothing to import", input.display());
        let dim = first.map_or(0, |(member, _)| member.embedding.len());
        return Ok(Settings { model, model_path, ..Settings::new(dim) });
    }
    let embeddings = Embeddings::load(input)?;
    Ok(Settings {
        model: embeddings.model().to_owned(),
        model_path: embeddings.model_path().to_owned(),
        ..Settings::new(embeddings.dim())
    })
}

pub(super) fn export(arguments: &ExportIndexArgs, output: &Output) -> anyhow::Result<()> {
    let ExportIndexArgs { file, out } = arguments;
    check_out(out, &["parquet", "safetensors", "npy"])?;
    let gallery = open(file)?;
    let members = if out.extension().is_some_and(|kind| kind == "parquet") {
        write_parquet(&*gallery, out)?
    } else {
        let embeddings = gallery.to_embeddings()?;
        embeddings.save(out)?;
        embeddings.len()
    };
    output.line(format!("{members} members in {}", out.display()));
    output.value(&json!({ "file": text(file), "out": text(out), "members": members }));
    Ok(())
}
