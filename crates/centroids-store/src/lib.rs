//! The gallery that lives: images come, go and change their identity, and every class centroid is
//! right at once and still there after a crash.
//!
//! # The nouns
//!
//! | noun | what it is |
//! | --- | --- |
//! | [`Gallery`] | members, class sums and search behind one trait, whatever engine keeps them |
//! | [`EmbeddedGallery`] | the engine for one machine: one SQLite file, search in memory |
//! | `MilvusGallery` | the engine for what is larger: a Milvus server (feature `milvus`) |
//! | [`open_gallery`], [`create_gallery`] | the engine that a location names |
//! | [`Settings`] | what is fixed when a gallery is made: dimensions, model, metric, precision |
//! | [`NewMember`], [`Member`] | an image in the gallery: embedding, identity, camera, time, weight |
//! | [`Selection`], [`Filter`] | which members are meant, and which may count |
//! | [`SearchOptions`], [`Answer`] | what to look for, and what was found |
//!
//! # The flow
//!
//! ```text
//! NewMember ─▶ add ─┬─▶ member ──────────────────┐
//!                   └─▶ part: Σ per (pid, camid) ┴─▶ centroid ─▶ rows in memory ─▶ search
//! ```
//!
//! A part is the `f64` sum of a pid's images from one camera. The centroid of an identity without a
//! camera is the mean over its other parts, so adding, removing or moving an image costs `O(d)` and
//! needs no second copy of anything. All of it changes in the transaction that changes the member.
//!
//! # Example
//!
//! ```
//! use centroids_core::{CamId, Pid};
//! use centroids_store::{
//!     AddOptions, EmbeddedGallery, Gallery, NewMember, SearchOptions, Selection, Settings,
//! };
//!
//! let folder = tempfile::tempdir()?;
//! let gallery = EmbeddedGallery::create(&folder.path().join("shop.gallery"), &Settings::new(2))?;
//! let shoe = |key: &str, embedding| NewMember::new(key, Pid(7), Some(CamId(0)), embedding);
//! let bag = |key: &str, embedding| NewMember::new(key, Pid(8), Some(CamId(1)), embedding);
//! gallery.add(
//!     &[
//!         shoe("a.jpg", vec![1.0, 0.0]),
//!         shoe("b.jpg", vec![0.6, 0.8]),
//!         bag("c.jpg", vec![0.0, 1.0]),
//!     ],
//!     AddOptions::default(),
//! )?;
//!
//! let find = || gallery.search(&[&[0.0, 1.0]], &SearchOptions::default());
//! assert_eq!(find()?[0].hits[0].pid, Pid(8));
//! gallery.remove(&Selection::Keys(vec!["c.jpg".to_owned()]))?;
//! assert_eq!(find()?[0].hits[0].pid, Pid(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;

mod settings;

mod member;

mod gallery;

mod question;

mod precision;

mod part;

mod encoded;

mod ranking;

mod scan;

mod subdivision;

mod approximation;

#[cfg(feature = "usearch")]
mod graph;
#[cfg(not(feature = "usearch"))]
#[path = "no_graph.rs"]
mod graph;

mod embedded;

#[cfg(feature = "milvus")]
mod milvus;

mod location;

#[cfg(feature = "parquet")]
mod parquet_file;
#[cfg(not(feature = "parquet"))]
#[path = "no_parquet.rs"]
mod parquet_file;

pub use approximation::Approximation;
pub use embedded::{EmbeddedGallery, OpenOptions};
pub use error::Error;
pub use gallery::{
    AddOptions, ClassInfo, Gallery, Known, OnConflict, Selection, Stats, Verification,
};
pub use location::{create_gallery, open_gallery};
pub use member::{Added, ClassRef, ContentHash, Member, MemberId, NewMember};
#[cfg(feature = "milvus")]
pub use milvus::MilvusGallery;
pub use parquet_file::{ParquetMember, ParquetMembers, write_parquet};
pub use precision::Precision;
pub use question::{Answer, Example, Filter, Hit, SearchOptions};
pub use settings::{FORMAT_VERSION, Settings};
