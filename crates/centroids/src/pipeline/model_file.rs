//! A trained model opened for embedding, whatever file it is in.

use std::path::{Path, PathBuf};

use centroids_model::weights::StateDict;
use centroids_model::{Device, Embedder, TrainedModel};

use crate::{Error, Experiment, RunDir};

/// An embedder and the file it came from.
#[derive(Debug)]
pub struct ModelFile {
    /// The file.
    pub path: PathBuf,
    /// The model in it.
    pub embedder: Embedder,
    /// The settings it was trained with, as far as the file knows them.
    pub experiment: Experiment,
}

/// Opens a checkpoint or model file, a checkpoint of the reference (`.ckpt`), or the best (else the
/// last) checkpoint of a run folder.
///
/// # Errors
/// A path that is none of these, a broken file, weights without a trained neck.
pub fn open_model(path: &Path, device: &Device) -> Result<ModelFile, Error> {
    let path = weights_file(path)?;
    let model = TrainedModel::of(&StateDict::read(&path)?)?;
    let experiment = experiment_of(&model)?;
    Ok(ModelFile { embedder: Embedder::from_model(model, device)?, experiment, path })
}

/// The file meant by a path: itself, or the best (else the last) checkpoint of a run folder.
///
/// # Errors
/// A folder that is no run.
pub fn weights_file(path: &Path) -> Result<PathBuf, Error> {
    if path.is_dir() { Ok(RunDir::open(path)?.model()) } else { Ok(path.to_owned()) }
}

/// The settings a model was trained with. Of the reference's those that matter when it is used.
pub(super) fn experiment_of(model: &TrainedModel) -> Result<Experiment, Error> {
    let theirs = &model.hyper_parameters;
    let mut experiment = Experiment::parse(&model.config)
        .map_err(|source| Error::Config { path: model.path.clone(), source: source.into() })?;
    if !model.config.is_empty() {
        return Ok(experiment);
    }
    experiment.model.name = model.backbone.backbone.name().to_owned();
    experiment.model.last_stride = model.backbone.last_stride;
    experiment.input.size_train = model.input.size;
    experiment.input.size_test = model.input.size;
    experiment.input.pixel_mean = model.input.mean;
    experiment.input.pixel_std = model.input.std;
    let solver = &theirs["SOLVER"];
    if let Some(distance @ ("euclidean" | "cosine")) = solver["DISTANCE_FUNC"].as_str() {
        experiment.solver.distance_func = distance.to_owned();
    }
    if let Some(normalize) = theirs["TEST"]["FEAT_NORM"].as_bool() {
        experiment.test.feat_norm = normalize;
    }
    Ok(experiment)
}
