//! How much is taken on at a time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use super::state::Shared;

/// Places for requests and pictures; who finds none is told to come back.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

/// One or several places, kept until the last copy is dropped. Work that goes on after its client
/// has left holds one too.
#[derive(Clone, Debug)]
pub(crate) struct Place(
    #[expect(dead_code, reason = "given back when dropped")] Arc<OwnedSemaphorePermit>,
);

impl Places {
    pub(crate) fn new(all: usize) -> Places {
        Places { free: Arc::new(Semaphore::new(all)), all }
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.all - self.free.available_permits()
    }

    /// # Errors
    /// 429 where so many are not free, 413 where there never are.
    pub(crate) fn take(&self, count: usize) -> Result<Place, Problem> {
        if count >= self.all.max(2) {
            let most = self.all;
            return Err(Problem::too_large(format!("at most {most} pictures fit into a request")));
        }
        let taken = self.free.clone().try_acquire_many_owned(count as u32);
        taken.map(|permit| Place(Arc::new(permit))).map_err(|_| Problem::busy())
    }
}

/// Gives each request a place, found in its extensions, or turns it away.
pub(crate) async fn admit(
    State(app): State<Shared>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let place = app.places.take(1)?;
    request.extensions_mut().insert(place);
    Ok(next.run(request).await)
}

/// Runs what blocks (decoding, the gallery, files) on a thread of its own.
///
/// # Errors
/// 500 where it panics.
pub(crate) async fn blocking<T: Send + 'static>(
    place: Place,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    work.await.map_err(|error| Problem::internal(error.to_string()))
}
