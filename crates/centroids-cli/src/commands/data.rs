//! `centroids data`

use std::process::ExitCode;

use centroids::data::synth::{SynthConfig, synthesize};
use centroids::data::{DatasetSource, Layout, SplitSummary, inspect_files};
use serde_json::json;

use crate::cli::{DataArgs, DataCommand, InspectArgs, SynthArgs};
use crate::output::{Output, text};
use crate::progress::Counter;

pub(crate) fn run(arguments: DataArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        DataCommand::Inspect(arguments) => inspect(&arguments, output)?,
        DataCommand::Synth(arguments) => synth(&arguments, output)?,
        DataCommand::Prepare(arguments) => return super::prepare::run(arguments, output),
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(arguments: &InspectArgs, output: &Output) -> anyhow::Result<()> {
    let layout = match arguments.layout.layout {
        Some(layout) => layout,
        None => Layout::detect(&arguments.root)?,
    };
    let camera_pattern = arguments.layout.camera_pattern.clone();
    let source = DatasetSource { camera_pattern, ..DatasetSource::new(layout, &arguments.root) };
    let mut dataset = source.load()?;
    if arguments.deep {
        dataset.oddities.extend(inspect_files(&dataset));
    }
    output.line(format!("{} as {layout}", arguments.root.display()));
    let row = |summary: &SplitSummary| {
        let number = |n: usize| n.to_string();
        let cameras = if summary.cameras == 0 { "-".to_owned() } else { number(summary.cameras) };
        vec![summary.split.to_string(), number(summary.identities), number(summary.images), cameras]
    };
    let table = dataset.table();
    let header = ["split", "identities", "images", "cameras"];
    output.table(&header, table.iter().map(row).collect());
    if dataset.oddities.is_empty() {
        output.line("nothing odd");
    }
    for oddity in &dataset.oddities {
        output.line(format!("- {oddity}"));
    }
    output.value(&json!({
        "root": text(&arguments.root), "layout": layout, "splits": table, "oddities": dataset.oddities,
    }));
    Ok(())
}

fn synth(arguments: &SynthArgs, output: &Output) -> anyhow::Result<()> {
    let config = SynthConfig {
        train_ids: arguments.train_ids,
        test_ids: arguments.test_ids,
        cameras: arguments.cameras,
        images_per_camera: arguments.images_per_camera,
        size: [arguments.size[0], arguments.size[1]],
        distractors: arguments.distractors,
        junk: arguments.junk,
        seed: arguments.seed,
    };
    let images = draw(&arguments.dir, &config, output)?;
    output.line(format!("{images} pictures in {}", arguments.dir.display()));
    output.value(&json!({ "dir": text(&arguments.dir), "images": images }));
    Ok(())
}

/// Draws a catalogue with progress; returns how many pictures it has.
pub(crate) fn draw(
    dir: &std::path::Path,
    config: &SynthConfig,
    output: &Output,
) -> anyhow::Result<usize> {
    let (mut images, mut counter) = (0, None);
    synthesize(dir, config, &mut |done, total| {
        images = total;
        let _ = counter.get_or_insert_with(|| Counter::new(output, "drawing", total)).at(done);
    })?;
    if let Some(counter) = counter {
        counter.finish();
    }
    Ok(images)
}
