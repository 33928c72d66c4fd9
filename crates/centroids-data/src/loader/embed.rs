//! Batches to embed.

use std::ops::Range;
use std::sync::Arc;

use super::Buffers;
use crate::batch::EmbedBatch;
use crate::error::Error;
use crate::image_bytes::ImageList;
use crate::ordered_workers::{Cancelled, OrderedWorkers};
use crate::transform::EvalTransform;

/// A batch and what could not be read for it.
#[derive(Debug)]
pub struct EmbedItem {
    /// The images that could be read.
    pub batch: EmbedBatch,
    /// Entries of the list given that could not, with the reason.
    pub failures: Vec<(usize, Error)>,
}

/// Yields the images of a list in batches; see [`embed_batches`].
pub struct EmbedLoader {
    job: Arc<EmbedJob>,
    next: usize,
    workers: OrderedWorkers<Range<usize>, EmbedItem>,
}

/// Starts loading `images` in batches of `batch_size` (0 counts as 1), in their order.
///
/// Images that cannot be read are reported beside the batch they are missing from; the rest goes
/// on.
pub fn embed_batches(
    images: impl Into<ImageList>,
    batch_size: usize,
    transform: EvalTransform,
    workers: usize,
    max_pixels: u64,
) -> EmbedLoader {
    let (images, batch_size) = (images.into(), batch_size.max(1));
    let job = Arc::new(EmbedJob { images, batch_size, transform, max_pixels });
    let indices = 0..job.images.paths.len().div_ceil(job.batch_size);
    let worker = || {
        let (job, mut buffers) = (job.clone(), Buffers::default());
        move |index, cancelled: &Cancelled| job.item(index, &mut buffers, cancelled)
    };
    let ahead = super::AHEAD_PER_WORKER * workers.max(1);
    let workers = OrderedWorkers::new(indices, workers, ahead, worker);
    EmbedLoader { job, next: 0, workers }
}

impl Iterator for EmbedLoader {
    type Item = EmbedItem;

    fn next(&mut self) -> Option<EmbedItem> {
        let result = self.workers.next()?;
        let index = self.next;
        self.next += 1;
        Some(result.unwrap_or_else(|_| self.job.lost(index)))
    }
}

struct EmbedJob {
    images: ImageList,
    batch_size: usize,
    transform: EvalTransform,
    max_pixels: u64,
}

impl EmbedJob {
    fn item(&self, index: usize, buffers: &mut Buffers, cancelled: &Cancelled) -> EmbedItem {
        let mut item = self.empty();
        let [height, width] = self.transform.0.size;
        item.batch.images.reserve_exact(self.rows(index).len() * 3 * height * width);
        let ImageList { paths, bytes } = &self.images;
        bytes.expect(&paths[self.rows(index)]);
        for row in self.rows(index) {
            if cancelled.is_set() {
                break;
            }
            match buffers.decoder.decode(&paths[row], &**bytes, self.max_pixels) {
                Ok(image) => {
                    self.transform.append(image, &mut buffers.resizer, &mut item.batch.images);
                    item.batch.rows.push(row);
                }
                Err(error) => item.failures.push((row, error)),
            }
        }
        item.batch.shape[0] = item.batch.rows.len();
        item
    }

    /// Every row of a batch whose thread panicked.
    fn lost(&self, index: usize) -> EmbedItem {
        let mut item = self.empty();
        let rows = self.rows(index);
        let error = || Error::WorkerPanicked { first: self.images.paths[rows.start].clone() };
        item.failures = rows.clone().map(|row| (row, error())).collect();
        item
    }

    fn rows(&self, index: usize) -> Range<usize> {
        let start = index * self.batch_size;
        start..(start + self.batch_size).min(self.images.paths.len())
    }

    fn empty(&self) -> EmbedItem {
        let [height, width] = self.transform.0.size;
        let batch =
            EmbedBatch { images: Vec::new(), shape: [0, 3, height, width], rows: Vec::new() };
        EmbedItem { batch, failures: Vec::new() }
    }
}
