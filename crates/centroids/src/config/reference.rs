//! The keys of centroids-reid that are called otherwise here, or have no effect.

use toml::Value;

use super::overlay::literal;
use crate::Error;

/// What a key means here.
pub(super) enum Meaning {
    /// What its name says, if there is such a setting.
    Setting,
    /// Another setting with this value.
    Other(&'static str, Value),
    /// Nothing; the note says why where the user may expect something.
    Nothing(Option<String>),
}

/// Looks up a key in lower case.
///
/// # Errors
/// A value of a dead key that asks for something that is not done, e.g. another optimiser.
pub(super) fn meaning(key: &str, value: &Value) -> Result<Meaning, Error> {
    let note = |reason: &str| Ok(Meaning::Nothing(Some(format!("{key} has no effect: {reason}"))));
    let typed = value.as_str().map_or_else(|| value.clone(), literal);
    match key {
        "reproducible_seed" => Ok(Meaning::Other("seed", value.clone())),
        "reproducible_num_runs" => Ok(Meaning::Other("repeats", value.clone())),
        "gpu_ids" => gpu(&typed),
        "dataloader.sampler" => only(key, value, "random_identity"),
        "solver.optimizer_name" => only(key, value, "Adam"),
        "reproducible" if typed == Value::Boolean(false) => note("every run is seeded"),
        "dataloader.drop_last" if typed == Value::Boolean(false) => {
            note("every batch has P identities, there is no incomplete one")
        }
        "solver.use_automatic_optim" if typed == Value::Boolean(true) => {
            note("both optimisers step once per batch")
        }
        // Every file of the reference sets it; the size follows the backbone.
        "model.backbone_emb_size"
        | "reproducible"
        | "dataloader.drop_last"
        | "solver.use_automatic_optim" => Ok(Meaning::Nothing(None)),
        "log_dir" => note("the run folder is output_dir"),
        "solver.dist_backend" => note("several processes are started by mpirun"),
        "solver.momentum"
        | "solver.cluster_margin"
        | "solver.weight_decay_bias"
        | "solver.checkpoint_period"
        | "test.weight" => note("the reference never reads it"),
        _ => Ok(Meaning::Setting),
    }
}

/// A key whose only value is what is always done.
fn only(key: &str, value: &Value, done: &str) -> Result<Meaning, Error> {
    match value.as_str() {
        Some(name) if name.eq_ignore_ascii_case(done) => Ok(Meaning::Nothing(None)),
        _ => Err(Error::WrongType {
            key: key.to_owned(),
            expected: format!("\"{done}\", the only choice"),
            found: value.to_string(),
        }),
    }
}

/// The devices that a list of GPU numbers means in this build, one for each process.
fn gpu(ids: &Value) -> Result<Meaning, Error> {
    let wrong = |expected: &str| {
        let (key, expected) = ("gpu_ids".to_owned(), expected.to_owned());
        Err(Error::WrongType { key, expected, found: ids.to_string() })
    };
    let ids = match ids {
        Value::Array(ids) => ids.as_slice(),
        one => std::slice::from_ref(one),
    };
    let kind = centroids_model::COMPILED_GPUS.first();
    let device = |id: &Value| match (id.as_integer(), kind) {
        (Some(id @ 0..), Some(kind)) => Some(format!("{kind}:{id}")),
        (Some(0..), None) => Some("cpu".to_owned()),
        _ => None,
    };
    let Some(devices) = ids.iter().map(device).collect::<Option<Vec<String>>>() else {
        return wrong("a list of device numbers, e.g. [0]");
    };
    match devices.as_slice() {
        [] => Ok(Meaning::Other("device", Value::String("cpu".to_owned()))),
        [_] if kind.is_none() => Ok(Meaning::Nothing(Some(
            "gpu_ids has no effect: this build has no GPU back end, see `Devices` in README.md"
                .to_owned(),
        ))),
        devices => Ok(Meaning::Other("device", Value::String(devices.join(",")))),
    }
}
