//! Embedding in fixed parts, by any number of workers that know nothing of each other.
//!
//! ```text
//! list of images ──cut──▶ BulkPlan ──part p──▶ embed_parts ──▶ part-00012.safetensors ─┐ merge_parts
//!   (sorted, the same        plan.json             (worker p mod n)  part-00012.json   ├───────────▶ file
//!    for every worker)                                               …                ─┘ merge_centroids
//! ```
//!
//! Where the cuts are depends on the list and the number of parts only, and an embedding on its image
//! only. So who makes a part, and how often, does not matter: everybody writes the same bytes.

mod folder;
mod merge;
mod part;
mod plan;

pub use folder::{BulkFolder, PartState};
pub use merge::{merge_centroids, merge_parts};
pub use part::{BulkJob, BulkReport, embed_parts};
pub use plan::{BulkPlan, PartNote};
