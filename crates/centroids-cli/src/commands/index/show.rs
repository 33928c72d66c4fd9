//! `centroids index list`, `info` and `verify`

use std::process::ExitCode;

use anyhow::bail;
use centroids::core::Pid;
use centroids::store::{Gallery, MemberId};
use serde_json::json;

use super::open;
use crate::cli::{InfoIndexArgs, ListIndexArgs, VerifyIndexArgs};
use crate::output::{Output, text};

pub(super) fn list(arguments: &ListIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    match &arguments.class {
        None => classes(&*gallery, arguments.after.map(Pid), limit, output),
        Some(name) => match gallery.find_class(&gallery.class_named(name)?)? {
            Some(pid) => members(&*gallery, pid, (arguments.after.map(MemberId), limit), output),
            None => bail!("{}: has no class `{name}`", arguments.file.display()),
        },
    }
}

fn classes(
    gallery: &dyn Gallery,
    after: Option<Pid>,
    limit: usize,
    output: &Output,
) -> anyhow::Result<()> {
    let classes = gallery.classes(after, limit)?;
    let row = |class: &centroids::store::ClassInfo| {
        let number = |n: usize| n.to_string();
        let name = class.name.clone().unwrap_or_default();
        let counts = [class.members, class.quarantined, class.cameras].map(number);
        [vec![class.pid.to_string(), name], counts.to_vec()].concat()
    };
    let header = ["pid", "name", "members", "quarantined", "cameras"];
    output.table(&header, classes.iter().map(row).collect());
    if classes.len() == limit {
        let last = classes.last().map_or(Pid(0), |class| class.pid);
        output.note(format!("there may be more: --after {last}, or --limit 0 for all"));
    }
    output.value(&json!({ "classes": classes }));
    Ok(())
}

fn members(
    gallery: &dyn Gallery,
    pid: Pid,
    (after, limit): (Option<MemberId>, usize),
    output: &Output,
) -> anyhow::Result<()> {
    let members = gallery.members(Some(pid), after, limit)?;
    let row = |member: &centroids::store::Member| {
        let camera = member.camid.map_or("-".to_owned(), |camid| camid.to_string());
        let state = if member.quarantined { "quarantined" } else { "" };
        let (id, weight) = (member.id.0.to_string(), member.weight.to_string());
        vec![id, camera, weight, state.to_owned(), member.key.clone()]
    };
    let header = ["id", "camera", "weight", "state", "key"];
    output.table(&header, members.iter().map(row).collect());
    if members.len() == limit {
        let last = members.last().map_or(0, |member| member.id.0);
        output.note(format!("there may be more: --after {last}, or --limit 0 for all"));
    }
    output.value(&json!({ "pid": pid, "members": members }));
    Ok(())
}

pub(super) fn info(arguments: &InfoIndexArgs, output: &Output) -> anyhow::Result<()> {
    let gallery = open(&arguments.file)?;
    let (settings, stats) = (gallery.settings(), gallery.stats()?);
    let or_unknown = |text: &str| if text.is_empty() { "unknown" } else { text }.to_owned();
    let days = |seconds: f64| format!("{} days", seconds / 86_400.0);
    let precision = match settings.precision {
        centroids::store::Precision::F32 => "f32",
        centroids::store::Precision::F16 => "f16",
    };
    let rows = [
        ("format", settings.format_version().to_string()),
        ("model", or_unknown(&settings.model)),
        ("model file", or_unknown(&settings.model_path)),
        ("vectors", format!("{} dimensions, {precision}", settings.dim)),
        ("distance", format!("{}, normalize {}", settings.distance, settings.normalize)),
        ("centroid of", format!("{} embeddings", settings.centroid_of)),
        ("sub-centroids", format!("at most {}", settings.sub_centroids)),
        ("half-life", settings.half_life.map_or("none".to_owned(), days)),
        ("classes", stats.classes.to_string()),
        ("members", stats.members.to_string()),
        ("quarantined", stats.quarantined.to_string()),
        ("cameras", stats.cameras.to_string()),
        ("bytes", stats.bytes.map_or("unknown".to_owned(), |bytes| bytes.to_string())),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    output.table(&["gallery", &arguments.file.to_string_lossy()], rows);
    output.value(&json!({
        "file": text(&arguments.file), "format": settings.format_version(),
        "settings": settings, "stats": stats,
    }));
    Ok(())
}

pub(super) fn verify(arguments: &VerifyIndexArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let found = open(&arguments.file)?.verify(arguments.repair)?;
    for problem in &found.problems {
        output.line(format!("- {problem}"));
    }
    let repaired = match found.repaired {
        0 => String::new(),
        classes => format!("; {classes} classes repaired"),
    };
    let verdict = if found.sound() { "sound" } else { "NOT sound" };
    output.line(format!(
        "{}: {verdict}: {} members, {} sums, largest difference {:.1e}{repaired}",
        arguments.file.display(),
        found.members,
        found.parts,
        found.largest_difference
    ));
    output.value(&json!({ "sound": found.sound(), "verification": found }));
    Ok(if found.sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
