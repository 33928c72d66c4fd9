//! The command line, run as a user runs it.

#![expect(clippy::unwrap_used, reason = "a failing helper is a failing test")]

/// A tiny catalogue and a tiny trained run, made once and shared.
mod catalogue;

/// `data inspect` and `data synth`.
mod data;

/// `demo`, at its smallest.
mod demo;

/// What is refused: one line, exit code, nothing half-written.
mod errors;

/// Help and completions.
mod help;

/// `embed` and `search` as the reference's create_embeddings and get_similar.
mod inference;

/// Which crate may depend on what.
mod layers;

/// embed → search → evaluate.
mod pipeline;

/// Other vector units and other numbers of threads.
mod processors;

/// `evaluate --visualize`, and what units cost.
mod rank_pictures;

/// Faults once found by hand, and what beside them must stay as it is.
mod regressions;

/// Interrupt, kill, resume.
mod resume;

/// Training from published weights.
mod pretrained;
