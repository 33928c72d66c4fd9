use std::path::{Path, PathBuf};

use centroids_core::{CamId, Distance, Embeddings, Metric, Pid};
use safetensors::SafeTensors;
use serde_json::Value;

/// A folder of golden vectors; `None`, with a line saying so, if it is not there.
#[expect(clippy::print_stdout, reason = "a skipped test has to say so")]
pub(crate) fn folder(section: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let root = std::env::var("CENTROIDS_GOLDEN").unwrap_or_else(|_| default.to_owned());
    let folder = Path::new(&root).join(section);
    if folder.join("manifest.json").exists() {
        return Some(folder);
    }
    println!("skipped: golden vectors not found at {}", folder.display());
    None
}

pub(crate) fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("`{key}` is a list"))
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("`{key}` is text"))
}

/// A number, also one at the beginning of a text such as `1e-6 (float32 division)`.
pub(crate) fn number(value: &Value, key: &str) -> f64 {
    let first_word = value[key].as_str().and_then(|text| text.split(' ').next());
    let parsed = first_word.and_then(|word| word.parse().ok());
    value[key].as_f64().or(parsed).unwrap_or_else(|| panic!("`{key}` is a number"))
}

pub(crate) fn count(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("`{key}` is a count")) as usize
}

/// The metric of a case that says `distance` and, under the given key, whether it normalises.
pub(crate) fn metric(case: &Value, normalize: &str) -> Metric {
    let distance: Distance = text(case, "distance").parse().unwrap();
    Metric { distance, normalize: case[normalize].as_bool().unwrap(), ..Metric::default() }
}

/// Tensors of a file as plain numbers.
pub(crate) struct Tensors<'a>(pub(crate) SafeTensors<'a>);

impl Tensors<'_> {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    pub(crate) fn i64(&self, name: &str) -> Vec<i64> {
        self.numbers(name, i64::from_le_bytes)
    }

    pub(crate) fn f32(&self, name: &str) -> Vec<f32> {
        self.numbers(name, f32::from_le_bytes)
    }

    pub(crate) fn f64(&self, name: &str) -> Vec<f64> {
        self.numbers(name, f64::from_le_bytes)
    }

    fn numbers<T, const WIDTH: usize>(&self, name: &str, from: fn([u8; WIDTH]) -> T) -> Vec<T> {
        let tensor = self.0.tensor(name).unwrap();
        tensor.data().as_chunks::<WIDTH>().0.iter().map(|bytes| from(*bytes)).collect()
    }
}

/// Embeddings without names or paths; camera −1 is unknown.
pub(crate) fn embeddings(values: Vec<f32>, pids: &[i64], camids: &[i64]) -> Embeddings {
    let camids = camids.iter().map(|&camid| u32::try_from(camid).ok().map(CamId)).collect();
    let dim = values.len() / pids.len();
    let paths = vec![String::new(); pids.len()];
    Embeddings::new(dim, values, pids.iter().copied().map(Pid).collect(), camids, paths).unwrap()
}
