//! Weights from one file into another.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use centroids_model::TrainedModel;
use centroids_model::weights::{Kind, StateDict, Tensors, save_tensors};

use super::model_file::experiment_of;
use crate::Error;

/// Under which names weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those of the reference's model: `backbone.base.conv1.weight`, `bn.weight`. A trained model
    /// can be opened again.
    Reference,
    /// Those of torchvision, of the backbone alone: `conv1.weight`.
    Torchvision,
    /// Those of the file, every tensor in its own type.
    Original,
}

impl Names {
    /// All of them.
    pub const ALL: [Names; 3] = [Names::Reference, Names::Torchvision, Names::Original];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Names::Reference => "reference",
            Names::Torchvision => "torchvision",
            Names::Original => "original",
        }
    }
}

impl FromStr for Names {
    type Err = Error;

    fn from_str(text: &str) -> Result<Names, Error> {
        Names::ALL.into_iter().find(|names| names.name() == text).ok_or_else(|| Error::Setting {
            key: "names",
            value: text.to_owned(),
            reason: format!("must be one of {}", Names::ALL.map(Names::name).join(", ")),
        })
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Tensors in the new file.
    pub tensors: usize,
    /// Whether it is a trained model, which [`super::open_model`] opens.
    pub is_model: bool,
}

/// Writes the weights of `file` as safetensors to `out`.
///
/// # Errors
/// Weights that are no numbers or of no known network (but for [`Names::Original`]); a full disk.
pub fn convert_weights(file: &StateDict, out: &Path, names: Names) -> Result<Converted, Error> {
    let identity = file.identity();
    let reject = |reason: String| Error::Run { path: file.path().to_owned(), reason };
    let tensors = match (names, identity.backbone) {
        (Names::Original, _) => {
            let tensors = file.tensors().iter().map(|(name, tensor)| (name.clone(), tensor));
            save_tensors(out, tensors, for_torch())?;
            file.tensors().len()
        }
        (Names::Reference, _) if identity.kind.is_trained() => {
            let mut model = TrainedModel::of(file)?;
            model.config = experiment_of(&model)?.to_toml()?;
            model.save(out)?;
            return Ok(Converted { tensors: model.tensors.len(), is_model: true });
        }
        (_, Some(backbone)) => {
            let prefix = if names == Names::Reference { "backbone.base." } else { "" };
            save_backbone(out, &file.backbone_tensors(backbone)?, prefix)?
        }
        (_, None) => {
            let what = if identity.kind == Kind::Unknown { "network" } else { "backbone" };
            return Err(reject(format!(
                "holds no {what} that is known here; to copy its tensors as they are: --names original"
            )));
        }
    };
    Ok(Converted { tensors, is_model: false })
}

fn save_backbone(out: &Path, tensors: &Tensors, prefix: &str) -> Result<usize, Error> {
    let named = tensors.iter().map(|(name, array)| (format!("{prefix}{name}"), array));
    save_tensors(out, named, for_torch())?;
    Ok(tensors.len())
}

/// What Python's libraries expect in a header.
fn for_torch() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}
