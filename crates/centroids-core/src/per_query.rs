//! An evaluation query by query: what resampling and comparing two models start from.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::embeddings::Embeddings;
use crate::evaluate::Report;
use crate::protocol::{CameraRule, Preset, Unit};

/// Metrics of one query that had something to find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryResult {
    /// Path of the query image.
    pub query: String,
    /// Average precision.
    #[serde(rename = "AP")]
    pub average_precision: f64,
    /// Inverse negative penalty.
    #[serde(rename = "INP")]
    pub inverse_negative_penalty: f64,
    /// Rank of the first relevant image or identity, from 1.
    pub first_rank: usize,
}

/// The results of all valid queries under one protocol. It is read back from the JSON of an
/// evaluation, which may hold more than this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerQuery {
    /// What was ranked.
    pub unit: Unit,
    /// What was left out.
    pub cameras: CameraRule,
    /// The preset, if one was evaluated.
    pub preset: Option<Preset>,
    /// Images or identities ranked.
    pub gallery_units: usize,
    /// In the order of the queries; those without anything to find are left out.
    pub per_query: Vec<QueryResult>,
}

impl PerQuery {
    /// Takes the report of these queries apart.
    pub fn new(report: &Report, query: &Embeddings) -> Self {
        let values = report.average_precision.iter().zip(&report.inverse_negative_penalty);
        let per_query = query.paths().iter().zip(values).zip(&report.first_rank);
        let per_query = per_query.filter_map(|((path, (ap, inp)), first_rank)| {
            Some(QueryResult {
                query: path.clone(),
                average_precision: (*ap)?,
                inverse_negative_penalty: (*inp)?,
                first_rank: (*first_rank)?,
            })
        });
        Self {
            unit: report.unit,
            cameras: report.cameras,
            preset: report.preset,
            gallery_units: report.gallery_units,
            per_query: per_query.collect(),
        }
    }

    /// Whether figures of both may be compared: the same question about a gallery of the same size.
    pub fn is_comparable(&self, other: &Self) -> bool {
        let protocol = |of: &Self| (of.unit, of.cameras, of.preset, of.gallery_units);
        protocol(self) == protocol(other)
    }

    /// The question in words.
    pub fn protocol(&self) -> String {
        let Self { unit, cameras, preset, gallery_units, .. } = self;
        let preset = preset.map_or_else(String::new, |preset| format!(" ({preset})"));
        format!("{unit} under {cameras}{preset} over {gallery_units} gallery units")
    }
}

/// A figure that is a mean over queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Mean average precision.
    Map,
    /// Mean inverse negative penalty.
    Minp,
    /// Share of queries with something relevant among the first k.
    Rank(usize),
}

impl Figure {
    /// mAP, rank-k for these k, mINP: in the order of tables.
    pub fn all(ranks: &[usize]) -> Vec<Self> {
        let ranks = ranks.iter().map(|&k| Self::Rank(k));
        [Self::Map].into_iter().chain(ranks).chain([Self::Minp]).collect()
    }

    /// What one query adds to the mean.
    pub fn of(self, result: &QueryResult) -> f64 {
        match self {
            Self::Map => result.average_precision,
            Self::Minp => result.inverse_negative_penalty,
            Self::Rank(k) => f64::from(u8::from(result.first_rank <= k)),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map => f.pad("mAP"),
            Self::Minp => f.pad("mINP"),
            Self::Rank(k) => f.pad(&format!("rank-{k}")),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
