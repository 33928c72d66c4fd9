//! Trained weights, from whatever file: what embedding needs, and nothing of the training.
//!
//! The file of its own is safetensors under the reference's names, with the metadata
//! `format = "centroids.model.v1"`, `backbone`, `input` (JSON) and `config` (TOML).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use centroids_data::InputSpec;
use serde_json::Value;

use crate::checkpoint::{self, Checkpoint, check_input, read_spec, to_json};
use crate::weights::{Kind, NECK, StateDict, Tensors, save_tensors};
use crate::{Backbone, BackboneOptions, Error};

pub(crate) const FORMAT: &str = "centroids.model.v1";

/// Rows for the training classes; an embedder needs neither.
const CLASSES: [&str; 2] = ["center_loss.centers", "fc_query.weight"];

/// A backbone with a trained neck.
#[derive(Clone, Debug)]
pub struct TrainedModel {
    /// The file it was read from.
    pub path: PathBuf,
    /// The network.
    pub backbone: BackboneOptions,
    /// Preprocessing.
    pub input: InputSpec,
    /// Backbone, neck and, where known, classifier and centres under the reference's names.
    pub tensors: Tensors,
    /// The experiment's TOML; empty in a model of the reference.
    pub config: String,
    /// The settings of the reference (`MODEL`, `INPUT`, …); null where the file has none.
    pub hyper_parameters: Value,
}

impl TrainedModel {
    /// The model in a checkpoint or model file of ours or a checkpoint of the reference.
    ///
    /// # Errors
    /// A file without a trained neck, with an unknown backbone, or with weights that are no finite
    /// numbers.
    pub fn of(file: &StateDict) -> Result<TrainedModel, Error> {
        let identity = file.identity();
        let error = |reason: String| Error::File { path: file.path().to_owned(), reason };
        match (identity.kind, identity.backbone) {
            (Kind::Checkpoint, _) => TrainedModel::of_ours(file, checkpoint::FORMAT),
            (Kind::Model, _) => TrainedModel::of_ours(file, FORMAT),
            (Kind::Reference, Some(backbone)) => TrainedModel::of_reference(file, backbone),
            (Kind::Reference, None) => Err(error(match file.nearest_backbone() {
                Some((backbone, missing)) => format!(
                    "has a trained neck, but of {backbone} it lacks `{}` in its shape; copy or \
                     download it again",
                    missing.first().map_or("", String::as_str)
                ),
                None => format!(
                    "has a trained neck, but its backbone is none of {}",
                    Backbone::ALL.map(Backbone::name).join(", ")
                ),
            })),
            (Kind::Backbone, Some(backbone)) => Err(error(format!(
                "holds {backbone} without a trained neck (ImageNet weights?): a training can start \
                 from it (MODEL.NAME {backbone} MODEL.PRETRAIN_PATH {}), but embeddings need a \
                 trained model: a run folder, a checkpoint of `centroids train`, or the reference's \
                 .ckpt",
                file.path().display()
            ))),
            (Kind::Backbone | Kind::Unknown, _) => Err(error(not_a_model(file))),
        }
    }

    /// Of a file that says all about itself, in this format.
    fn of_ours(file: &StateDict, format: &str) -> Result<TrainedModel, Error> {
        let error = |reason: String| Error::File { path: file.path().to_owned(), reason };
        let metadata = file.metadata();
        let found = metadata.get("format").map(String::as_str).unwrap_or_default();
        if found != format {
            return Err(error(format!("has format `{found}`, this version reads `{format}`")));
        }
        let (backbone, input) = read_spec(metadata).map_err(error)?;
        Ok(TrainedModel {
            path: file.path().to_owned(),
            backbone,
            input,
            tensors: trained_tensors(file, backbone.backbone)?,
            config: metadata.get("config").cloned().unwrap_or_default(),
            hyper_parameters: Value::Null,
        })
    }

    fn of_reference(file: &StateDict, backbone: Backbone) -> Result<TrainedModel, Error> {
        let settings = file.extra().get("hyper_parameters").unwrap_or(&Value::Null);
        let default = InputSpec::default();
        let stride = settings["MODEL"]["LAST_STRIDE"].as_u64().unwrap_or(1) as usize;
        let input = &settings["INPUT"];
        let input = InputSpec {
            size: array(&input["SIZE_TEST"], Value::as_u64)
                .map_or(default.size, |size| size.map(|n| n as usize)),
            mean: array(&input["PIXEL_MEAN"], as_f32).unwrap_or(default.mean),
            std: array(&input["PIXEL_STD"], as_f32).unwrap_or(default.std),
        };
        let backbone = BackboneOptions { backbone, last_stride: stride, stem_relu: false };
        check_input(&backbone, &input)
            .map_err(|reason| Error::File { path: file.path().to_owned(), reason })?;
        Ok(TrainedModel {
            path: file.path().to_owned(),
            backbone,
            input,
            tensors: trained_tensors(file, backbone.backbone)?,
            config: String::new(),
            hyper_parameters: settings.clone(),
        })
    }

