//! What can go wrong with a gallery.

use std::io;
use std::path::PathBuf;

use centroids_core::Pid;

use crate::settings::FORMAT_VERSION;

/// Errors of this crate. Messages name the file or field and say what to do; after each the gallery
/// is as it was before the call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written; the source says why.
    #[error("cannot open {}", .path.display())]
    Open {
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

    /// A file to import that is not sound.
    #[error("{}: {reason}", .path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Built without Parquet.
    #[error(
        "{}: this build reads and writes no Parquet; build it with `--features parquet`, or use \
         .safetensors", .path.display()
    )]
    NoParquet {
        /// The file.
        path: PathBuf,
    },

    /// Built without approximate search.
    #[error(
        "this build searches exactly only: build it with `--features usearch` (it wants a C++ \
         compiler), or leave approximate search out"
    )]
    NoUsearch,

    /// The graph of an approximate search could not be made or used.
    #[error("approximate search: {reason}; exact search does without it")]
    Approximate {
        /// What `usearch` says.
        reason: String,
    },

    /// There is no gallery.
    #[error("{}: there is no gallery; make one with `centroids index create`", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },

    /// Something is there already.
    #[error("{}: exists already; choose another name or remove it first", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },

    /// Another kind of file.
    #[error("{}: {what}; give a file made by `centroids index create`", .path.display())]
    NotAGallery {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },

    /// Written by a later version.
    #[error(
        "{}: written by a newer version (format {found}, this one reads {FORMAT_VERSION}): upgrade \
         centroids", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },

    /// What the file holds contradicts itself.
    #[error(
        "{}: damaged ({problem}): `centroids index verify` says where, a copy or an export brings \
         it back", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },

    /// Nothing can be written there.
    #[error("{}: cannot be written (read-only file or file system)", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },

    /// No space is left.
    #[error("{}: the disk is full; nothing of this step was kept, make room and repeat it", .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },

    /// Another process held the gallery for too long.
    #[error(
        "{}: another process has been writing for {seconds} s; try again when it is done",
        .path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },

    /// Anything else the database reports.
    #[error("{}: {message}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Its words.
        message: String,
    },

    /// Built without Milvus.
    #[error("{location}: this build knows no Milvus; build it with `--features milvus`")]
    NoMilvus {
        /// The address.
        location: String,
    },

    /// No address of a gallery.
    #[error("{location}: {reason}; give milvus://host:port/name")]
    Address {
        /// What was given.
        location: String,
        /// What is wrong with it.
        reason: String,
    },

    /// No server answers, or not any more.
    #[error(
        "{location}: no Milvus server answers at {server} ({message}); start it or correct the \
         address, then repeat this: nothing is done twice"
    )]
    Unreachable {
        /// The address.
        location: String,
        /// Host and port.
        server: String,
        /// What the connection says.
        message: String,
    },

    /// The server refuses.
    #[error("{location}: {message}")]
    Remote {
        /// The address.
        location: String,
        /// Its words.
        message: String,
    },

    /// An impossible setting of a new gallery.
    #[error("{key}: {reason}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// A vector of other dimensions than the gallery's.
    #[error(
        "{what} has {found} dimensions, but the gallery {expected}: embed it with the gallery's model"
    )]
    Dimension {
        /// The member's key, or which query.
        what: String,
        /// Its dimensions.
        found: usize,
        /// The gallery's.
        expected: usize,
    },

    /// NaN or infinity, or a number beyond the gallery's precision.
    #[error(
        "{what} holds {value} in dimension {column}, which the gallery cannot keep: every value \
         must be finite (and at most 65504 where numbers have 16 bits)"
    )]
    NotFinite {
        /// The member's key, or which query.
        what: String,
        /// Dimension, from 0.
        column: usize,
        /// The value found.
        value: f32,
    },

    /// Vectors of another model than the gallery's.
    #[error(
        "{what} was embedded with {theirs}, but the gallery holds {ours}: embed it with the \
         gallery's model, or force it if they are the same"
    )]
    OtherModel {
        /// What was to be added or searched.
        what: String,
        /// Its model.
        theirs: String,
        /// The gallery's model.
        ours: String,
    },

    /// A member that cannot be kept.
    #[error("{key}: {reason}")]
    Member {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A key that is taken.
    #[error("{key}: is a member already, with another embedding; remove it first, or replace it")]
    Conflict {
        /// The key.
        key: String,
    },

    /// Junk is nobody's identity.
    #[error("pid {} is junk, no identity: remove the images instead", Pid::JUNK)]
    JunkClass,

    /// A filter that cannot be asked.
    #[error(
        "attribute `{key}`: filters compare with a text, a number, true, false or null, and keys \
         have no quotation marks"
    )]
    Filter {
        /// The attribute.
        key: String,
    },

    /// Embeddings that cannot be made of what the gallery holds.
    #[error(transparent)]
    Core(#[from] centroids_core::Error),
}
