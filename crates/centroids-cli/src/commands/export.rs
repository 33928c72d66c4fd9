//! `centroids export`

use std::process::ExitCode;

use anyhow::Context as _;
use centroids::model::onnx::{OnnxModel, OnnxOptions};
use centroids::model::parse_device;
use centroids::pipeline::open_model;
use serde_json::json;

use crate::cli::{ExportArgs, ExportCommand, OnnxArgs};
use crate::out_path::check_out;
use crate::output::{Output, text};

pub(crate) fn run(arguments: ExportArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match arguments.command {
        ExportCommand::Onnx(arguments) => onnx(&arguments, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn onnx(arguments: &OnnxArgs, output: &Output) -> anyhow::Result<()> {
    let out = &arguments.out;
    check_out(out, &["onnx"])?;
    let model = open_model(&arguments.model, &parse_device("cpu")?)?;
    let &OnnxArgs { opset, normalize, keep_batch_norms, .. } = arguments;
    let options = OnnxOptions { opset, normalize, keep_batch_norms };
    let written = OnnxModel::new(&model.embedder, options)
        .with_context(|| model.path.display().to_string())?;
    let bytes = written.save(out)?;

    let ([height, width], dim) = (model.embedder.input().size, model.embedder.dim());
    let (name, nodes) = (model.embedder.fingerprint(), written.nodes());
    output.line(format!(
        "{name}: [batch, 3, {height}, {width}] → [batch, {dim}]{}",
        if normalize { ", of length 1" } else { "" }
    ));
    let megabytes = bytes as f64 / 1e6;
    output.line(format!("{nodes} nodes, opset {opset}, {megabytes:.1} MB in {}", out.display()));
    output.value(&json!({
        "out": text(out), "model": name, "input": [null, 3, height, width],
        "output": [null, dim], "normalize": normalize, "opset": opset, "nodes": nodes, "bytes": bytes,
    }));
    Ok(())
}
