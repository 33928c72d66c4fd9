//! `centroids demo`: the whole path on a catalogue of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use centroids::core::{CameraRule, Embeddings, Metric, Report, Unit, write_atomically};
use centroids::data::synth::SynthConfig;
use centroids::data::{Layout, RankHit, RankRow, Split, write_rank_sheet};
use centroids::model::{alone, parse_device};
use centroids::pipeline::{
    Addition, Images, Outcome, SearchOptions, SearchResult, add_images, gallery_settings,
    open_model, search_images, untrained,
};
use centroids::store::create_gallery;
use centroids::{Experiment, RunDir};
use serde_json::json;

use super::embed::embed_split;
use super::evaluate::{report_table, show_reports};
use super::{data::draw, index, search};
use crate::cli::{DemoArgs, DemoOptions, ServiceArgs};
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{Output, text};
use crate::progress::{Counter, Training};
use crate::serve;

/// Queries that are shown, and hits of each.
const SHOWN_QUERIES: usize = 3;
const SHOWN_HITS: usize = 6;
/// Height and width of a picture in `search.png`.
const TILE: [usize; 2] = [96, 96];

/// ResNet-18 at 64×64, the paper's losses; rates decay over the last third.
fn experiment(arguments: &DemoArgs) -> Experiment {
    let epochs = arguments.options.epochs as usize;
    let mut experiment = Experiment { seed: arguments.options.seed, ..Experiment::default() };
    experiment.device.clone_from(&arguments.device);
    experiment.datasets.names = Layout::Market1501.name().to_owned();
    experiment.datasets.root_dir = arguments.dir.join("catalogue");
    experiment.output_dir = arguments.dir.join("run");
    experiment.model.name = "resnet18".to_owned();
    experiment.input.size_train = [64, 64];
    experiment.input.size_test = [64, 64];
    experiment.input.padding = 4;
    experiment.input.re_prob = 0.0;
    experiment.solver.max_epochs = epochs;
    experiment.solver.ims_per_batch = 16;
    experiment.solver.base_lr = 3.5e-4;
    experiment.solver.warmup_epochs = 1;
    experiment.solver.lr_steps = vec![(2 * epochs).div_ceil(3)];
    experiment.solver.eval_period = 0;
    experiment
}

