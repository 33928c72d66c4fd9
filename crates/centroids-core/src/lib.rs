//! Retrieval maths: everything between "an image has become a vector" and "this is how good the
//! search is". No neural network, no images, no command line.
//!
//! # The nouns
//!
//! | noun | what it is |
//! | --- | --- |
//! | [`Pid`], [`CamId`] | identity and camera as the dataset numbers them |
//! | [`Embeddings`] | `n` vectors of `d` dimensions with their pids, cameras and paths; [`Embeddings::load`] and [`Embeddings::save`] keep them in a file |
//! | [`Distance`], [`Metric`] | how two vectors are compared; smaller is nearer |
//! | [`ClassSums`], [`centroids()`] | mean embedding of each identity, with or without one camera |
//! | [`Unit`], [`CameraRule`], [`Preset`] | what is ranked, and which images may not count |
//! | [`evaluate()`], [`Report`] | mAP, mINP and CMC of a query set against a gallery |
//! | [`rank()`], [`Ranking`] | the nearest images or identities of many queries, as evaluation sees them |
//! | [`rerank`], [`KReciprocal`], [`Expansion`] | better rankings from the neighbourhoods of their vectors |
//! | [`search()`], [`Hit`] | the nearest images or identities of one vector |
//! | [`doctor::examine`], [`doctor::Findings`] | what is wrong with a gallery |
//! | [`verify()`], [`Roc`] | how well the distance tells pairs of one identity from pairs of two |
//! | [`intervals()`], [`compare_paired()`] | what other queries might have made of an evaluation, and of the difference of two |
//! | [`principal_plane()`] | vectors on a plane, to look at |
//! | [`open_set()`], [`calibrate()`], [`Calibration`] | searches for identities that the gallery lacks: how often they are noticed, and from which distance on |
//!
//! # The flow
//!
//! ```text
//! embedding file ─▶ Embeddings (query) ───┐
//!                                         ├─▶ evaluate ─▶ Report
//! embedding file ─▶ Embeddings (gallery) ─┤
//!                      │                  └─▶ search ─▶ Vec<Hit>
//!                      └─▶ ClassSums ─▶ camera-safe centroids
//! ```
//!
//! Gallery images are grouped into *candidates*, the units that are ranked: an image, or an identity
//! represented by its nearest image or its mean. Each query orders its candidates by distance, and
//! by gallery order where distances are equal; the metrics depend on that order only.
//!
//! # Example
//!
//! ```
//! use centroids_core::{CamId, CameraRule, Embeddings, Metric, Pid, Unit, evaluate, search};
//!
//! let set = |rows: &[([f32; 2], i64, u32)]| {
//!     Embeddings::new(
//!         2,
//!         rows.iter().flat_map(|(vector, ..)| *vector).collect(),
//!         rows.iter().map(|&(_, pid, _)| Pid(pid)).collect(),
//!         rows.iter().map(|&(.., camera)| Some(CamId(camera))).collect(),
//!         rows.iter().map(|(vector, ..)| format!("{vector:?}.jpg")).collect(),
//!     )
//! };
//! let query = set(&[([1.0, 0.0], 7, 0)])?;
//! let gallery = set(&[
//!     ([1.0, 0.0], 7, 0), // the query's own camera: does not count
//!     ([0.8, 0.6], 7, 1),
//!     ([0.9, -0.3], 8, 1), // a wrong identity, nearer than the right one
//! ])?;
//!
//! let report = evaluate(&query, &gallery, Unit::Instance, CameraRule::Market, &Metric::default())?;
//! assert_eq!((report.map, report.rank(1), report.rank(5)), (0.5, 0.0, 1.0));
//!
//! // Searching has no identity to compare with, so nothing of the camera is offered.
//! let hits = search(query.row(0), Some(CamId(0)), &gallery, 10, Unit::Centroid, &Metric::default())?;
//! assert_eq!(hits.iter().map(|hit| hit.pid).collect::<Vec<_>>(), [Pid(8), Pid(7)]);
//! # Ok::<(), centroids_core::Error>(())
//! ```

mod names;

mod ids;

mod embeddings;

mod values;

pub mod atomic_file;
pub mod embedding_file;

mod distance;

mod centroid;

mod protocol;

mod candidates;

mod comparison;

mod tiles;

mod nearest;

mod evaluate;

mod search;

pub mod rerank;

pub mod doctor;

mod roc;
mod verification;

mod bootstrap;
mod per_query;

mod calibration;
mod open_set;

mod projection;

mod error;

pub use atomic_file::write_atomically;
pub use bootstrap::{
    Bootstrap, CONFIDENCE_LEVEL, Difference, Estimate, Interval, PairedComparison, compare_paired,
    intervals,
};
pub use calibration::{
    Calibration, CalibrationTargets, Confidence, IdentificationThreshold, Verdict,
    VerificationThreshold, calibrate,
};
pub use centroid::{CentroidOf, CentroidsInParts, ClassSums, centroids};
pub use distance::Distance;
pub use embedding_file::{Concatenated, FileFault, NpyValues, concatenate, write_npy};
pub use embeddings::Embeddings;
pub use error::{Error, NoValidQuery};
pub use evaluate::{
    BlockScores, Labels, Report, SHOWN_RANKS, evaluate, evaluate_distances, evaluate_grid,
    evaluate_preset, score_grid, score_preset,
};
pub use ids::{CamId, Pid, pids_from_names};
pub use open_set::{
    IdentificationPoint, OPEN_SET_RATES, OpenSet, OpenSetRate, UnknownBy, Unknowns, open_set,
};
pub use per_query::{Figure, PerQuery, QueryResult};
pub use projection::{Projection, principal_plane};
pub use protocol::{CameraRule, Metric, Preset, Unit};
pub use rerank::{Expansion, KReciprocal};
pub use roc::{AtRate, Roc, RocPoint};
pub use search::{Hit, RankedQuery, Ranking, rank, search};
pub use verification::{VERIFICATION_RATES, Verification, VerificationReport, verify};
