//! Tests of the crate through its public interface.

#![expect(clippy::unwrap_used, reason = "a failing helper is a failing test")]

/// Finding and reading the golden vectors.
mod golden;

/// Evaluation as the reference does it, per query.
mod golden_evaluation;

/// Search as the reference's inference scripts do it.
mod golden_inference;

/// Small published cases of CMC and mAP.
mod published_vectors;

/// The protocols once more, slow and obvious: every query sorts an explicit list.
mod naive;

/// Evaluation and search against the naive form, on sets full of ties and oddities.
mod protocol_properties;

/// Queries scored in blocks against queries scored together.
mod query_blocks;

/// k-reciprocal re-ranking as it was published: every matrix in full.
mod dense_rerank;

/// Re-ranking and expansion against their dense form, on sets full of ties and oddities.
mod rerank_properties;

/// Centroids by subtraction against centroids made anew.
mod centroid_properties;

/// Embedding files: what is written is read, what is broken is refused by name.
mod embedding_files;

/// The doctor: planted faults are found, sound sets are left alone, and the numbers are right.
mod doctor;

/// What the doctor says of sets with almost nothing in them.
mod doctor_edges;

/// Verification against all pairs, sorted.
mod verification_properties;

/// Open set and calibration: against explicit lists, and on fresh data.
mod unknown_identities;
