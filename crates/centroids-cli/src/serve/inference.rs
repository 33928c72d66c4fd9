//! The one thread that owns the model: pictures of many requests go through the network together.
//!
//! A forward pass uses all cores already, so more threads would only get into each other's way;
//! throughput comes from batches. The queue is bounded: what does not fit is refused at once, and the
//! client told to come back.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use centroids::data::InputSpec;
use centroids::model::parse_device;
use centroids::pipeline::{ModelFile, open_model};
use tokio::sync::oneshot;

use super::problem::Problem;

/// How pictures are gathered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batching {
    /// Pictures that may wait.
    pub(crate) queue: usize,
    /// Most pictures of a forward pass.
    pub(crate) batch: usize,
    /// How long a picture waits for others while the network is idle.
    pub(crate) patience: Duration,
}

/// What is known of the model without asking its thread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelInfo {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    pub(crate) dim: usize,
    pub(crate) input: InputSpec,
}

/// A prepared picture on its way to the network.
struct Picture {
    /// `[3, h, w]`
    values: Vec<f32>,
    /// What it was prepared for.
    input: InputSpec,
    answer: oneshot::Sender<Result<Vec<f32>, Problem>>,
}

type Task = Box<dyn FnOnce(&mut ModelFile) + Send>;

enum Work {
    Embed(Picture),
    /// Anything else that needs the model.
    Run(Task),
}

/// A handle to the thread.
#[derive(Clone)]
pub(crate) struct Inference {
    work: SyncSender<Work>,
    model: Arc<RwLock<Arc<ModelInfo>>>,
    device: Arc<str>,
}

impl Inference {
    /// Opens the model on a thread of its own, which ends with the last handle.
    ///
    /// # Errors
    /// Those of the model, or of a device that is not there.
    pub(super) fn start(model: &Path, device: &str, batching: Batching) -> anyhow::Result<Self> {
        let (work, inbox) = sync_channel(batching.queue);
        let (ready, opened) = sync_channel(1);
        let (path, device_name) = (model.to_owned(), device.to_owned());
        thread::Builder::new().name("inference".to_owned()).spawn(move || {
            match open(&path, &device_name) {
                Ok(model) => {
                    let _ = ready.send(Ok(info(&model)));
                    run(model, &inbox, batching);
                }
                Err(error) => _ = ready.send(Err(error)),
            }
        })?;
        let model = Arc::new(RwLock::new(Arc::new(opened.recv()??)));
        Ok(Self { work, model, device: device.into() })
    }

    /// The model at this moment.
    pub(super) fn model(&self) -> Arc<ModelInfo> {
        self.model.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Embeds prepared pictures, `[3, h, w]` each, together with those of other requests.
    ///
    /// # Errors
    /// 429 when not all of them fit into the queue.
    pub(super) async fn embed(
        &self,
        pictures: Vec<Vec<f32>>,
        input: InputSpec,
    ) -> Result<Vec<Vec<f32>>, Problem> {
        let mut answers = Vec::with_capacity(pictures.len());
        for values in pictures {
            let (answer, answered) = oneshot::channel();
            self.send(Work::Embed(Picture { values, input, answer }))?;
            metrics::gauge!("embed_queue_depth").increment(1);
            answers.push(answered);
        }
        let mut vectors = Vec::with_capacity(answers.len());
        for answer in answers {
            vectors.push(answer.await.map_err(|_| Problem::internal("the inference thread"))??);
        }
        Ok(vectors)
    }

    /// Runs something with the model, in turn with the pictures that wait.
    ///
    /// # Errors
    /// 429 when the queue is full.
    pub(super) async fn with_model<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut ModelFile) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, answered) = oneshot::channel();
        self.send(Work::Run(Box::new(move |model| _ = answer.send(task(model)))))?;
        answered.await.map_err(|_| Problem::internal("the inference thread"))
    }

    /// Opens the model's file again; the old model stays if the new one is refused.
    ///
    /// # Errors
    /// Those of the file, and whatever `accept` says against the model.
    pub(super) async fn reload(
        &self,
        accept: impl FnOnce(&ModelInfo) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Arc<ModelInfo>> {
        let (device, shared) = (self.device.clone(), self.model.clone());
        let reloaded = self.with_model(move |current| {
            let new = open(&current.path, &device)?;
            let new_info = Arc::new(info(&new));
            accept(&new_info)?;
            *current = new;
            *shared.write().unwrap_or_else(PoisonError::into_inner) = new_info.clone();
            Ok(new_info)
        });
        reloaded.await.map_err(|problem| anyhow::anyhow!("{problem:?}"))?
    }

    fn send(&self, work: Work) -> Result<(), Problem> {
        self.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => Problem::too_many(),
            TrySendError::Disconnected(_) => Problem::internal("the inference thread is gone"),
        })
    }
}

fn open(path: &Path, device: &str) -> anyhow::Result<ModelFile> {
    Ok(open_model(path, &parse_device(device)?)?)
}

fn info(model: &ModelFile) -> ModelInfo {
    ModelInfo {
        path: model.path.clone(),
        name: model.embedder.backbone().backbone.to_string(),
        fingerprint: model.embedder.fingerprint(),
        dim: model.embedder.dim(),
        input: *model.embedder.input(),
    }
}

/// Takes work until all handles are gone.
fn run(mut model: ModelFile, inbox: &Receiver<Work>, batching: Batching) {
    let mut waiting: VecDeque<Picture> = VecDeque::new();
    while let Ok(work) = inbox.recv() {
        let mut next = Some(work);
        let deadline = Instant::now() + batching.patience;
        while let Some(work) = next.take() {
            match work {
                Work::Run(task) => task(&mut model),
                Work::Embed(picture) => {
                    metrics::gauge!("embed_queue_depth").decrement(1);
                    waiting.push_back(picture);
                }
            }
            if waiting.len() < batching.batch {
                let left = deadline.saturating_duration_since(Instant::now());
                next = inbox.recv_timeout(left).ok();
            }
        }
        if !waiting.is_empty() {
            embed(&model, waiting.drain(..));
        }
    }
}

/// One forward pass, with the pictures that were prepared for this model.
fn embed(model: &ModelFile, pictures: impl Iterator<Item = Picture>) {
    let input = *model.embedder.input();
    let (fitting, others): (Vec<_>, Vec<_>) = pictures.partition(|picture| picture.input == input);
    for picture in others {
        let _ = picture.answer.send(Err(Problem::too_many())); // of the model before
    }
    if fitting.is_empty() {
        return;
    }
    let ([height, width], start) = (input.size, Instant::now());
    let values = fitting.iter().flat_map(|picture| &picture.values).copied().collect();
    let vectors = model.embedder.embed_batch(values, [fitting.len(), 3, height, width]); // [n, dim]
    metrics::histogram!("stage_duration_seconds", "stage" => "embed").record(start.elapsed());
    metrics::histogram!("embed_batch_size").record(fitting.len() as f64);
    for (picture, vector) in fitting.into_iter().zip(vectors.chunks_exact(model.embedder.dim())) {
        // Nobody may be waiting any more.
        let _ = picture.answer.send(Ok(vector.to_vec()));
    }
}
