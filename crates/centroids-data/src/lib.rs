//! Images on disk → batches of plain numbers.
//!
//! # Overview
//!
//! ```text
//! DatasetSource ──load──▶ Dataset { train, query, gallery : [ImageRecord { path, pid, camid }] }
//!  (a Layout and a root)     │                                  │
//!                  LabelMap, PkSampler                          │ paths
//!                            │ epoch: batches of Draw           │
//!                            ▼                                  ▼
//!                      train_batches                      embed_batches          threads, in order
//!                            │      decode_file ─▶ RgbImage     │
//!                            │ TrainTransform                   │ EvalTransform
//!                            ▼                                  ▼
//!                       TrainBatch                          EmbedBatch           f32 [n, 3, h, w]
//! ```
//!
//! - A [`Layout`] says how a dataset lies on disk; [`DatasetSource::load`] turns it into a
//!   [`Dataset`] of [`ImageRecord`]s by [`Split`], with a list of oddities. [`inspect_files`] looks
//!   into the files as well.
//! - [`load_all`] and [`Dataset::join`] train on several at once.
//! - [`PkSampler`] draws epochs of batches with P identities and K images each ([`Draw`]);
//!   [`LabelMap`] numbers the identities.
//! - [`ImageBytes`] is where the bytes of images come from: [`Files`], or [`ImageSources`], which knows
//!   members of tar archives ([`read_archive`]) and URLs ([`read_url_list`]) as well.
//! - [`decode_file`] reads a picture strictly, [`transform`] makes the network's input from it.
//! - [`train_batches`] and [`embed_batches`] do both on threads that work ahead; what they deliver
//!   depends on the seed only.
//! - [`prepare`] makes public datasets ready: pictures as JPEG, boxes cut out, COCO-style lists.
//! - [`RankPainter`] shows rankings as pictures, [`thumbnail`] makes small ones for a page.
//! - [`synth`] makes a whole dataset out of nothing: a catalogue of drawn products seen by several
//!   cameras.
//!
//! Nothing here knows of tensors: a batch is a vector and a shape.
//!
//! ```
//! use centroids_data::{DatasetSource, EvalTransform, InputSpec, Layout, embed_batches};
//! use centroids_data::synth::{SynthConfig, synthesize};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let dir = temporary.path().join("catalogue");
//! let config = SynthConfig { train_ids: 4, test_ids: 3, ..SynthConfig::default() };
//! synthesize(&dir, &config, &mut |_done, _total| ())?;
//!
//! let dataset = DatasetSource::new(Layout::detect(&dir)?, &dir).load()?;
//! assert_eq!(dataset.table()[0].identities, 4);
//!
//! let paths: Vec<_> = dataset.query.iter().map(|record| record.path.clone()).collect();
//! let transform = EvalTransform(InputSpec { size: [64, 64], ..InputSpec::default() });
//! for item in embed_batches(paths, 8, transform, 2, centroids_data::DEFAULT_MAX_PIXELS) {
//!     assert!(item.failures.is_empty());
//!     assert_eq!(item.batch.images.len(), item.batch.shape.iter().product::<usize>());
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod record;

mod archive;
mod dataset;
mod join;
mod label_map;
mod layout;
mod listing;
mod name_pattern;
mod oddity;
mod pid_rule;
mod url_list;

mod decode;
mod image_bytes;
mod image_sources;
mod rank_picture;
mod rgb_image;
mod thumbnail;
pub mod transform;

mod random_stream;
mod sampler;

mod batch;
mod loader;
mod ordered_workers;

pub mod prepare;

pub mod synth;

pub use archive::{ArchivedImages, read_archive};
pub use batch::{EmbedBatch, TrainBatch};
pub use dataset::{Dataset, Split, SplitSummary};
pub use decode::{DEFAULT_MAX_PIXELS, decode_bytes, decode_file};
pub use error::Error;
pub use image_bytes::{Files, ImageBytes, ImageList, MAX_IMAGE_BYTES};
pub use image_sources::ImageSources;
pub use join::load_all;
pub use label_map::LabelMap;
pub use layout::{DEFAULT_HOLDOUT, DatasetSource, Layout};
pub use listing::{list_images, list_others};
pub use loader::{
    EmbedItem, EmbedLoader, LoaderOptions, TrainLoader, embed_batches, train_batches,
};
pub use oddity::inspect_files;
pub use pid_rule::PidRule;
pub use rank_picture::{RankHit, RankPainter, RankRow, encode_png, write_png, write_rank_sheet};
pub use record::ImageRecord;
pub use rgb_image::RgbImage;
pub use sampler::{Draw, PkOptions, PkSampler};
pub use thumbnail::{shrink, thumbnail};
pub use transform::{Augmentation, EvalTransform, InputSpec, Resizer, TrainTransform};
pub use url_list::{read_url_list, scheme};
