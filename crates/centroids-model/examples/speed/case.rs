//! Weights and inputs of a case: from the files that the peers read too, or random.

use std::error::Error;
use std::path::{Path, PathBuf};

use centroids_data::InputSpec;
use centroids_model::weights::{self, Array, Tensors};
use centroids_model::{Backbone, Checkpoint, Device, ModelSpec, ReidModel};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

use crate::arguments::Arguments;

/// Classes of a random network: the training identities of Market-1501.
const CLASSES: usize = 751;

/// What a network runs on.
pub struct Case {
    pub spec: ModelSpec,
    /// Every tensor of the model.
    pub tensors: Tensors,
    /// File of the tensors, for messages.
    pub path: PathBuf,
    /// `[n, 3, h, w]`
    pub images: Vec<f32>,
    pub shape: [usize; 4],
    /// Class of every image.
    pub labels: Vec<usize>,
}

impl Case {
    /// # Errors
    /// An unknown backbone; files that are missing, broken or of another batch or size.
    pub fn read(arguments: &Arguments) -> Result<Case, Box<dyn Error>> {
        let backbone: Backbone = arguments.backbone.parse()?;
        // As a checkpoint spells it.
        let options = json!({ "backbone": backbone, "last_stride": 1, "stem_relu": false });
        let spec = ModelSpec { backbone: serde_json::from_value(options)?, num_classes: CLASSES };
        let [height, width] = arguments.size;
        let shape = [arguments.batch, 3, height, width];
        let (path, tensors, images, labels) = match &arguments.data {
            Some(folder) => {
                let path = folder.join("weights.safetensors");
                let tensors = read(&path, floats)?;
                let (images, labels) = read_inputs(&folder.join("inputs.safetensors"), shape)?;
                (path, tensors, images, labels)
            }
            None => {
                let model = weights::initialise(ReidModel::new(spec, &Device::flex()), 0);
                (PathBuf::new(), weights::collect(&model), noise(shape), classes(arguments.batch))
            }
        };
        Ok(Case { spec, tensors, path, images, shape, labels })
    }

    /// The case as a checkpoint, from which an embedder is made.
    pub fn into_checkpoint(self) -> Checkpoint {
        Checkpoint {
            path: self.path,
            tensors: self.tensors,
            backbone: self.spec.backbone,
            input: InputSpec { size: [self.shape[2], self.shape[3]], ..InputSpec::default() },
            pids: (0..CLASSES as i64).map(centroids_core::Pid).collect(),
            records: 0,
            position: Default::default(),
            config: String::new(),
        }
    }
}

/// Four images of each identity.
fn classes(batch: usize) -> Vec<usize> {
    (0..batch).map(|row| row / 4 * 7 % CLASSES).collect()
}

/// Values in −1..1 that look random.
fn noise(shape: [usize; 4]) -> Vec<f32> {
    let mix = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40; // 24 bits
    (1..=shape.iter().product::<usize>() as u64)
        .map(|index| mix(index) as f32 / (1 << 23) as f32 - 1.0)
        .collect()
}

fn read_inputs(path: &Path, shape: [usize; 4]) -> Result<(Vec<f32>, Vec<usize>), Box<dyn Error>> {
    let images = read(path, floats)?.remove("images").ok_or("no tensor `images`")?;
    if images.shape != shape {
        let found = images.shape;
        return Err(format!("{}: images are {found:?}, not {shape:?}", path.display()).into());
    }
    let labels = read(path, |file| {
        let view = file.tensor("labels")?;
        let labels = view.data().chunks_exact(8).map(bytemuck::pod_read_unaligned::<i64>);
        Ok(labels.map(usize::try_from).collect::<Result<_, _>>()?)
    })?;
    Ok((images.values, labels))
}

fn read<T>(
    path: &Path,
    take: impl FnOnce(&SafeTensors<'_>) -> Result<T, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file =
        SafeTensors::deserialize(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    take(&file)
}

/// The tensors of single precision.
fn floats(file: &SafeTensors<'_>) -> Result<Tensors, Box<dyn Error>> {
    let single = file.tensors().into_iter().filter(|(_, view)| view.dtype() == Dtype::F32);
    Ok(single
        .map(|(name, view)| {
            let values = view.data().chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
            (name, Array { shape: view.shape().to_vec(), values })
        })
        .collect())
}
