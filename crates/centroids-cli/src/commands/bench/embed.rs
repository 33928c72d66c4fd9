//! `centroids bench embed`

use std::process::ExitCode;

use centroids::data::InputSpec;
use centroids::model::{BackboneOptions, Device, Embedder, parse_device, threads, use_threads};
use centroids::pipeline::{EmbeddingSpeed, open_model, time_embedding};
use serde_json::{Value, json};

use crate::cli::BenchEmbedArgs;
use crate::output::Output;
use crate::progress::Counter;

pub(super) fn run(arguments: &BenchEmbedArgs, output: &Output) -> anyhow::Result<ExitCode> {
    if let Some(threads) = arguments.threads {
        use_threads(threads as usize)?;
    }
    let device = parse_device(&arguments.device)?;
    let embedder = embedder(arguments, &device)?;
    let (name, [height, width]) = (embedder.fingerprint(), embedder.input().size);
    let (device, threads) = (&arguments.device, threads());
    output.line(format!("{name}, {height}×{width}, {device}, {threads} threads"));

    let speeds = measure(&embedder, arguments, output);
    let header = ["batch", "images/s", "slowest", "fastest", "ms per batch"];
    output.table(&header, speeds.iter().map(row).collect());
    output.value(&json!({
        "model": name, "size": [height, width], "dim": embedder.dim(), "device": device,
        "threads": threads, "batches": speeds.iter().map(value).collect::<Vec<_>>(),
    }));
    Ok(ExitCode::SUCCESS)
}

fn embedder(arguments: &BenchEmbedArgs, device: &Device) -> anyhow::Result<Embedder> {
    if let Some(path) = &arguments.model {
        return Ok(open_model(path, device)?.embedder);
    }
    let backbone = arguments.backbone.ok_or_else(|| anyhow::anyhow!("no model was given"))?;
    let backbone = BackboneOptions { backbone, last_stride: 1, stem_relu: false };
    let input = InputSpec { size: [arguments.size[0], arguments.size[1]], ..InputSpec::default() };
    Ok(Embedder::random(backbone, input, 0, device)?)
}

fn measure(
    embedder: &Embedder,
    arguments: &BenchEmbedArgs,
    output: &Output,
) -> Vec<EmbeddingSpeed> {
    let repeats = arguments.repeats as usize;
    let images = |batches: &[u32]| batches.iter().sum::<u32>() as usize;
    let mut counter = Counter::new(output, "measuring", images(&arguments.batches));
    let time = |(index, &batch): (usize, &u32)| {
        let speed = time_embedding(embedder, batch as usize, repeats);
        let _ = counter.at(images(&arguments.batches[..=index]));
        speed
    };
    let speeds = arguments.batches.iter().enumerate().map(time).collect();
    counter.finish();
    speeds
}

fn row(speed: &EmbeddingSpeed) -> Vec<String> {
    let [median, slowest, fastest] = speed.images_per_second().map(|rate| format!("{rate:.1}"));
    vec![speed.batch.to_string(), median, slowest, fastest, format!("{:.1}", speed.milliseconds())]
}

fn value(speed: &EmbeddingSpeed) -> Value {
    let [median, min, max] = speed.images_per_second();
    json!({
        "batch": speed.batch,
        "images_per_second": { "median": median, "min": min, "max": max },
        "ms_per_batch": speed.milliseconds(),
        "seconds": speed.seconds,
    })
}
