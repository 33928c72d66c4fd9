//! Options of `centroids evaluate` beyond rankings

use std::path::PathBuf;

use centroids::core::Unknowns;
use clap::Args;

use crate::values;

/// What an evaluation can tell beyond its averages.
#[derive(Args, Debug)]
#[command(next_help_heading = "Beyond averages")]
pub(crate) struct StatisticsArgs {
    /// Give 95 % intervals: how far mAP, rank-k and mINP would move with other queries, from N
    /// resamplings (N without a number: 1000).
    #[arg(long, num_args = 0..=1, default_missing_value = "1000", value_name = "N",
        value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) bootstrap: Option<u32>,
    /// Put AP, INP and first rank of each query into the JSON.
    #[arg(long)]
    pub(crate) per_query: bool,
    /// Compare with another model by the queries of both: what `evaluate --per-query --json` printed
    /// for it.
    #[arg(long, value_name = "JSON")]
    pub(crate) against: Option<PathBuf>,
    /// Verification: how well the distance tells pairs of one identity from pairs of two (AUC, EER,
    /// TPR at false positive rates).
    #[arg(long, conflicts_with = "preset")]
    pub(crate) verification: bool,
    /// Open set: how many queries are found (DIR) if only few queries without a mate may be answered
    /// (FPIR).
    #[arg(long, conflicts_with = "preset")]
    pub(crate) open_set: bool,
    /// Rates for --verification [default: 0.0001,0.001,0.01,0.1] and --open-set [default:
    /// 0.001,0.01,0.1]
    #[arg(long, value_name = "RATE,…", value_delimiter = ',', value_parser = values::rate)]
    pub(crate) rates: Vec<f64>,
    #[command(flatten)]
    pub(crate) unknown: UnknownArgs,
}

/// How queries without a mate are come by, and what else is drawn.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct UnknownArgs {
    /// Hold out this share of the identities, whose queries then have no mate; 0 = none [default:
    /// none where enough queries have none anyway, else 0.5]
    #[arg(long, value_name = "SHARE", value_parser = values::share)]
    pub(crate) unknown_share: Option<f64>,
    /// Seed of held-out identities and resampled queries.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

impl UnknownArgs {
    pub(crate) fn unknowns(self) -> Unknowns {
        Unknowns { share: self.unknown_share, seed: self.seed }
    }
}