pub(crate) fn run(arguments: DemoArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let (start, stop) = (Instant::now(), stop_flag()?);
    let experiment = experiment(&arguments);
    experiment.check()?;
    claim(&arguments, &experiment)?;
    make_catalogue(&arguments, output)?;

    output.line("\n1. How an untrained network does");
    let mut progress = Training::new(output, experiment.solver.max_epochs);
    let before = untrained(&experiment, &stop, &mut |event| progress.show(&event));
    progress.finish();
    let before = match before {
        Err(centroids::Error::Interrupted) => return Ok(interrupted(&arguments, output)),
        before => before?,
    };
    output.line(report_table(&before));

    output.line("\n2. Training");
    let Some((run, after)) = train(&experiment, &stop, output)? else {
        return Ok(interrupted(&arguments, output));
    };
    output.line("\n3. How the trained network does, on products it has never seen");
    show_reports(&after, output);

    output.line("\n4. Three searches");
    let picture = search_and_show(&experiment, &run, &arguments.dir, output)?;
    compare(&before, &after, output);
    output.line(format!("pictures of the searches: {}", picture.display()));
    output.line(format!("model: {}", run.best().display()));
    output.note(format!("{:.0} s in all", start.elapsed().as_secs_f64()));
    output.value(&json!({
        "untrained": before, "trained": after, "picture": text(&picture), "model": text(&run.best()),
        "seconds": start.elapsed().as_secs_f64(),
    }));
    if let Some(listen) = arguments.serve {
        let store = fill_gallery(&experiment, &run, &arguments.dir, output)?;
        let source = serve::Source {
            store,
            model: Some(run.path().to_owned()),
            calibration: None,
            device: arguments.device,
        };
        output.line("\n5. The service: drop a picture of catalogue/query on its page");
        serve::run(source, &ServiceArgs::at(listen), output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn interrupted(arguments: &DemoArgs, output: &Output) -> ExitCode {
    let (dir, options) = (arguments.dir.display(), typed(arguments.options));
    output.note(format!("interrupted; go on with: centroids demo --dir {dir} {options}"));
    ExitCode::from(INTERRUPTED)
}

fn typed(DemoOptions { seed, epochs, train_ids }: DemoOptions) -> String {
    format!("--seed {seed} --epochs {epochs} --train-ids {train_ids}")
}

/// Makes the folder this demo's own. One that holds other files, or a demo with other options, is
/// refused, so that nothing is overwritten or mixed.
fn claim(arguments: &DemoArgs, experiment: &Experiment) -> anyhow::Result<()> {
    let (dir, file) = (&arguments.dir, arguments.dir.join("demo.json"));
    if file.is_file() {
        let json =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let made: DemoOptions = serde_json::from_str(&json)
            .with_context(|| format!("{}: not written by a demo", file.display()))?;
        if made != arguments.options {
            bail!("{} holds a demo with {}; choose another --dir", dir.display(), typed(made));
        }
        return match RunDir::open(&experiment.output_dir) {
            Ok(run) => same_settings(&run, experiment),
            Err(_) => Ok(()),
        };
    }
    let cannot_make = || format!("cannot make {}", dir.display());
    fs::create_dir_all(dir).with_context(cannot_make)?;
    let is_empty = fs::read_dir(dir).with_context(cannot_make)?.next().is_none();
    ensure!(is_empty, "{} is not empty and holds no demo; choose another --dir", dir.display());
    let json = serde_json::to_string(&arguments.options)? + "\n";
    write_atomically(&file, |out| out.write_all(json.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn make_catalogue(arguments: &DemoArgs, output: &Output) -> anyhow::Result<()> {
    let dir = arguments.dir.join("catalogue");
    if dir.is_dir() {
        output.line(format!("catalogue: {} (made before)", dir.display()));
        return Ok(());
    }
    let products = arguments.options.train_ids as usize;
    let config = SynthConfig {
        train_ids: products,
        test_ids: products.div_ceil(6) * 5,
        seed: arguments.options.seed,
        ..SynthConfig::default()
    };
    let images = draw(&dir, &config, output)?;
    output.line(format!(
        "catalogue: {images} pictures of made-up products by {} cameras in {}",
        config.cameras,
        dir.display()
    ));
    Ok(())
}

/// Trains, or continues; `None` when interrupted.
fn train(
    experiment: &Experiment,
    stop: &AtomicBool,
    output: &Output,
) -> anyhow::Result<Option<(RunDir, Vec<Report>)>> {
    let folder = &experiment.output_dir;
    let mut progress = Training::new(output, experiment.solver.max_epochs);
    let mut observer = |event: centroids::pipeline::TrainEvent<'_>| progress.show(&event);
    let result = match RunDir::open(folder) {
        Ok(run) => centroids::resume(run, &alone(), stop, &mut observer),
        Err(_) => centroids::train(experiment, folder, &alone(), stop, &mut observer),
    };
    progress.finish();
    Ok(match result? {
        (_, Outcome::Interrupted) => None,
        (run, Outcome::Finished { reports, .. }) => Some((run, reports)),
    })
}

fn same_settings(run: &RunDir, experiment: &Experiment) -> anyhow::Result<()> {
    ensure!(
        Experiment::read(&run.config())? == *experiment,
        "{} was made with other settings; choose another --dir",
        run.path().display()
    );
    Ok(())
}

/// Embeds the gallery, searches the first queries of three products, prints and draws the answers.
fn search_and_show(
    experiment: &Experiment,
    run: &RunDir,
    dir: &Path,
    output: &Output,
) -> anyhow::Result<PathBuf> {
    let dataset = experiment.source()?.load()?;
    let model = open_model(run.path(), &parse_device(&experiment.device)?)?;
    let gallery = embed_split(&model, &dataset, Split::Gallery, output)?;
    let file = dir.join("gallery.safetensors");
    gallery.save(&file)?;

    let queries = dataset.split(Split::Query);
    let every = (queries.len() / SHOWN_QUERIES).max(1);
    let mut rows = Vec::new();
    for query in queries.iter().step_by(every).take(SHOWN_QUERIES) {
        let options = SearchOptions {
            k: SHOWN_HITS,
            camera: query.camid,
            unit: Unit::Centroid,
            metric: Metric::default(),
        };
        let images = [query.path.clone()];
        for result in search_images(&model, &file, &gallery, &images, &options)? {
            search::show(&result, &gallery, output);
            output.line(format!("the picture shows product {}\n", query.pid));
            rows.push(rank_row(&result, &gallery, query.pid));
        }
    }
    let picture = dir.join("search.png");
    write_rank_sheet(&rows, TILE, &picture)?;
    Ok(picture)
}

/// A durable gallery of the products that were never trained on.
fn fill_gallery(
    experiment: &Experiment,
    run: &RunDir,
    dir: &Path,
    output: &Output,
) -> anyhow::Result<PathBuf> {
    let file = dir.join("demo.gallery");
    let model = open_model(run.path(), &parse_device(&experiment.device)?)?;
    let gallery = if file.exists() {
        index::open(&file)?
    } else {
        create_gallery(&file, &gallery_settings(&model)?)?
    };
    let dataset = experiment.source()?.load()?;
    let mut records = dataset.split(Split::Gallery).to_vec();
    for record in &mut records {
        record.path = std::path::absolute(&record.path)?;
    }
    let images = Images { records, pid_names: dataset.pid_names, ..Images::default() };
    let mut counter = Counter::new(output, "adding", images.records.len());
    let added = add_images(&*gallery, &model, &images, &Addition::default(), &mut |done| {
        let _ = counter.at(done);
    });
    counter.finish();
    added?;
    Ok(file)
}

fn rank_row(result: &SearchResult, gallery: &Embeddings, pid: centroids::core::Pid) -> RankRow {
    let hit = |hit: &centroids::core::Hit| RankHit {
        picture: gallery.paths()[hit.example].clone().into(),
        right: hit.pid == pid,
        of_class: true,
    };
    RankRow { query: result.query.clone(), hits: result.hits.iter().map(hit).collect() }
}

fn compare(before: &[Report], after: &[Report], output: &Output) {
    let rank1 = |reports: &[Report], unit: Unit| {
        let report = reports.iter().find(|r| r.unit == unit && r.cameras == CameraRule::Market);
        report.map_or(f64::NAN, |report| 100.0 * report.rank(1))
    };
    output.line(format!(
        "rank-1 by centroids {:.1}% (untrained {:.1}%), by the nearest image {:.1}%; chance is {:.1}%",
        rank1(after, Unit::Centroid),
        rank1(before, Unit::Centroid),
        rank1(after, Unit::Nearest),
        after.iter().find(|r| r.unit == Unit::Centroid).map_or(f64::NAN, |report| {
            100.0 / report.gallery_units as f64
        })
    ));
}
