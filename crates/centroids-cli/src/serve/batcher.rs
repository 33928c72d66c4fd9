//! Pictures of concurrent requests through the network together.
//!
//! One thread embeds: a forward pass uses all cores already, so that several at once would only
//! share them, while one pass over many pictures is faster than many over one. What arrives during a
//! pass makes the next batch. Before a pass the thread waits for pictures that are on their way, but
//! not longer than the budget, and not at all where there are none: who comes alone does not wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use centroids::pipeline::ModelFile;
use tokio::sync::oneshot;

use super::limits::Place;
use super::problem::Problem;

/// How batches are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batching {
    /// Pictures of a pass.
    pub(crate) size: usize,
    /// How long the first picture of a batch may wait for others.
    pub(crate) budget: Duration,
}

/// The way to the thread that embeds. It ends with the last of these.
pub(crate) struct Batcher {
    jobs: Sender<Job>,
    coming: Arc<AtomicUsize>,
}

/// Prepared pictures, `[n, 3, height, width]`.
#[derive(Default)]
pub(crate) struct Prepared {
    /// Their values.
    pub(crate) values: Vec<f32>,
    /// How many they are.
    pub(crate) count: usize,
}

struct Job {
    pictures: Prepared,
    answer: oneshot::Sender<Result<Vec<Vec<f32>>, Failure>>,
    /// Taken until the work is done, though the client may have gone.
    _places: Vec<Place>,
}

/// Why nothing was embedded.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Panicked,
    NotFinite,
}

/// Pictures that are on their way: the next batch waits a little for them.
pub(crate) struct Coming(Arc<AtomicUsize>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Batcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(model: Arc<ModelFile>, batching: Batching) -> std::io::Result<Batcher> {
        let (jobs, queue) = channel();
        let coming = Arc::new(AtomicUsize::new(0));
        let worker = Worker { model, batching, queue, coming: coming.clone() };
        thread::Builder::new().name("embedder".to_owned()).spawn(move || worker.run())?;
        Ok(Batcher { jobs, coming })
    }

    /// Announces pictures.
    pub(crate) fn announce(&self) -> Coming {
        self.coming.fetch_add(1, Ordering::Relaxed);
        Coming(self.coming.clone())
    }

    /// Embeds pictures: `count` vectors of `[dim]`.
    ///
    /// # Errors
    /// 500, a fault of the model.
    pub(crate) async fn embed(
        &self,
        pictures: Prepared,
        places: Vec<Place>,
        coming: Coming,
    ) -> Result<Vec<Vec<f32>>, Problem> {
        if pictures.count == 0 {
            return Ok(Vec::new());
        }
        let (answer, result) = oneshot::channel();
        // Before the job is sent, so that the thread does not wait for what it has.
        drop(coming);
        let sent = self.jobs.send(Job { pictures, answer, _places: places });
        sent.map_err(|_| Problem::internal("the embedding thread has ended"))?;
        match result.await {
            Ok(Ok(vectors)) => Ok(vectors),
            Ok(Err(Failure::NotFinite)) => {
                Err(Problem::internal("the model made a vector that is not finite"))
            }
            Ok(Err(Failure::Panicked)) | Err(_) => {
                Err(Problem::internal("the model failed on this picture"))
            }
        }
    }
}

struct Worker {
    model: Arc<ModelFile>,
    batching: Batching,
    queue: Receiver<Job>,
    coming: Arc<AtomicUsize>,
}

impl Worker {
    fn run(self) {
        while let Ok(first) = self.queue.recv() {
            let mut jobs = self.gather(first);
            // Nobody waits for these any more.
            jobs.retain(|job| !job.answer.is_closed());
            self.embed(jobs);
        }
    }

    fn gather(&self, first: Job) -> Vec<Job> {
        let deadline = Instant::now() + self.batching.budget;
        let (mut count, mut jobs) = (first.pictures.count, vec![first]);
        while count < self.batching.size {
            let next = match self.coming.load(Ordering::Relaxed) {
                0 => self.queue.try_recv().ok(),
                _ => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.queue.recv_timeout(left).ok()
                }
            };
            let Some(job) = next else { break };
            count += job.pictures.count;
            jobs.push(job);
        }
        jobs
    }

    fn embed(&self, jobs: Vec<Job>) {
        let values: Vec<&[f32]> = jobs.iter().map(|job| &job.pictures.values[..]).collect();
        let result = catch_unwind(AssertUnwindSafe(|| self.passes(&values.concat())));
        let mut rows = match result {
            Ok(Ok(vectors)) => Ok(vectors.into_iter()),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::Panicked),
        };
        for job in jobs {
            let mine = match &mut rows {
                Ok(rows) => Ok(rows.take(job.pictures.count).collect()),
                Err(failure) => Err(*failure),
            };
            // A client that has gone wants no answer.
            let _ = job.answer.send(mine);
        }
    }

    /// `[n, 3, height, width]` → n vectors, in batches of at most the size set.
    fn passes(&self, images: &[f32]) -> Result<Vec<Vec<f32>>, Failure> {
        let embedder = &self.model.embedder;
        let [height, width] = embedder.input().size;
        let picture = 3 * height * width;
        let mut vectors = Vec::with_capacity(images.len() / picture);
        for batch in images.chunks(picture * self.batching.size) {
            let (start, count) = (Instant::now(), batch.len() / picture);
            let values = embedder.embed_batch(batch.to_vec(), [count, 3, height, width]);
            metrics::histogram!("embed_seconds").record(start.elapsed());
            metrics::histogram!("embed_batch_size").record(count as f64);
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Failure::NotFinite);
            }
            vectors.extend(values.chunks_exact(embedder.dim()).map(<[f32]>::to_vec));
        }
        Ok(vectors)
    }
}
