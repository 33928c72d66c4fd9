//! `centroids search`

use std::path::PathBuf;

use centroids::core::Unit;
use clap::Args;

use serde_json::Value;

use super::{MetricArgs, Width};
use crate::values;

/// Find the images or identities nearest to pictures
///
/// The model that embedded the gallery embeds the pictures; it is found through the gallery file
/// (a `.npy` gallery names none: give it with --model). Query vectors need no model. Search is
/// exact.
///
/// `--out` writes `results.json`, {query: {indices, paths, distances, pids}}, which takes the place
/// of the reference's pickled `results.npy`; into a folder also query_embeddings.npy,
/// query_paths.npy, results_indices.npy, results_distances.npy and results_paths.npy, which NumPy
/// reads without pickles.
///
/// Examples:
///   centroids search --gallery gallery.safetensors --image photo.jpg
///   centroids search --gallery gallery.safetensors --image a.jpg b.jpg -k 5 --unit nearest --json
///   centroids search --gallery_data out/ --model runs/shop --image queries/ --topk 100 --out found/
///   centroids search --gallery gallery.safetensors --query query.safetensors --topk 0 --out all.json
///   centroids search --store shop.gallery --image photo.jpg --where shop=north --threshold 0.9
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct SearchArgs {
    /// Embedding file to search in (.safetensors, .npy), or a folder with embeddings.npy and
    /// paths.npy.
    #[arg(
        long,
        alias = "gallery_data",
        alias = "gallery-data",
        value_name = "FILE|DIR",
        required_unless_present = "store"
    )]
    pub(crate) gallery: Option<PathBuf>,
    /// Gallery of `centroids index` to search in instead: a file, or milvus://host:port/name.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["gallery", "out"])]
    pub(crate) store: Option<PathBuf>,
    /// Pictures to look for: files, folders, lists (.txt, a path per line).
    #[arg(long, required_unless_present = "query", num_args = 1.., value_name = "IMAGE")]
    pub(crate) image: Vec<PathBuf>,
    /// Embedding file to look for instead.
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["image", "model"])]
    pub(crate) query: Option<PathBuf>,
    /// Run folder, checkpoint or model file, or the reference's .ckpt [default: the one named in the
    /// gallery file]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Hits per query; 0 = all.
    #[arg(short, long = "topk", default_value_t = 10, value_name = "N")]
    pub(crate) k: u32,
    /// Ignore gallery images of this camera (the one that took the pictures); cameras count from 0
    /// as in the embedding file, so c1 of Market-1501 is 0.
    #[arg(long, value_name = "C")]
    pub(crate) camera: Option<u32>,
    /// What is ranked: centroid (identities by their mean), nearest (identities by their nearest
    /// image), instance (images) [default: centroid, in a .npy gallery instance]
    #[arg(long, value_parser = values::unit())]
    pub(crate) unit: Option<Unit>,
    /// Say how sure each query's first hit is, and which queries are unknown: a file that `centroids
    /// calibrate` wrote for the same model, unit and metric. With --store every hit gets a
    /// confidence.
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// With --store: only images with this attribute count, in centroids too; may be given several
    /// times.
    #[arg(long = "where", value_name = "KEY=VALUE", requires = "store",
        value_parser = values::attribute)]
    pub(crate) filter: Vec<(String, Value)>,
    /// With --store: say `unknown` where the nearest is farther than this, whatever the calibration
    /// says.
    #[arg(long, value_name = "DISTANCE", requires = "store")]
    pub(crate) threshold: Option<f64>,
    /// With --store: width of the numbers in memory; results are the same.
    #[arg(long, value_name = "WIDTH", default_value = "f32", requires = "store")]
    pub(crate) rows: Width,
    /// With --store: search centroids approximately where there are more than this many [without a
    /// number: always]; distances stay exact, but a neighbour may be missed, and how many are is
    /// measured. With --camera, --where, another unit or many hits search is exact all the same.
    #[arg(long, value_name = "ROWS", num_args = 0..=1, require_equals = true,
        default_missing_value = "0", requires = "store")]
    pub(crate) approximate: Option<usize>,
    /// Write the results: a .json file, or a folder for all files.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The reference's way to say --normalize true.
    #[arg(long = "normalize_features", alias = "normalize-features", conflicts_with = "normalize")]
    pub(crate) normalize_features: bool,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}
