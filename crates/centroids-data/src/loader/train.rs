//! Batches to learn from.

use std::ops::Range;
use std::sync::Arc;

use super::Buffers;
use crate::batch::TrainBatch;
use crate::decode::DEFAULT_MAX_PIXELS;
use crate::error::Error;
use crate::image_bytes::Files;
use crate::ordered_workers::{Cancelled, OrderedWorkers};
use crate::random_stream::{Purpose, random_stream};
use crate::record::ImageRecord;
use crate::sampler::Draw;
use crate::transform::TrainTransform;

/// How a training loader works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Threads; 0 counts as 1.
    pub workers: usize,
    /// Batches made ahead of the one asked for; at least one per thread.
    pub prefetch: usize,
    /// Seed of the augmentation.
    pub seed: u64,
    /// Epoch, for the augmentation.
    pub epoch: usize,
    /// Batches of the epoch already consumed: loading starts behind them, with the pixels the whole
    /// epoch has there.
    pub skip_batches: usize,
    /// Processes that share the epoch, each with as many places in a batch.
    pub world: usize,
    /// Which of them this is, from 0.
    pub rank: usize,
    /// Pixel limit of a picture.
    pub max_pixels: u64,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            prefetch: super::AHEAD_PER_WORKER,
            seed: 0,
            epoch: 0,
            skip_batches: 0,
            world: 1,
            rank: 0,
            max_pixels: DEFAULT_MAX_PIXELS,
        }
    }
}

/// Yields the batches of an epoch; see [`train_batches`].
pub struct TrainLoader {
    job: Arc<TrainJob>,
    next: usize,
    workers: OrderedWorkers<Range<usize>, Result<TrainBatch, Error>>,
}

/// Starts loading `batches` of one epoch, each a list of draws from `records`.
///
/// The augmentation of an image depends on seed, epoch, its position in the epoch of all processes
/// and itself. An image that cannot be read yields an error that names it, in place of its batch; the batches
/// behind it can still be had.
pub fn train_batches(
    records: Arc<[ImageRecord]>,
    batches: Vec<Vec<Draw>>,
    transform: TrainTransform,
    options: LoaderOptions,
) -> TrainLoader {
    let job = Arc::new(TrainJob { records, batches, transform, options });
    let indices = options.skip_batches..job.batches.len();
    let worker = || {
        let (job, mut buffers) = (job.clone(), Buffers::default());
        move |index, cancelled: &Cancelled| job.batch(index, &mut buffers, cancelled)
    };
    let ahead = options.prefetch.max(options.workers);
    let workers = OrderedWorkers::new(indices, options.workers, ahead, worker);
    TrainLoader { job, next: options.skip_batches, workers }
}

impl Iterator for TrainLoader {
    type Item = Result<TrainBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.workers.next()?;
        let index = self.next;
        self.next += 1;
        Some(result.unwrap_or_else(|_| {
            let first = self.job.batches[index]
                .first()
                .map(|draw| self.job.records[draw.record].path.clone());
            Err(Error::WorkerPanicked { first: first.unwrap_or_default() })
        }))
    }
}

struct TrainJob {
    records: Arc<[ImageRecord]>,
    batches: Vec<Vec<Draw>>,
    transform: TrainTransform,
    options: LoaderOptions,
}

impl TrainJob {
    fn batch(
        &self,
        index: usize,
        buffers: &mut Buffers,
        cancelled: &Cancelled,
    ) -> Result<TrainBatch, Error> {
        let draws = &self.batches[index];
        let [height, width] = self.transform.input.size;
        let shape = [draws.len(), 3, height, width];
        let mut images = Vec::with_capacity(shape.iter().product());
        let LoaderOptions { world, rank, .. } = self.options;
        let before: usize = self.batches[..index].iter().map(Vec::len).sum();
        let first_position = before * world + rank * draws.len();
        for (position, draw) in (first_position..).zip(draws) {
            match draw.is_real && !cancelled.is_set() {
                true => self.append(draw.record, position, buffers, &mut images)?,
                false => images.resize(images.len() + 3 * height * width, 0.0),
            }
        }
        let records = draws.iter().map(|draw| &self.records[draw.record]);
        Ok(TrainBatch {
            images,
            shape,
            labels: draws.iter().map(|draw| draw.label).collect(),
            pids: records.clone().map(|record| record.pid).collect(),
            camids: records.map(|record| record.camid).collect(),
            is_real: draws.iter().map(|draw| draw.is_real).collect(),
        })
    }

    fn append(
        &self,
        record: usize,
        position: usize,
        buffers: &mut Buffers,
        images: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let LoaderOptions { seed, epoch, max_pixels, .. } = self.options;
        let image = buffers.decoder.decode(&self.records[record].path, &Files, max_pixels)?;
        let place = ((epoch as u64) << 32) | position as u64;
        let mut rng = random_stream(seed, Purpose::Augmentation, place, record as u64);
        let augmentation = self.transform.draw(&mut rng);
        self.transform.append(image, &augmentation, &mut buffers.resizer, images);
        Ok(())
    }
}
