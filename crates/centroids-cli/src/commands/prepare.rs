//! `centroids data prepare`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use centroids::data::prepare::{
    CropOptions, CropReport, Failure, JpgOptions, SetCount, Street2ShopOptions, convert_to_jpg,
    prepare_deepfashion, prepare_street2shop,
};
use serde_json::{Value, json};

use crate::cli::{
    DeepfashionArgs, JpgArgs, PrepareArgs, PrepareCommand, SizeArgs, Street2shopArgs, WorkArgs,
};
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{Output, text};
use crate::progress::Counter;

/// How many pictures are named one by one, unless asked for more.
const NAMED: usize = 10;

pub(crate) fn run(arguments: PrepareArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        PrepareCommand::Jpg(arguments) => jpg(arguments, output),
        PrepareCommand::Street2shop(arguments) => street2shop(arguments, output),
        PrepareCommand::Deepfashion(arguments) => deepfashion(arguments, output),
    }
}

fn jpg(arguments: JpgArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let options = JpgOptions {
        source: arguments.source.or(arguments.source_dir_path).unwrap_or_default(),
        target: arguments.target.or(arguments.target_dir_path).unwrap_or_default(),
        recursive: arguments.recursive,
        threads: arguments.work.threads(),
    };
    let mut stages = Stages::new(output)?;
    let report = convert_to_jpg(&options, &mut |what, done, total| stages.at(what, done, total));
    stages.finish();
    let Some(report) = report? else { return Ok(interrupted(output)) };
    if let (true, [first, ..]) = (arguments.work.strict, report.failed.as_slice()) {
        bail!("{} files cannot be converted: {}", report.failed.len(), first.reason);
    }
    warn_of(&report.failed, output);
    let (converted, failed) = (report.converted, report.failed.len());
    let target = options.target.display();
    output.line(format!("{converted} JPEGs in {target}; {failed} files failed"));
    output.value(&json!({
        "source": text(&options.source), "target": text(&options.target), "converted": converted,
        "kept": report.kept, "failed": failures(&report.failed), "interrupted": false,
    }));
    Ok(ExitCode::SUCCESS)
}

fn street2shop(arguments: Street2shopArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let options = Street2ShopOptions {
        crop: crop_options(&arguments.size, arguments.work),
        root: arguments.root.path(),
        metadata: arguments.metadata_dir,
        images: arguments.images_dir,
        save: arguments.save_dir,
        minimum_area: arguments.minimum_bbox_area,
    };
    let mut stages = Stages::new(output)?;
    let report =
        prepare_street2shop(&options, &mut |what, done, total| stages.at(what, done, total));
    stages.finish();
    Ok(conclude(report?, output))
}

fn deepfashion(arguments: DeepfashionArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let options = crop_options(&arguments.size, arguments.work);
    let root = arguments.root.path();
    let mut stages = Stages::new(output)?;
    let report =
        prepare_deepfashion(&root, options, &mut |what, done, total| stages.at(what, done, total));
    stages.finish();
    Ok(conclude(report?, output))
}

fn crop_options(size: &SizeArgs, work: WorkArgs) -> CropOptions {
    let size = [size.target_image_size[0], size.target_image_size[1]];
    CropOptions { size, threads: work.threads(), strict: work.strict }
}

/// Says what was made.
fn conclude(report: Option<CropReport>, output: &Output) -> ExitCode {
    let Some(report) = report else { return interrupted(output) };
    warn_of(&report.broken, output);
    if let Some(first) = report.missing.first() {
        let (missing, first) = (report.missing.len(), first.display());
        output.note(format!("warning: {missing} pictures are missing, like {first}"));
    }
    let row = |set: &SetCount| {
        vec![set.set.to_owned(), set.identities.to_string(), set.images.to_string()]
    };
    output.table(&["set", "identities", "images"], report.sets.iter().map(row).collect());
    output.line(format!(
        "left out: {} pictures missing, {} broken, {} boxes empty or too small",
        report.missing.len(),
        report.broken.len(),
        report.boxes_left_out
    ));
    output.line(format!("pictures: {}", report.images.display()));
    for list in &report.lists {
        output.line(format!("list: {}", list.display()));
    }
    let set = |set: &SetCount| json!({ "set": set.set, "identities": set.identities, "images": set.images });
    output.value(&json!({
        "images": text(&report.images),
        "lists": texts(&report.lists),
        "sets": report.sets.iter().map(set).collect::<Vec<_>>(),
        "kept": report.kept,
        "boxes_left_out": report.boxes_left_out,
        "missing": texts(&report.missing),
        "broken": failures(&report.broken),
        "interrupted": false,
    }));
    ExitCode::SUCCESS
}

fn interrupted(output: &Output) -> ExitCode {
    output.note("interrupted; go on with the same command");
    output.value(&json!({ "interrupted": true }));
    ExitCode::from(INTERRUPTED)
}

/// Names some pictures, all of them to those who ask for more.
fn warn_of(failed: &[Failure], output: &Output) {
    for (i, failure) in failed.iter().enumerate() {
        let line = format!("warning: left out: {}", failure.reason);
        if i < NAMED { output.note(line) } else { output.detail(line) }
    }
    if let Some(more @ 1..) = failed.len().checked_sub(NAMED) {
        output.note(format!("and {more} more: all with --verbose or --json"));
    }
}

fn failures(failed: &[Failure]) -> Vec<Value> {
    let value =
        |failure: &Failure| json!({ "path": text(&failure.path), "reason": failure.reason });
    failed.iter().map(value).collect()
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| text(Path::new(path))).collect()
}

/// A counter per stage of the work, which a signal ends.
struct Stages<'a> {
    output: &'a Output,
    stop: Arc<AtomicBool>,
    counter: Option<(&'static str, Counter<'a>)>,
}

impl<'a> Stages<'a> {
    fn new(output: &'a Output) -> anyhow::Result<Stages<'a>> {
        Ok(Stages { output, stop: stop_flag()?, counter: None })
    }

    fn at(&mut self, what: &'static str, done: usize, total: usize) -> ControlFlow<()> {
        if self.counter.as_ref().is_none_or(|(stage, _)| *stage != what) {
            self.finish();
            self.counter = Some((what, Counter::new(self.output, what, total)));
        }
        if let Some((_, counter)) = &mut self.counter {
            let _ = counter.at(done);
        }
        match self.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn finish(&mut self) {
        if let Some((_, counter)) = self.counter.take() {
            counter.finish();
        }
    }
}
