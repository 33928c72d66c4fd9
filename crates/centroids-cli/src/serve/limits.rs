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

    /// A place for a request.
    ///
    /// # Errors
    /// 429 where none is free.
    fn take(&self) -> Result<Place, Problem> {
        self.acquire(1)
    }

    /// Places for all pictures of a request but the first, which has the request's.
    ///
    /// # Errors
    /// 413 for more than there are, 429 where so many are not free.
    pub(crate) fn take_others(&self, pictures: usize) -> Result<Place, Problem> {
        if pictures > self.all {
            let most = self.all;
            return Err(Problem::too_large(format!("at most {most} pictures fit into a request")));
        }
        self.acquire(pictures.saturating_sub(1))
    }

    fn acquire(&self, count: usize) -> Result<Place, Problem> {
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
    let place = app.places.take()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_were_set() {
        let status = |refused: Result<Place, Problem>| refused.unwrap_err().status().as_u16();
        let places = Places::new(3);
        let one = places.take().unwrap();
        assert_eq!(status(places.take_others(4)), 413);
        let others = places.take_others(3).unwrap();
        assert_eq!((places.taken(), status(places.take())), (3, 429));
        let copy = others.clone();
        drop(others);
        assert_eq!(places.taken(), 3, "a copy keeps them");
        drop((copy, one));
        assert_eq!(places.taken(), 0);
        assert_eq!(status(Places::new(1).take_others(2)), 413);
    }
}
