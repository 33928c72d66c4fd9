//! `centroids weights`

use std::process::ExitCode;

use centroids::model::weights::{Identity, Kind, RawTensor, StateDict};
use centroids::model::{Checkpoint, TrainedModel};
use centroids::pipeline::{Converted, convert_weights, weights_file};
use serde_json::{Map, Value, json};

use super::embed::check_out;
use crate::cli::{ConvertArgs, InspectWeightsArgs, WeightsArgs, WeightsCommand};
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
    let about = about(&file, &identity)?;
    output.line(format!("{}: {}", file.path().display(), identity.kind));
    output.line("");
    let width = about.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    for (key, value) in &about {
        output.line(format!("{key:width$}  {value}"));
    }
    output.line("");
    list(&file, output);
    output.value(&json_of(
        &file,
        &identity,
        about.into_iter().map(|(key, value)| (key, value.into())).collect(),
    ));
    Ok(())
}

/// What can be said of a file, a line each.
fn about(file: &StateDict, identity: &Identity) -> anyhow::Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push((key.to_owned(), value));
    let tensors = file.tensors().values();
    let numbers: usize = tensors.clone().map(elements).sum();
    let bytes: usize = tensors.map(|tensor| tensor.bytes.len()).sum();
    let size = match bytes as f64 {
        bytes if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        bytes => format!("{:.1} MB", bytes / 1e6),
    };
    line("container", file.container().to_string());
    line("tensors", format!("{}, {} values, {size}", file.tensors().len(), grouped(numbers)));
    if let Some(backbone) = identity.backbone {
        line("backbone", format!("{backbone}, {} dimensions", backbone.channels()));
    } else if let Some((backbone, missing)) = file.nearest_backbone() {
        let (lacks, first) = (missing.len(), missing.first().map_or("", String::as_str));
        line("nearest", format!("{backbone}, of which it lacks {lacks} tensors (first {first})"));
    }
    if let Some(classifier) = &identity.classifier {
        line("classes", format!("{} ({})", classifier.classes, classifier.name));
    }
    if identity.kind == Kind::Checkpoint {
        let position = Checkpoint::of(file)?.position;
        let step =
            if position.step > 0 { format!(" and {} steps", position.step) } else { String::new() };
        line("epoch", format!("{}{step}", position.epoch));
    } else if let Some(epoch) = file.extra().get("epoch") {
        line("epoch", epoch.to_string());
    }
    if let Some(version) = file.extra().get("pytorch-lightning_version").and_then(Value::as_str) {
        line("trainer", format!("PyTorch-Lightning {version}"));
    }
    if identity.kind.is_trained() && identity.backbone.is_some() {
        let model = TrainedModel::of(file)?;
        let [height, width] = model.input.size;
        line(
            "input",
            format!("{height} × {width}, mean {:?}, std {:?}", model.input.mean, model.input.std),
        );
        line("last stride", model.backbone.last_stride.to_string());
    }
    line("use", purpose(file, identity));
    Ok(lines)
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

fn elements(tensor: &RawTensor) -> usize {
    tensor.shape.iter().product()
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

fn json_of(file: &StateDict, identity: &Identity, about: Map<String, Value>) -> Value {
    let tensor = |(name, tensor): (&String, &RawTensor)| json!({ "name": name, "type": format!("{:?}", tensor.dtype), "shape": tensor.shape });
    let classes = identity.classifier.as_ref().map(|classifier| classifier.classes);
    json!({
        "file": text(file.path()),
        "kind": identity.kind.name(),
        "trained": identity.kind.is_trained(),
        "backbone": identity.backbone,
        "classes": classes,
        "about": about,
        "extra": file.extra(),
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
