//! Image retrieval by class centroids, from raw images to answers.
//!
//! An [`Experiment`] says what to train on and how. [`train`] turns it into a run folder
//! ([`RunDir`]), [`open_model`] opens the run's model, [`embed_records`] makes embeddings of images,
//! [`evaluate_all`] measures them, [`search_images`] searches with them. The crates underneath are
//! re-exported: [`core`] (maths), [`data`] (images), [`model`] (tensors), [`store`] (the gallery that
//! survives).

mod config;
mod error;
mod files;
mod object_store;
pub mod pipeline;
pub mod processes;
mod run_dir;
mod run_log;

pub use centroids_core as core;
pub use centroids_data as data;
pub use centroids_model as model;
pub use centroids_store as store;
pub use config::{
    DataloaderSection, DatasetSection, Experiment, InputSection, ModelSection, Monitor,
    SolverSection, TestSection,
};
pub use error::Error;
pub use pipeline::{embed_records, evaluate_all, open_model, resume, search_images, train};
pub use run_dir::RunDir;
