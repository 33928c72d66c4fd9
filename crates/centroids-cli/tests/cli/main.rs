//! The command line, run as a user runs it.

#![expect(clippy::unwrap_used, reason = "a failing helper is a failing test")]

/// `bench embed`.
mod bench_embed;

/// `bench train`.
mod bench_train;

/// `embed --shards`, `--status`, `--merge`; archives and lists of URLs.
mod bulk;

/// A tiny catalogue and a tiny trained run, made once and shared.
mod catalogue;

/// `data inspect` and `data synth`.
mod data;

/// `demo`, at its smallest.
mod demo;

/// What is refused: one line, exit code, nothing half-written.
mod errors;
mod evaluation;

/// `export`, compared with ONNX Runtime where there is one.
mod export;

/// `gallery doctor`.
mod gallery_doctor;

/// What a user of the reference types.
mod migration;

/// Training in half precision.
mod mixed_precision;

/// Help and completions.
mod help;

/// `index`, and `search --store`.
mod index;

/// `embed` and `search` as the reference's create_embeddings and get_similar.
mod inference;

/// Which crate may depend on what.
mod layers;

/// embed → search → evaluate.
mod pipeline;

/// `data prepare`.
mod prepare;

/// Other vector units and other numbers of threads.
mod processors;

/// `evaluate --visualize`, and what units cost.
mod rank_pictures;

/// `evaluate --rerank`, `--query-expansion` and `--dba`.
mod refine;

/// Faults once found by hand, and what beside them must stay as it is.
mod regressions;

/// `report`.
mod report;

/// Interrupt, kill, resume.
mod resume;

/// What TensorBoard and MLflow read.
mod run_logs;

/// The scripts that stand for those of the NPU port.
mod scripts;

/// `serve`.
mod serve;

/// `serve` when clients, disks and processes fail it.
mod serve_faults;

/// The examples of docs/http-api.md.
mod http_api;

/// A server and a client.
mod service;

/// Intervals, comparisons, verification, open sets and calibrated searches.
mod unknown;

/// Training from published weights.
mod pretrained;

/// `weights inspect` and `weights convert`, and the reference's checkpoints as models.
mod weights;
