//! `centroids weights`

use std::process::ExitCode;

use centroids::data::InputSpec;
use centroids::model::TrainedModel;
use centroids::model::weights::{Identity, RawTensor, StateDict};
use centroids::pipeline::{Converted, convert_weights, weights_file};
use serde_json::{Value, json};

use crate::cli::{ConvertArgs, InspectWeightsArgs, WeightsArgs, WeightsCommand};
use crate::out_path::check_out;
use crate::output::{Output, text};

/// Tensors that are listed unless all are asked for.
const LISTED: usize = 12;

pub(crate) fn run(arguments: WeightsArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        WeightsCommand::Inspect(arguments) => inspect(&arguments, output)?,
        WeightsCommand::Convert(arguments) => convert(&arguments, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(arguments: &InspectWeightsArgs, output: &Output) -> anyhow::Result<()> {
    let file = StateDict::read(&weights_file(&arguments.file)?)?;
    let identity = file.identity();
    let trained = identity.kind.is_trained() && identity.backbone.is_some();
    let model = if trained { Some(TrainedModel::of(&file)?) } else { None };
    let about = about(&file, &identity, model.as_ref());
    output.line(format!("{}: {}\n", file.path().display(), identity.kind));
    let width = about.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    for (key, value) in &about {
        output.line(format!("{key:width$}  {value}"));
    }
    output.line("");
    list(&file, output);
    output.value(&json_of(&file, &identity, model.as_ref()));
    Ok(())
}

/// What can be said of a file, a line each.
fn about(
    file: &StateDict,
    identity: &Identity,
    model: Option<&TrainedModel>,
) -> Vec<(&'static str, String)> {
    let size = match bytes(file) as f64 {
        bytes if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        bytes => format!("{:.1} MB", bytes / 1e6),
    };
    let (tensors, numbers) = (file.tensors().len(), grouped(values(file)));
    let mut lines = vec![
        ("container", file.container().to_string()),
        ("tensors", format!("{tensors}, {numbers} values, {size}")),
    ];
    if let Some(backbone) = identity.backbone {
        lines.push(("backbone", format!("{backbone}, {} dimensions", backbone.channels())));
    } else if let Some((backbone, missing)) = file.nearest_backbone() {
        let (lacks, first) = (missing.len(), missing.first().map_or("", String::as_str));
        lines.push(("nearest", format!("{backbone}, of which it lacks {lacks} tensors ({first})")));
    }
    if let Some(classifier) = &identity.classifier {
        lines.push(("classes", format!("{} ({})", classifier.classes, classifier.name)));
    }
    if let Some(epoch) = epoch(file) {
        lines.push(("epoch", epoch.to_string()));
    }
    if let Some(version) = file.extra().get("pytorch-lightning_version").and_then(Value::as_str) {
        lines.push(("trainer", format!("PyTorch-Lightning {version}")));
    }
    if let Some(TrainedModel { input, backbone, .. }) = model {
        let InputSpec { size: [height, width], mean, std } = input;
        lines.push(("input", format!("{height} × {width}, mean {mean:?}, std {std:?}")));
        lines.push(("last stride", backbone.last_stride.to_string()));
    }
    lines.push(("use", purpose(file, identity)));
    lines
}

/// Complete epochs of the training the file is from.
fn epoch(file: &StateDict) -> Option<u64> {
    match file.metadata().get("position") {
        Some(position) => serde_json::from_str::<Value>(position).ok()?["epoch"].as_u64(),
        None => file.extra().get("epoch")?.as_u64(),
    }
}

fn bytes(file: &StateDict) -> usize {
    file.tensors().values().map(|tensor| tensor.bytes.len()).sum()
}

fn values(file: &StateDict) -> usize {
    file.tensors().values().map(|tensor| tensor.shape.iter().product::<usize>()).sum()
}

/// What the file is good for.
fn purpose(file: &StateDict, identity: &Identity) -> String {
    let path = file.path().display();
    match (identity.kind, identity.backbone) {
        (kind, Some(_)) if kind.is_trained() => format!("--model {path}"),
        (_, Some(backbone)) => {
            format!("to start a training: MODEL.NAME {backbone} MODEL.PRETRAIN_PATH {path}")
        }
        (_, None) => "none: its tensors are not those of a known backbone".to_owned(),
    }
}

/// The tensors in the order of their names; numbers in a name count as numbers.
fn list(file: &StateDict, output: &Output) {
    let mut tensors: Vec<(&String, &RawTensor)> = file.tensors().iter().collect();
    tensors.sort_by_cached_key(|(name, _)| natural(name));
    let (all, listed) = (tensors.len(), if output.verbose() { usize::MAX } else { LISTED });
    let row = |(name, tensor): &(&String, &RawTensor)| {
        vec![name.to_string(), format!("{:?}", tensor.dtype), shape(&tensor.shape)]
    };
    output.table(&["tensor", "type", "shape"], tensors.iter().take(listed).map(row).collect());
    if all > listed {
        output.line(format!("and {} more; -v lists all", all - listed));
    }
}

/// Parts of a name, with numbers padded so that 2 comes before 10.
fn natural(name: &str) -> Vec<String> {
    name.split('.')
        .map(|part| part.parse().map_or(part.to_owned(), |n: u32| format!("{n:010}")))
        .collect()
}

fn shape(sizes: &[usize]) -> String {
    if sizes.is_empty() {
        return "scalar".to_owned();
    }
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

/// Digits in groups of three.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn json_of(file: &StateDict, identity: &Identity, model: Option<&TrainedModel>) -> Value {
    let tensor = |(name, tensor): (&String, &RawTensor)| {
        let dtype = format!("{:?}", tensor.dtype);
        json!({ "name": name, "type": dtype, "shape": tensor.shape })
    };
    json!({
        "file": text(file.path()),
        "kind": identity.kind.name(),
        "trained": identity.kind.is_trained(),
        "container": file.container().to_string(),
        "bytes": bytes(file),
        "values": values(file),
        "backbone": identity.backbone,
        "options": model.map(|model| model.backbone),
        "input": model.map(|model| model.input),
        "classes": identity.classifier.as_ref().map(|classifier| classifier.classes),
        "epoch": epoch(file),
        "hyper_parameters": file.extra().get("hyper_parameters"),
        "metadata": file.metadata(),
        "tensors": file.tensors().iter().map(tensor).collect::<Vec<_>>(),
    })
}

fn convert(arguments: &ConvertArgs, output: &Output) -> anyhow::Result<()> {
    let out = &arguments.out;
    check_out(out, &["safetensors"])?;
    let file = StateDict::read(&weights_file(&arguments.file)?)?;
    let Converted { tensors, is_model } = convert_weights(&file, out, arguments.names)?;
    let opened =
        if is_model { format!("; open it with --model {}", out.display()) } else { String::new() };
    output.line(format!("{tensors} tensors in {}{opened}", out.display()));
    output.value(&json!({ "out": text(out), "tensors": tensors, "model": is_model }));
    Ok(())
}