    /// Writes the model's own file, by way of a temporary one beside it.
    ///
    /// # Errors
    /// [`Error::Io`]; an older file of that name is then untouched.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("backbone".to_owned(), to_json(&self.backbone)),
            ("input".to_owned(), to_json(&self.input)),
            ("config".to_owned(), self.config.clone()),
        ]);
        let tensors = self.tensors.iter().map(|(name, array)| (name.clone(), array));
        save_tensors(path, tensors, metadata)
    }

    /// Whether classifier and centres are there.
    pub(crate) fn has_classes(&self) -> bool {
        CLASSES.iter().all(|name| self.tensors.contains_key(*name))
    }
}

impl From<Checkpoint> for TrainedModel {
    fn from(checkpoint: Checkpoint) -> TrainedModel {
        let Checkpoint { path, mut tensors, backbone, input, config, .. } = checkpoint;
        tensors.retain(|name, _| !name.starts_with("adam."));
        TrainedModel { path, backbone, input, tensors, config, hyper_parameters: Value::Null }
    }
}

/// Backbone, neck, and classes if both tables of them are there in the same shape.
fn trained_tensors(file: &StateDict, backbone: Backbone) -> Result<Tensors, Error> {
    let plain = file.backbone_tensors(backbone)?.into_iter();
    let mut tensors: Tensors =
        plain.map(|(name, array)| (format!("backbone.base.{name}"), array)).collect();
    tensors.extend(file.arrays(NECK.map(str::to_owned))?);
    if let Ok(classes) = file.arrays(CLASSES.map(str::to_owned)) {
        let mut shapes = classes.values().map(|array| array.shape.as_slice());
        let [first, second] = [shapes.next(), shapes.next()];
        if first == second && matches!(first, Some([c, d]) if *c > 0 && *d == backbone.channels()) {
            tensors.extend(classes);
        }
    }
    Ok(tensors)
}

fn not_a_model(file: &StateDict) -> String {
    match file.metadata().get("format") {
        Some(format) if format.starts_with("centroids.embeddings") => {
            "is a file of embeddings, no model".to_owned()
        }
        _ => format!(
            "holds weights of no network that is known here; see `centroids weights inspect {}`",
            file.path().display()
        ),
    }
}

fn as_f32(value: &Value) -> Option<f32> {
    value.as_f64().map(|value| value as f32)
}

/// A list of N values of a type.
fn array<T, const N: usize>(list: &Value, read: fn(&Value) -> Option<T>) -> Option<[T; N]> {
    let values: Option<Vec<T>> = list.as_array()?.iter().map(read).collect();
    values?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Array, Tensors};
    use crate::{Device, Embedder};

    /// A ResNet-18 with a neck, as the reference names it, without classes.
    fn tensors() -> Tensors {
        let filled = |shape: &[usize]| Array {
            shape: shape.to_vec(),
            values: vec![0.5; shape.iter().product()],
        };
        let backbone = Backbone::ResNet18.shapes().into_iter();
        let backbone =
            backbone.map(|(name, shape)| (format!("backbone.base.{name}"), filled(&shape)));
        backbone.chain(NECK.map(|name| (name.to_owned(), filled(&[512])))).collect()
    }

    fn of(tensors: &Tensors) -> Result<TrainedModel, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = tensors.iter().map(|(name, array)| (name.clone(), array));
        save_tensors(&path, tensors, HashMap::new()).unwrap();
        TrainedModel::of(&StateDict::read(&path).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn weights_without_settings_are_used_as_the_reference_does() {
        let model = of(&tensors()).unwrap();
        let BackboneOptions { backbone, last_stride, stem_relu } = model.backbone;
        assert_eq!((backbone, last_stride, stem_relu), (Backbone::ResNet18, 1, false));
        assert_eq!(model.input, InputSpec::default());
        assert!(!model.has_classes());
        assert_eq!(Embedder::from_model(model, &Device::flex()).unwrap().dim(), 512);
    }

    #[test]
    fn tables_of_classes_that_differ_are_left_out() {
        let mut tensors = tensors();
        let table = |rows| Array { shape: vec![rows, 512], values: vec![0.0; rows * 512] };
        for name in CLASSES {
            tensors.insert(name.to_owned(), table(3));
        }
        assert!(of(&tensors).unwrap().has_classes());
        tensors.insert(CLASSES[0].to_owned(), table(2));
        assert!(!of(&tensors).unwrap().has_classes());
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |name: &str| {
            let mut tensors = tensors();
            tensors.remove(name);
            of(&tensors).unwrap_err()
        };
        let of_backbone = error("backbone.base.layer4.1.bn2.weight");
        assert!(
            of_backbone.contains("of resnet18 it lacks `layer4.1.bn2.weight`"),
            "{of_backbone}"
        );
        let of_neck = error("bn.running_mean");
        assert!(of_neck.contains("resnet18 without a trained neck"), "{of_neck}");
        let nan = Array { shape: vec![512], values: vec![f32::NAN; 512] };
        let nan = of(&tensors().into_iter().chain([("bn.bias".to_owned(), nan)]).collect());
        assert!(nan.unwrap_err().contains("`bn.bias` holds NaN"));
    }
}
