//! The checkpoint file: weights, optimiser state and position of a run in one safetensors file.
//!
//! Metadata: `format = "centroids.checkpoint.v1"`, `backbone`, `input`, `pids`, `records`, `position` (JSON)
//! and `config` (the experiment's TOML, verbatim). The random generators have no state of their
//! own: they are seeded by (seed, epoch, position), so the position is all there is to keep.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use centroids_core::Pid;
use centroids_data::InputSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::trainer::{EpochSums, LossScale};
use crate::weights::{RawTensor, StateDict, Tensors, save_tensors};
use crate::{BackboneOptions, Error};

pub(crate) const FORMAT: &str = "centroids.checkpoint.v1";

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Complete epochs.
    pub epoch: usize,
    /// Complete steps of the next one.
    pub step: usize,
    /// Processes that share a step.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub processes: usize,
    /// Optimiser steps over all epochs.
    pub optimizer_steps: u64,
    /// Only in f16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Metric sums of the incomplete epoch.
    pub sums: EpochSums,
}

impl Default for Position {
    fn default() -> Position {
        let (sums, processes) = (EpochSums::default(), one());
        Position { epoch: 0, step: 0, processes, optimizer_steps: 0, loss_scale: None, sums }
    }
}

fn one() -> usize {
    1
}

fn is_one(processes: &usize) -> bool {
    *processes == 1
}

/// A checkpoint in memory.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The file it was read from; empty for a new one.
    pub path: PathBuf,
    /// Model tensors under the reference's names, `adam.m.*`, `adam.v.*`.
    pub tensors: Tensors,
    /// The network.
    pub backbone: BackboneOptions,
    /// Preprocessing.
    pub input: InputSpec,
    /// Training identities; the index is the class.
    pub pids: Vec<Pid>,
    /// Fingerprint of the training images.
    pub records: u64,
    /// Where the run stood.
    pub position: Position,
    /// The experiment's TOML.
    pub config: String,
}

impl Checkpoint {
    /// Writes a temporary file beside `path`, syncs and renames it.
    ///
    /// # Errors
    /// [`Error::Io`]; an older file of that name is then untouched.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let tensors = self.tensors.iter().map(|(name, array)| (name.clone(), array));
        save_tensors(path, tensors, self.metadata())
    }

    /// What [`Checkpoint::save`] writes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        safetensors::serialize(&self.tensors, Some(self.metadata())).map_err(|error| Error::File {
            path: self.path.clone(),
            reason: format!("cannot be packed: {error}"),
        })
    }

    fn metadata(&self) -> HashMap<String, String> {
        HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("backbone".to_owned(), to_json(&self.backbone)),
            ("input".to_owned(), to_json(&self.input)),
            ("pids".to_owned(), to_json(&self.pids)),
            ("records".to_owned(), to_json(&self.records)),
            ("position".to_owned(), to_json(&self.position)),
            ("config".to_owned(), self.config.clone()),
        ])
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A missing, truncated or foreign file, or one of a newer version; NaN or infinite weights.
    pub fn load(path: &Path) -> Result<Checkpoint, Error> {
        Checkpoint::of(&StateDict::read(path)?)
    }

    /// The checkpoint in a file that was read.
    ///
    /// # Errors
    /// See [`Checkpoint::load`].
    pub fn of(file: &StateDict) -> Result<Checkpoint, Error> {
        let error = |reason: String| Error::File { path: file.path().to_owned(), reason };
        let metadata = file.metadata();
        match metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(crate::trained_model::FORMAT) => {
                return Err(error(
                    "is a trained model without the state of its training, which cannot go on; a \
                     new one can start from it (model.pretrain_path)"
                        .to_owned(),
                ));
            }
            Some(other) if other.starts_with("centroids.") => {
                return Err(error(format!("has format `{other}`, this version reads `{FORMAT}`")));
            }
            _ => return Err(error("is not a checkpoint of `centroids train`".to_owned())),
        }
        let array = |(name, tensor): (&String, &RawTensor)| match tensor.to_array() {
            Ok(array) => Ok((name.clone(), array)),
            Err(reason) => Err(error(format!("tensor `{name}` {reason}"))),
        };
        let (backbone, input) = read_spec(metadata).map_err(error)?;
        Ok(Checkpoint {
            path: file.path().to_owned(),
            tensors: file.tensors().iter().map(array).collect::<Result<_, _>>()?,
            backbone,
            input,
            pids: from_json(metadata, "pids").map_err(error)?,
            records: from_json(metadata, "records").map_err(error)?,
            position: read_position(metadata).map_err(error)?,
            config: metadata.get("config").cloned().unwrap_or_default(),
        })
    }

    /// # Errors
    /// When the run began with other identities or other images.
    pub(crate) fn check_dataset(&self, pids: &[Pid], records: u64) -> Result<(), Error> {
        let reason = if self.pids != pids {
            let (theirs, ours) = (self.pids.len(), pids.len());
            format!("was trained on {theirs} identities, the dataset has {ours} or other ones")
        } else if self.records != records {
            "was trained on other images than the dataset has now".to_owned()
        } else {
            return Ok(());
        };
        let reason = format!("{reason}; resume with the dataset the run began with");
        Err(Error::File { path: self.path.clone(), reason })
    }
}

