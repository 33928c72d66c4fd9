//! `centroids export`

use std::path::PathBuf;

use centroids::model::onnx::{OPSETS, OnnxOptions};
use clap::{Args, Subcommand};

/// Write a model in another program's format
///
/// Example:
///   centroids export onnx --model runs/market --out model.onnx
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArgs {
    #[command(subcommand)]
    pub(crate) command: ExportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    Onnx(OnnxArgs),
}

/// Write a model as ONNX, for ONNX Runtime, TensorRT, OpenVINO, Ascend and other accelerators
///
/// The graph takes `input` [batch, 3, h, w] in single precision, images as the model was trained on
/// (resized, normalised; the file's metadata has the numbers), and gives `embedding` [batch, d], the
/// vectors of `centroids embed`. Any batch will do; h and w are fixed.
///
/// Examples:
///   centroids export onnx --model runs/market --out model.onnx
///   centroids export onnx --model best.safetensors --out unit.onnx --normalize --opset 11
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct OnnxArgs {
    /// Run folder (its best checkpoint) or checkpoint file.
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Divide embeddings by their length.
    #[arg(long)]
    pub(crate) normalize: bool,
    /// Version of ONNX's operator set; old converters need an old one.
    #[arg(
        long,
        value_name = "N",
        default_value_t = OnnxOptions::default().opset,
        value_parser = clap::value_parser!(i64).range(OPSETS)
    )]
    pub(crate) opset: i64,
    /// Leave batch norms as nodes instead of folding them into the convolutions.
    #[arg(long)]
    pub(crate) keep_batch_norms: bool,
}
