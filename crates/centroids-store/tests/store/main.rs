//! Galleries on a real disk.

#![expect(clippy::unwrap_used, reason = "a failing helper is a failing test")]

/// Shared makers of galleries and members.
mod support;

/// Galleries on whatever engine can be tested here.
mod engines;

/// What every engine must do.
mod conformance;

/// Any history of changes gives the gallery that its last members give.
mod history;

/// Parquet and embedding files.
#[cfg(feature = "parquet")]
mod exchange;

/// Search against the brute force of `centroids-core`.
mod search;

/// Identities of several centroids.
mod sub_centroids;

/// Search through a graph.
mod approximate;

/// What members may be, and what becomes of them.
mod members;

/// Processes killed while they write.
mod durability;

/// Several processes at once.
mod processes;

/// Files that are none, or no longer, and disks that do not take them.
mod hostile;

/// Milvus servers that are killed, and those that are not there.
#[cfg(feature = "milvus")]
mod milvus_server;

/// What verification finds and mends.
mod verification;

/// Galleries that earlier versions wrote.
mod versions;
