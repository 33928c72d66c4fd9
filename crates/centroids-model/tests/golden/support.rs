//! The golden folder, its manifests and tensors, and the comparison.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Int, Tensor, TensorData};
use centroids_model::Device;
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

/// One section of the golden folder.
pub struct Section {
    pub dir: PathBuf,
    pub manifest: Value,
}

fn root() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    std::env::var_os("CENTROIDS_GOLDEN").map_or(default, PathBuf::from)
}

/// A text file in the folder above the sections, or `None` (said on stderr) when it is absent.
pub fn beside_golden(name: &str) -> Option<String> {
    let path = root().parent()?.join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} not found", path.display());
    }
    text
}

/// The section, or `None` (said on stderr) when the golden folder is absent.
pub fn section(name: &str) -> Option<Section> {
    section_by(name, "manifest.json")
}

/// A section whose manifest has a name of its own.
pub fn section_by(name: &str, manifest: &str) -> Option<Section> {
    let dir = root().join(name);
    if !dir.is_dir() {
        eprintln!("skipped: golden vectors not found at {}", dir.display());
        return None;
    }
    let text = std::fs::read_to_string(dir.join(manifest)).unwrap();
    Some(Section { dir, manifest: serde_json::from_str(&text).unwrap() })
}

impl Section {
    pub fn entries(&self) -> &[Value] {
        self.manifest["entries"].as_array().unwrap()
    }

    pub fn tensors(&self, file: &str) -> Golden {
        Golden::read(&self.dir.join(file))
    }
}

/// A host tensor, every dtype widened to f64.
#[derive(Clone)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Array {
    pub fn tensor<const D: usize>(&self, device: &Device, precision: Precision) -> Tensor<D> {
        let data = TensorData::new(self.values.clone(), self.shape.clone());
        let dtype = precision.dtype();
        Tensor::from_data(data.convert_dtype(dtype), (device, dtype))
    }

    pub fn indices(&self) -> Vec<usize> {
        self.values.iter().map(|&v| v as usize).collect()
    }

    pub fn bools(&self) -> Vec<bool> {
        self.values.iter().map(|&v| v != 0.0).collect()
    }
}

/// The tensors of one file.
pub struct Golden(HashMap<String, Array>);

impl Golden {
    fn read(path: &Path) -> Golden {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let widen = |view: safetensors::tensor::TensorView<'_>| -> Vec<f64> {
            let data = view.data();
            let chunks = |n: usize| data.chunks_exact(n);
            match view.dtype() {
                Dtype::F32 => {
                    chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()) as f64).collect()
                }
                Dtype::F64 => {
                    chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
                }
                Dtype::I64 => {
                    chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
                }
                Dtype::U8 => data.iter().map(|&b| f64::from(b)).collect(),
                other => panic!("{other:?} in {}", path.display()),
            }
        };
        let tensors = file.tensors().into_iter();
        Golden(
            tensors
                .map(|(name, view)| {
                    (name, Array { shape: view.shape().to_vec(), values: widen(view) })
                })
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> &Array {
        self.find(name).unwrap_or_else(|| panic!("golden tensor {name} is missing"))
    }

    pub fn find(&self, name: &str) -> Option<&Array> {
        self.0.get(name)
    }
}

/// In what the port computes. The reference has a record in both; single precision runs the
/// kernels, double precision proves the mathematics without rounding in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Single,
    Double,
}

impl Precision {
    pub const BOTH: [Precision; 2] = [Precision::Single, Precision::Double];

    pub fn dtype(self) -> DType {
        match self {
            Precision::Single => DType::F32,
            Precision::Double => DType::F64,
        }
    }

    /// `module` with all its tensors in this precision.
    pub fn of<M: Module>(self, module: M) -> M {
        struct Cast(DType);
        impl ModuleMapper for Cast {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|old| {
                    let (autodiff, grad) = (old.is_autodiff(), old.is_require_grad());
                    let cast = old.inner().cast(self.0);
                    let cast = if autodiff { Tensor::from_inner(cast) } else { cast };
                    cast.set_require_grad(grad)
                })
            }
        }
        module.map(&mut Cast(self.dtype()))
    }
}

/// Values of a tensor of any rank.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

pub fn ints(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|&v| v as i64).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

/// Largest absolute difference.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |max, d| if d > max || d.is_nan() { d } else { max })
}

/// Collects every mismatch of a test, so that one run shows them all.
#[derive(Default)]
pub struct Checks {
    failed: Vec<String>,
    passed: usize,
}

impl Checks {
    pub fn close(&mut self, what: &str, ours: &[f64], theirs: &[f64], atol: f64) {
        let error = distance(ours, theirs);
        if error <= atol {
            self.passed += 1;
        } else {
            self.failed.push(format!("{what}: off by {error:e}, allowed {atol:e}"));
        }
    }

    pub fn finish(self) {
        assert!(
            self.failed.is_empty(),
            "{} failed:\n{}",
            self.failed.len(),
            self.failed.join("\n")
        );
        assert!(self.passed > 0, "nothing was checked");
    }
}
