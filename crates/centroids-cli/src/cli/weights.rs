//! `centroids weights`

use std::path::PathBuf;

use centroids::pipeline::Names;
use clap::{Args, Subcommand};

use crate::values;

/// Look into a file of weights, or write it in another way
///
/// Files of PyTorch (.pth, .pt, .ckpt; every container since 2016), safetensors files and run
/// folders are read. Nothing in them is run.
///
/// Examples:
///   centroids weights inspect resnet50-19c8e357.pth
///   centroids weights convert market1501_resnet50_256_128_epoch_120.ckpt market.safetensors
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct WeightsArgs {
    #[command(subcommand)]
    pub(crate) command: WeightsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    Inspect(InspectWeightsArgs),
    Convert(ConvertArgs),
}

/// Show what a file of weights is, what it can be used for, and its tensors
///
/// Example:
///   centroids weights inspect market1501_resnet50_256_128_epoch_120.ckpt
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct InspectWeightsArgs {
    /// File of weights, or run folder. All tensors are listed with -v.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Write weights as safetensors
///
/// A trained model (a run, a checkpoint of `centroids train`, the reference's .ckpt) becomes a file
/// that `--model` opens. In Python, `safetensors.torch.load_file` reads all files: under the names
/// of the reference for its model, under those of torchvision for its networks:
///   model = torchvision.models.resnet50()
///   model.load_state_dict(load_file("resnet50.safetensors"), strict=False)
/// A ResNet trained here has stride 1 in its last stage and no ReLU after its stem unless it was
/// asked for (`model.relu = torch.nn.Identity()`).
///
/// Examples:
///   centroids weights convert runs/market market.safetensors
///   centroids weights convert market.safetensors resnet50.safetensors --names torchvision
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ConvertArgs {
    /// File of weights, or run folder.
    #[arg(value_name = "IN")]
    pub(crate) file: PathBuf,
    /// File to write: .safetensors.
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Names of the tensors: of the reference (everything of a model), of torchvision (the backbone
    /// alone), or as they are in the file (every tensor, in its own type).
    #[arg(long, default_value = "reference", value_parser = values::names())]
    pub(crate) names: Names,
}