/// Sides of an image that a network can take; beyond them is a mistake or an attack.
pub const IMAGE_SIDES: RangeInclusive<usize> = 16..=4096;

/// Network and preprocessing that metadata speak of.
pub(crate) fn read_spec(
    metadata: &BTreeMap<String, String>,
) -> Result<(BackboneOptions, InputSpec), String> {
    let (backbone, input) = (from_json(metadata, "backbone")?, from_json(metadata, "input")?);
    check_input(&backbone, &input)?;
    Ok((backbone, input))
}

/// # Errors
/// What no network or no image can be.
pub(crate) fn check_input(backbone: &BackboneOptions, input: &InputSpec) -> Result<(), String> {
    backbone.check().map_err(|error| format!("has {error}"))?;
    if !input.size.iter().all(|side| IMAGE_SIDES.contains(side)) {
        let (least, most) = (IMAGE_SIDES.start(), IMAGE_SIDES.end());
        return Err(format!("has images of {:?}, sides must be {least} to {most}", input.size));
    }
    let usable = |std: &f32| std.is_finite() && *std > 0.0 && (1.0 / std).is_finite();
    if !input.std.iter().all(usable) || !input.mean.iter().all(|mean| mean.is_finite()) {
        return Err("has a mean or a standard deviation that no image can be divided by".into());
    }
    Ok(())
}

fn read_position(metadata: &BTreeMap<String, String>) -> Result<Position, String> {
    let position: Position = from_json(metadata, "position")?;
    match &position.loss_scale {
        Some(scale) if !scale.is_sound() => Err("has an impossible loss scale".to_owned()),
        _ => Ok(position),
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(
    metadata: &BTreeMap<String, String>,
    key: &str,
) -> Result<T, String> {
    let text = metadata.get(key).ok_or_else(|| format!("lacks the metadata entry `{key}`"))?;
    serde_json::from_str(text).map_err(|error| format!("has a bad metadata entry `{key}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backbone;
    use crate::weights::Array;

    fn checkpoint() -> Checkpoint {
        let array = Array { shape: vec![2, 1], values: vec![1.5, -0.25] };
        let position = Position {
            epoch: 3,
            step: 2,
            processes: 2,
            optimizer_steps: 40,
            loss_scale: Some(LossScale::default()),
            ..Position::default()
        };
        Checkpoint {
            path: PathBuf::new(),
            tensors: Tensors::from([("bn.weight".to_owned(), array)]),
            backbone: BackboneOptions {
                backbone: Backbone::ResNet18,
                last_stride: 1,
                stem_relu: false,
            },
            input: InputSpec::default(),
            pids: vec![Pid(2), Pid(7)],
            records: u64::MAX,
            position,
            config: "seed = 1\n".to_owned(),
        }
    }

    #[test]
    fn keeps_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let saved = checkpoint();
        saved.save(&path).unwrap();
        let loaded = Checkpoint::load(&path).unwrap();
        assert_eq!(loaded.tensors, saved.tensors);
        assert_eq!((&loaded.position, loaded.records), (&saved.position, saved.records));
        assert!(saved.check_dataset(&saved.pids, u64::MAX).is_ok());
        assert!(saved.check_dataset(&saved.pids, 1).is_err());
        assert!(saved.check_dataset(&[Pid(2)], u64::MAX).is_err());
        assert_eq!((loaded.backbone, loaded.input), (saved.backbone, saved.input));
        assert_eq!((loaded.pids, loaded.config), (saved.pids, saved.config));
        assert!(loaded.path == path && std::fs::read_dir(folder.path()).unwrap().count() == 1);
    }

    #[test]
    fn refuses_what_is_no_checkpoint_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Checkpoint::load(&path).unwrap_err().to_string()
        };
        let metadata =
            |format: &str| Some(HashMap::from([("format".to_owned(), format.to_owned())]));
        let file = |metadata| safetensors::serialize(&checkpoint().tensors, metadata).unwrap();
        let whole = file(metadata(FORMAT));
        for cut in [0, 4] {
            assert!(error(&whole[..cut]).contains("weights are expected"), "{cut}");
        }
        for cut in [20, whole.len() - 1] {
            assert!(error(&whole[..cut]).contains("not a complete safetensors file"), "{cut}");
        }
        assert!(error(&whole).contains("lacks the metadata entry"));
        assert!(error(&file(None)).contains("not a checkpoint"));
        assert!(error(&file(metadata("centroids.checkpoint.v9"))).contains("this version reads"));
        let mut nan = checkpoint();
        nan.tensors.insert("bn.bias".to_owned(), Array { shape: vec![1], values: vec![f32::NAN] });
        nan.save(&path).unwrap();
        let message = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(message.contains("bn.bias") && message.contains("NaN"), "{message}");
        assert!(Checkpoint::load(&folder.path().join("none")).is_err());
    }
}
