//! The processes of an MPI job, through any MPI library.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ::mpi::Threading;
use ::mpi::collective::SystemOperation;
use ::mpi::environment::{Universe, initialize_with_threading};
use ::mpi::request::scope;
use ::mpi::topology::{Process, SimpleCommunicator};
use ::mpi::traits::{Communicator as _, CommunicatorCollectives as _, Root as _};
use centroids_model::Workers;

use crate::Error;

/// Bytes of one broadcast: MPI counts in 32 bits.
const LARGEST_MESSAGE: usize = 1 << 30;
/// Between two looks whether process 0 has something to tell.
const POLL: Duration = Duration::from_millis(1);

/// The processes of this job, from [`Mpi::start`] to [`Mpi::finish`].
///
/// MPI ends when all processes finish. One that fails must not wait for that, so without `finish`
/// MPI is left open: the launcher sees a process end that did not finish, and ends the others.
pub struct Mpi {
    universe: RefCell<Option<Universe>>,
    world: SimpleCommunicator,
    watchdog: Watchdog,
}

impl Mpi {
    /// Meets the other processes that the launcher started. When one of them does not answer for too
    /// long, `stalled` is called, from another thread; it should end the process.
    ///
    /// # Errors
    /// When MPI runs already in this process.
    pub fn start(stalled: impl FnOnce() + Send + 'static) -> Result<Mpi, Error> {
        let Some((universe, _)) = initialize_with_threading(Threading::Funneled) else {
            return Err(Error::Processes { reason: "MPI was started before".to_owned() });
        };
        let world = universe.world();
        let watchdog = Watchdog::start(stalled);
        Ok(Mpi { universe: RefCell::new(Some(universe)), world, watchdog })
    }

    /// Parts from the others, once all are here.
    pub fn finish(&self) {
        drop(self.universe.take());
    }

    /// Ends this process and the others.
    pub fn abort(&self) -> ! {
        self.world.abort(1)
    }

    fn leader(&self) -> Process<'_> {
        self.world.process_at_rank(0)
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        std::mem::forget(self.universe.take());
    }
}

impl Workers for Mpi {
    fn rank(&self) -> usize {
        usize::try_from(self.world.rank()).unwrap_or_default()
    }

    fn size(&self) -> usize {
        usize::try_from(self.world.size()).unwrap_or(1)
    }

    fn sum(&self, values: &mut [f32]) {
        let own = values.to_vec();
        let operation = SystemOperation::sum();
        self.watchdog.watch(|| self.world.all_reduce_into(own.as_slice(), values, operation));
    }

    fn gather(&self, own: &[f32]) -> Vec<f32> {
        let mut all = vec![0.0; own.len() * self.size()];
        self.watchdog.watch(|| self.world.all_gather_into(own, all.as_mut_slice()));
        all
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) {
        let mut length = [bytes.len() as u64];
        // Process 0 may evaluate for minutes: the others sleep meanwhile and leave it the cores.
        scope(|scope| {
            let mut request = self.leader().immediate_broadcast_into(scope, &mut length[..]);
            while let Err(waiting) = request.test() {
                request = waiting;
                sleep(POLL);
            }
        });
        bytes.resize(length[0] as usize, 0);
        bytes.chunks_mut(LARGEST_MESSAGE).for_each(|chunk| self.leader().broadcast_into(chunk));
    }

    fn wait_at_most(&self, limit: Duration) {
        self.watchdog.limit.store(milliseconds(limit), Ordering::Relaxed);
    }
}

/// Notices a call that does not come back.
struct Watchdog {
    start: Instant,
    /// Milliseconds that a call may take.
    limit: AtomicU64,
    /// When the call in progress has to be back, in milliseconds after `start`.
    deadline: Arc<AtomicU64>,
}

/// The deadline while nothing is waited for.
const NEVER: u64 = u64::MAX;

impl Watchdog {
    fn start(stalled: impl FnOnce() + Send + 'static) -> Watchdog {
        let (start, deadline) = (Instant::now(), Arc::new(AtomicU64::new(NEVER)));
        let watched = deadline.clone();
        std::thread::spawn(move || {
            while milliseconds(start.elapsed()) < watched.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(200));
            }
            stalled();
        });
        Watchdog { start, limit: AtomicU64::new(NEVER), deadline }
    }

    fn watch<T>(&self, call: impl FnOnce() -> T) -> T {
        let limit = self.limit.load(Ordering::Relaxed);
        let deadline = milliseconds(self.start.elapsed()).saturating_add(limit);
        self.deadline.store(deadline, Ordering::Relaxed);
        let result = call();
        self.deadline.store(NEVER, Ordering::Relaxed);
        result
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER)
}
