//! The tensors of a module by their PyTorch names: taken out, put in, initialised; and files of
//! weights that others made.

mod kind;
mod pretrained;
mod safetensors_file;
mod state_dict;
mod torch;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use centroids_core::write_atomically;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, View};

use crate::Error;
use crate::normal::fill_normal;

pub(crate) use kind::NECK;
pub use kind::{Classifier, Identity, Kind, is_trained_checkpoint};
pub use pretrained::BackboneImport;
pub(crate) use pretrained::load_backbone;
pub use state_dict::{Container, RawTensor, StateDict};

/// A host tensor: row-major f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values.
    pub values: Vec<f32>,
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(&self.values))
        } else {
            Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

/// Host tensors by name, in the spelling of the reference's state dict
/// (`backbone.base.layer1.0.downsample.0.weight`, `bn.running_var`, `fc_query.weight`,
/// `center_loss.centers`).
pub type Tensors = BTreeMap<String, Array>;

/// Path in the module tree → name in the state dict. Which variant an enum has is no part of the
/// name: variants, and nothing else, begin with a capital. The halves of an IBN are `IN` and `BN`.
pub fn state_dict_name(path: &[String]) -> String {
    let variant = |part: &&str| part.starts_with(|first: char| first.is_ascii_uppercase());
    let spelled = |part| match part {
        "instance" => "IN",
        "batch" => "BN",
        other => other,
    };
    let parts = path.iter().map(String::as_str).filter(|part| !variant(part));
    let parts: Vec<&str> = parts.map(spelled).collect();
    let name = parts.join(".");
    match name.split_once('.') {
        Some(("backbone", rest)) => format!("backbone.base.{rest}"),
        Some(("head", rest)) => rest.to_owned(),
        _ => name,
    }
}

/// Copies every float tensor of `module` to the host.
pub fn collect<M: Module>(module: &M) -> Tensors {
    struct Collect {
        path: Vec<String>,
        tensors: Tensors,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.tensors.insert(state_dict_name(&self.path), to_array(param.val()));
        }
    }
    let mut visitor = Collect { path: Vec::new(), tensors: Tensors::new() };
    module.visit(&mut visitor);
    visitor.tensors
}

/// Names and shapes of the float tensors of `module`.
pub(crate) fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    struct Shapes {
        path: Vec<String>,
        shapes: BTreeMap<String, Vec<usize>>,
    }
    impl ModuleVisitor for Shapes {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.shape().dims::<D>().to_vec();
            self.shapes.insert(state_dict_name(&self.path), shape);
        }
    }
    let mut visitor = Shapes { path: Vec::new(), shapes: BTreeMap::new() };
    module.visit(&mut visitor);
    visitor.shapes
}

/// Writes a safetensors file, by way of a temporary one beside it.
///
/// # Errors
/// [`Error::Io`]; an older file of that name is then untouched.
pub fn save_tensors<V: View>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, V)>,
    metadata: HashMap<String, String>,
) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|error| io(std::io::Error::other(error)))?;
    write_atomically(path, |file| file.write_all(&bytes)).map_err(io)
}

/// Replaces every float tensor of `module` by the one of its name.
///
/// # Errors
/// A tensor that `tensors` lacks or holds in another shape; `path` names the file they came from.
pub fn load<M: Module>(module: M, tensors: &Tensors, path: &Path) -> Result<M, Error> {
    let mut problem = None;
    let module = map_tensors(module, |name, shape| match tensors.get(name) {
        Some(array) if array.shape == shape => Some(array.clone()),
        Some(array) => {
            let (found, wanted) = (&array.shape, shape);
            let reason = format!("tensor `{name}` is {found:?}, the model wants {wanted:?}");
            problem.get_or_insert(reason);
            None
        }
        None => {
            problem.get_or_insert(format!("tensor `{name}` is missing; is this another model?"));
            None
        }
    });
    match problem {
        Some(reason) => Err(Error::File { path: path.to_owned(), reason }),
        None => Ok(module),
    }
}

/// Random start as torchvision's: convolutions N(0, 2 / fan_out) (He et al. 2015), batch norms
/// 1 and 0; classifier N(0, 0.001²) and centres N(0, 1) as the reference. Every tensor has its own
/// stream of `seed`, so that a tensor does not depend on what else the model holds.
pub fn initialise<M: Module>(module: M, seed: u64) -> M {
    map_tensors(module, |name, shape| {
        let std = match (name, shape) {
            ("fc_query.weight", _) => 0.001,
            ("center_loss.centers", _) => 1.0,
            (_, [output, _, height, width]) => (2.0 / (output * height * width) as f64).sqrt(),
            _ => return None,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream_of(name));
        let mut values = vec![0.0; shape.iter().product()];
        fill_normal(&mut values, std, &mut rng);
        Some(Array { shape: shape.to_vec(), values })
    })
}

/// 64-bit FNV-1a of a tensor name.
fn stream_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Replaces the tensors for which `replace` yields values, keeping device and gradient settings.
pub fn map_tensors<M: Module>(
    module: M,
    replace: impl FnMut(&str, &[usize]) -> Option<Array>,
) -> M {
    struct Replace<F> {
        path: Vec<String>,
        replace: F,
    }
    impl<F: FnMut(&str, &[usize]) -> Option<Array>> ModuleMapper for Replace<F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = state_dict_name(&self.path);
            match (self.replace)(&name, &param.shape().dims::<D>()) {
                Some(array) => param.map(|old| like(&old, array)),
                None => param,
            }
        }
    }
    module.map(&mut Replace { path: Vec::new(), replace })
}

/// A tensor of the given values with the device and gradient setting of `old`.
fn like<const D: usize>(old: &Tensor<D>, array: Array) -> Tensor<D> {
    let tensor = Tensor::from_data(TensorData::new(array.values, array.shape), &old.device());
    tensor.set_require_grad(old.is_require_grad())
}

/// Copies a tensor to the host as f32.
pub(crate) fn to_array<const D: usize>(tensor: Tensor<D>) -> Array {
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().iter::<f32>().collect();
    Array { shape, values }
}
