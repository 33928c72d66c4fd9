//! `centroids index remove`, `relabel`, `merge`, `quarantine`, `release` and `compact`

use std::path::Path;

use anyhow::bail;
use centroids::core::Pid;
use centroids::store::{Gallery, MemberId, Selection};
use serde_json::json;

use super::open;
use crate::cli::{
    CompactIndexArgs, MergeIndexArgs, QuarantineIndexArgs, RelabelIndexArgs, RemoveIndexArgs,
    WhichArgs,
};
use crate::output::{Output, text};

pub(super) fn remove(arguments: &RemoveIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let count = gallery.remove(&selection(&*gallery, &arguments.which)?)?;
    say(&arguments.file, "removed", count, output);
    Ok(())
}

pub(super) fn relabel(arguments: &RelabelIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let to = gallery.class_named(&arguments.to)?;
    let count = gallery.relabel(&selection(&*gallery, &arguments.which)?, &to)?;
    say(&arguments.file, "relabelled", count, output);
    Ok(())
}

pub(super) fn merge(arguments: &MergeIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let pids = pids(&*gallery, &arguments.class)?;
    let count = gallery.merge(&pids, &gallery.class_named(&arguments.into)?)?;
    say(&arguments.file, "moved", count, output);
    Ok(())
}

pub(super) fn quarantine(
    arguments: &QuarantineIndexArgs,
    aside: bool,
    output: &Output,
) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let count = gallery.quarantine(&selection(&*gallery, &arguments.which)?, aside)?;
    say(&arguments.file, if aside { "quarantined" } else { "released" }, count, output);
    Ok(())
}

pub(super) fn compact(arguments: &CompactIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let before = gallery.stats()?.bytes;
    gallery.compact()?;
    let after = gallery.stats()?.bytes;
    output.line(match (before, after) {
        (Some(before), Some(after)) => {
            format!("{}: {before} bytes before, {after} after", gallery.location())
        }
        _ => format!("{}: the server does that by itself", gallery.location()),
    });
    output.value(&json!({ "file": text(&arguments.file), "before": before, "after": after }));
    Ok(())
}

fn selection(gallery: &dyn Gallery, which: &WhichArgs) -> anyhow::Result<Selection> {
    if !which.key.is_empty() {
        return Ok(Selection::Keys(which.key.clone()));
    }
    if !which.id.is_empty() {
        return Ok(Selection::Ids(which.id.iter().copied().map(MemberId).collect()));
    }
    Ok(Selection::Classes(pids(gallery, &which.class)?))
}

/// Classes that there are; a misspelt one is an error.
fn pids(gallery: &dyn Gallery, classes: &[String]) -> anyhow::Result<Vec<Pid>> {
    let find = |text: &String| match gallery.find_class(&gallery.class_named(text)?)? {
        Some(pid) => Ok(pid),
        None => bail!("{}: has no class `{text}`", gallery.location()),
    };
    classes.iter().map(find).collect()
}

fn say(file: &Path, done: &str, count: usize, output: &Output) {
    output.line(format!("{count} members {done} in {}", file.display()));
    output.value(&json!({ "file": text(file), "members": count, "done": done }));
}
