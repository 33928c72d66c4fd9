//! Vectors made by running the reference. `CENTROIDS_GOLDEN` names the folder (default
//! `../shared/golden` beside the workspace); without it every test says so and passes.
//!
//! Nothing about the cases stands here: names, shapes and tolerances come from the manifests.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may stop at once and say why")]

mod allocation;
mod backbones;
mod checkpoints;
mod formula;
mod inference;
mod losses;
mod real;
mod schedule;
mod support;
mod train;
