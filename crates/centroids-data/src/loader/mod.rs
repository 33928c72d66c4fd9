//! Threads that decode, transform and stack images into batches while the network computes.
//!
//! Batches come in the order asked for, and their pixels depend on the seed only: neither the
//! number of threads nor their pace shows. Dropping a loader stops and joins its threads.

mod embed;
mod train;

pub use embed::{EmbedItem, EmbedLoader, embed_batches};
pub use train::{LoaderOptions, TrainLoader, train_batches};

use crate::decode::ImageDecoder;
use crate::transform::Resizer;

/// What a thread keeps from picture to picture.
#[derive(Default)]
struct Buffers {
    decoder: ImageDecoder,
    resizer: Resizer,
}

/// Batches made ahead per thread when nothing else is asked for: one in work, one waiting.
const AHEAD_PER_WORKER: usize = 2;
