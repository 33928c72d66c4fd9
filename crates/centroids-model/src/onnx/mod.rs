//! A model as an ONNX file, the way onto accelerators that Burn has no back end for.
//!
//! The graph takes `input`, preprocessed images `[batch, 3, h, w]`, and gives `embedding`,
//! `[batch, d]`, after the BNNeck; the batch is open, h and w are the model's. Tensors have
//! torchvision's names. Only operators of long standing are used (Conv, BatchNormalization, Relu,
//! Clip, Add, MaxPool, GlobalAveragePool, Flatten, ReduceL2, Div; for
//! IBN also Split, InstanceNormalization, Concat), in single precision.

mod frozen_norm;
mod graph;
mod proto;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::path::Path;

use centroids_core::write_atomically;
use prost::Message as _;

use crate::{Embedder, Error};
use graph::GraphBuilder;

/// Operator sets that can be asked for. Runtimes read the sets before their own, so that a later
/// one would only exclude some.
pub const OPSETS: RangeInclusive<i64> = 11..=17;

/// Name of the graph's input.
pub const INPUT: &str = "input";

/// Name of the graph's output.
pub const OUTPUT: &str = "embedding";

/// How a model is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnnxOptions {
    /// Version of ONNX's operator set, of [`OPSETS`].
    pub opset: i64,
    /// Divide embeddings by their length.
    pub normalize: bool,
    /// Leave batch norms as nodes instead of folding them into the convolutions before them. (Those
    /// of the neck, before which a ReLU stands, and beside an instance norm are nodes always.)
    pub keep_batch_norms: bool,
}

impl Default for OnnxOptions {
    fn default() -> OnnxOptions {
        OnnxOptions { opset: *OPSETS.end(), normalize: false, keep_batch_norms: false }
    }
}

/// A model in ONNX's terms.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    model: proto::Model,
}

impl OnnxModel {
    /// Writes `embedder` down.
    ///
    /// # Errors
    /// [`Error::Setting`]: an operator set beyond [`OPSETS`], or a batch norm whose variance is
    /// negative.
    pub fn new(embedder: &Embedder, options: OnnxOptions) -> Result<OnnxModel, Error> {
        let OnnxOptions { opset, normalize, keep_batch_norms } = options;
        if !OPSETS.contains(&opset) {
            let reason = format!("known are {} to {}", OPSETS.start(), OPSETS.end());
            return Err(Error::Setting { key: "opset", value: opset.to_string(), reason });
        }
        let model = embedder.model();
        let mut graph = GraphBuilder::new(keep_batch_norms);
        let map = graph.backbone(&model.backbone().plan())?;
        graph.head(&map, model.head().neck_norm(), normalize)?;
        let [height, width] = embedder.input().size;
        let name = embedder.backbone().backbone.name();
        Ok(OnnxModel {
            model: proto::Model {
                ir_version: ir_version(opset),
                producer_name: "centroids".to_owned(),
                producer_version: env!("CARGO_PKG_VERSION").to_owned(),
                doc_string: DESCRIPTION.to_owned(),
                graph: Some(graph.finish(name, [3, height, width], embedder.dim())),
                opset_import: vec![proto::OperatorSet { version: opset }],
                metadata_props: metadata(embedder, normalize),
            },
        })
    }

    /// Nodes of the graph.
    pub fn nodes(&self) -> usize {
        self.model.graph.as_ref().map_or(0, |graph| graph.node.len())
    }

    /// The file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Writes a temporary file beside `path`, syncs and renames it; returns its size in bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; an older file of that name is then untouched.
    pub fn save(&self, path: &Path) -> Result<usize, Error> {
        let bytes = self.to_bytes();
        write_atomically(path, |file| file.write_all(&bytes))
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Ok(bytes.len())
    }
}

const DESCRIPTION: &str = "Image → embedding. Input: RGB images, resized to input_size (height, \
    width; bilinear, antialiased as Pillow does), scaled to 0..1, minus pixel_mean, divided by \
    pixel_std, channels first.";

/// The oldest version of the file format that has the operator set, for old runtimes.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=11 => 6,
        12..=14 => 7,
        _ => 8,
    }
}

/// What a program must know to feed the model; lists are JSON.
fn metadata(embedder: &Embedder, normalize: bool) -> Vec<proto::Entry> {
    let input = embedder.input();
    let entries = [
        ("model", embedder.fingerprint()),
        ("input_size", format!("{:?}", input.size)),
        ("pixel_mean", format!("{:?}", input.mean)),
        ("pixel_std", format!("{:?}", input.std)),
        ("normalized", normalize.to_string()),
    ];
    entries.map(|(key, value)| proto::Entry { key: key.to_owned(), value }).into()
}
