//! What can go wrong in this crate.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::embedding_file::FileFault;
use crate::ids::{CamId, Pid};

/// Errors of this crate. Messages name the file or field and say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Vectors without dimensions cannot be compared.
    #[error("embeddings have 0 dimensions: at least one is needed")]
    ZeroDimensions,

    /// The values are not `rows` times `dim` numbers.
    #[error("{values} values do not fill {rows} embeddings of {dim} dimensions")]
    ValueCount {
        /// How many numbers were given.
        values: usize,
        /// How many embeddings the other lists speak of.
        rows: usize,
        /// Dimensions of each embedding.
        dim: usize,
    },

    /// A list that goes with the embeddings is longer or shorter than the others.
    #[error("`{list}` has {found} entries for {rows} embeddings: every embedding needs one")]
    ListLength {
        /// Name of the list.
        list: &'static str,
        /// Its length.
        found: usize,
        /// How many embeddings there are.
        rows: usize,
    },

    /// NaN or infinity among the values; distances to it would mean nothing.
    #[error(
        "embedding {row} ({path}) holds {value} in dimension {column}: every value must be finite, \
         embed this image again with a model that has not diverged"
    )]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Image of that row.
        path: String,
        /// Dimension, from 0.
        column: usize,
        /// The value found.
        value: f32,
    },

    /// Query and gallery cannot be compared.
    #[error(
        "query has {query} dimensions but gallery has {gallery}: embed both with the same model"
    )]
    DimensionMismatch {
        /// Dimensions of the query.
        query: usize,
        /// Dimensions of the gallery, or of the sums kept for it.
        gallery: usize,
    },

    /// No query has an image to find, so no metric is defined.
    #[error("{0}")]
    NoValidQuery(NoValidQuery),

    /// Nothing to tell apart.
    #[error(
        "verification needs pairs of one identity and pairs of two, but {genuine} and {impostors} \
         count under this camera rule"
    )]
    NoPairs {
        /// Pairs of one identity.
        genuine: u64,
        /// Pairs of two identities.
        impostors: u64,
    },

    /// No queries of one of the kinds that an open-set evaluation is about.
    #[error(
        "an open set needs queries with and without a mate in the gallery, but there are {known} and \
         {unknown}: add queries of identities that the gallery lacks, or hold out a share of its \
         identities"
    )]
    NoOpenSet {
        /// Queries whose identity is in the gallery.
        known: usize,
        /// Queries whose identity is not.
        unknown: usize,
    },

    /// Too few queries without a mate for a threshold at this rate.
    #[error(
        "{unknown} queries without a mate cannot measure a false-positive identification rate of \
         {target}: at least {needed} can; choose a higher rate, a larger unknown share, or more data"
    )]
    TooFewUnknown {
        /// How many there are.
        unknown: usize,
        /// The rate.
        target: f64,
        /// How many there must be.
        needed: u64,
    },

    /// What was read is no calibration.
    #[error("no calibration ({0}): make one with `centroids calibrate`")]
    BadCalibration(String),

    /// A calibration for another kind of search.
    #[error("calibrated for {what} {theirs}, but this is {what} {ours}: calibrate for it")]
    OtherCalibration {
        /// In what they differ.
        what: &'static str,
        /// Of the calibration.
        theirs: String,
        /// Of the search.
        ours: String,
    },

    /// Figures that mean different things.
    #[error("figures of {ours} do not compare with those of {theirs}: evaluate both alike")]
    OtherProtocol {
        /// The first protocol.
        ours: String,
        /// The second.
        theirs: String,
    },

    /// Queries that cannot be told apart by their paths.
    #[error("query `{query}` is there twice: a paired comparison needs a path for each query")]
    QueryTwice {
        /// The path.
        query: String,
    },

    /// Two evaluations of different query images.
    #[error(
        "no query is in both evaluations ({} here, {} there): evaluate the same query images",
        quoted(ours),
        quoted(theirs)
    )]
    NoCommonQuery {
        /// A query of the first.
        ours: Option<String>,
        /// A query of the second.
        theirs: Option<String>,
    },

    /// An image was to be taken out of sums it is not in.
    #[error("no image of pid {pid} from camera {} is in the sums: nothing to remove", camera_name(*.camid))]
    NotAMember {
        /// Identity of the image.
        pid: Pid,
        /// Camera of the image.
        camid: Option<CamId>,
    },

    /// A number that is out of its range.
    #[error("`{name}` is {found}: it must be {wanted}")]
    BadSetting {
        /// Name of the setting.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },

    /// A name that is none of the known ones.
    #[error("unknown {what} `{name}`: use one of {}", .known.join(", "))]
    UnknownName {
        /// What the name was to choose.
        what: &'static str,
        /// The name given.
        name: String,
        /// The names that exist.
        known: &'static [&'static str],
    },

    /// A file could not be read; the source says why.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// A file could not be written; the source says why. What was there before is untouched.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// A file was read but is not a sound embedding file.
    #[error("{}: {fault}", .path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
}

fn quoted(query: &Option<String>) -> String {
    query.as_ref().map_or_else(|| "none".to_owned(), |query| format!("`{query}`"))
}

fn camera_name(camid: Option<CamId>) -> String {
    camid.map_or_else(|| "unknown".to_owned(), |camid| camid.to_string())
}

/// Why none of the queries counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoValidQuery {
    /// How many queries there are.
    pub queries: usize,
    /// Queries that are junk themselves (pid −1).
    pub junk: usize,
    /// Queries whose pid is not in the gallery.
    pub absent: usize,
    /// Queries whose pid is in the gallery, but only with images that the camera rule leaves out.
    pub left_out: usize,
}

impl fmt::Display for NoValidQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queries, junk, absent, left_out } = self;
        if *queries == 0 {
            return f.write_str("there is no query: nothing to evaluate");
        }
        write!(
            f,
            "none of the {queries} queries has a match in the gallery, so nothing can be evaluated:"
        )?;
        let reasons = [
            (junk, "are junk (pid -1)"),
            (
                absent,
                "have a pid that the gallery lacks (are the pids of both files numbered alike?)",
            ),
            (
                left_out,
                "match only images that the camera rule leaves out (`--cameras any` ignores cameras)",
            ),
        ];
        let named: Vec<String> = reasons
            .into_iter()
            .filter(|(count, _)| **count > 0)
            .map(|(count, reason)| format!(" {count} {reason}"))
            .collect();
        f.write_str(&named.join(","))
    }
}
