//! What a file of weights is: told from the names and shapes of its tensors, not from its ending.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::pretrained::plain;
use super::{RawTensor, StateDict};
use crate::{Backbone, Error};

/// Tensors of a trained neck.
pub(crate) const NECK: [&str; 4] = ["bn.bias", "bn.running_mean", "bn.running_var", "bn.weight"];

/// Tensors with a row for each class: ours and the reference's, torchvision's, and others'.
const CLASSIFIERS: [&str; 6] = [
    "fc_query.weight",
    "center_loss.centers",
    "fc.weight",
    "classifier.1.weight",
    "classifier.weight",
    "linear.weight",
];

/// The kinds of files with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, with everything to go on training.
    Checkpoint,
    /// Ours, the trained weights alone.
    Model,
    /// Backbone and trained neck under the reference's names: its Lightning checkpoints, or their
    /// tensors in another container.
    Reference,
    /// A backbone that is known, without a neck: ImageNet weights.
    Backbone,
    /// Anything else.
    Unknown,
}

impl Kind {
    /// Whether it embeds as it is: there is a backbone and a trained neck.
    pub fn is_trained(self) -> bool {
        matches!(self, Kind::Checkpoint | Kind::Model | Kind::Reference)
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Checkpoint => "checkpoint",
            Kind::Model => "model",
            Kind::Reference => "reference",
            Kind::Backbone => "backbone",
            Kind::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Checkpoint => "checkpoint of a training",
            Kind::Model => "trained model",
            Kind::Reference => "trained model of the reference",
            Kind::Backbone => "backbone without a trained neck",
            Kind::Unknown => "weights of no network that is known here",
        })
    }
}

/// The tensor that tells how many classes there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// Its name in the file.
    pub name: String,
    /// Its rows.
    pub classes: usize,
}

/// What can be told of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is.
    pub kind: Kind,
    /// The backbone it holds completely.
    pub backbone: Option<Backbone>,
    /// Its classifier or, without one, its class centres.
    pub classifier: Option<Classifier>,
}

impl StateDict {
    /// What the file is.
    pub fn identity(&self) -> Identity {
        let tensors = self.plain_tensors().unwrap_or_default();
        let backbone = Backbone::fitting(|name| Some(tensors.get(name)?.1.shape.as_slice()));
        let format = self.metadata().get("format").map(String::as_str).unwrap_or_default();
        let kind = if format.starts_with("centroids.checkpoint.") {
            Kind::Checkpoint
        } else if format.starts_with("centroids.model.") {
            Kind::Model
        } else if NECK.iter().all(|name| tensors.contains_key(name)) {
            Kind::Reference
        } else if backbone.is_some() {
            Kind::Backbone
        } else {
            Kind::Unknown
        };
        let classifier = CLASSIFIERS.iter().find_map(|name| {
            let (name, tensor) = tensors.get(name)?;
            let classes = *tensor.shape.first()?;
            Some(Classifier { name: (*name).to_owned(), classes })
        });
        Identity { kind, backbone, classifier }
    }

    /// The known backbone that shares most of its tensors with the file, and those it does not find
    /// there; `None` if that is more than half of them.
    pub fn nearest_backbone(&self) -> Option<(Backbone, Vec<String>)> {
        let tensors = self.plain_tensors().ok()?;
        let missing = |backbone: Backbone| {
            let shapes = backbone.shapes();
            let found = |name: &str| Some(&tensors.get(name)?.1.shape);
            let half = shapes.len() / 2;
            let lacking = shapes.into_iter().filter(|(name, shape)| found(name) != Some(shape));
            let lacking: Vec<String> = lacking.map(|(name, _)| name).collect();
            (lacking.len() <= half).then_some((backbone, lacking))
        };
        let candidates = Backbone::ALL.into_iter().filter_map(missing);
        candidates.min_by_key(|(_, missing)| missing.len())
    }

    /// Name in the file and tensor, by the name without what wrappers put before it.
    ///
    /// # Errors
    /// Two tensors that differ in their wrappers alone.
    pub(super) fn plain_tensors(&self) -> Result<BTreeMap<&str, (&str, &RawTensor)>, Error> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.tensors() {
            let plain = plain(name);
            if tensors.insert(plain, (name.as_str(), tensor)).is_some() {
                let reason = format!("has `{plain}` under two prefixes");
                return Err(Error::File { path: self.path().to_owned(), reason });
            }
        }
        Ok(tensors)
    }
}

/// Whether the file has a trained neck and embeds as it is: a checkpoint of ours or the
/// reference's, in contrast to weights of a backbone, which start a training.
///
/// # Errors
/// A file that cannot be read; see [`StateDict::read`].
pub fn is_trained_checkpoint(path: &Path) -> Result<bool, Error> {
    Ok(StateDict::read(path)?.identity().kind.is_trained())
}
