//! Threads that work ahead of a consumer and deliver in order.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

/// A flag by which work in progress learns that nobody wants it any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs jobs on threads, at most `ahead` of them beyond the one the consumer waits for, and yields
/// their results in the order of the jobs, whatever the number of threads.
///
/// Every job carries the channel for its own result, so order needs no sorting, and a job lost in a
/// panic shows as its channel closing. Dropping the iterator cancels, wakes and joins all threads.
pub(crate) struct OrderedWorkers<I: Iterator, R> {
    jobs: Fuse<I>,
    to_workers: Option<Sender<(I::Item, Sender<R>)>>,
    pending: VecDeque<Receiver<R>>,
    in_flight: usize,
    cancelled: Cancelled,
    threads: Vec<JoinHandle<()>>,
}

/// The job's thread panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

impl<I, R> OrderedWorkers<I, R>
where
    I: Iterator<Item: Send + 'static>,
    R: Send + 'static,
{
    /// Starts at least one thread; `worker` makes what each of them does with a job, which keeps its
    /// buffers from job to job, and should look at the flag now and then and return early when it is
    /// set.
    pub(crate) fn new<W>(jobs: I, workers: usize, ahead: usize, worker: impl Fn() -> W) -> Self
    where
        W: FnMut(I::Item, &Cancelled) -> R + Send + 'static,
    {
        let (to_workers, from_consumer) = unbounded::<(I::Item, Sender<R>)>();
        let cancelled = Cancelled::default();
        let spawn = |_| {
            let (jobs, cancelled) = (from_consumer.clone(), cancelled.clone());
            let mut work = worker();
            thread::spawn(move || {
                for (job, result) in jobs {
                    if cancelled.is_set() {
                        break;
                    }
                    // Nobody listens once the consumer is gone.
                    let _ = result.send(work(job, &cancelled));
                }
            })
        };
        let threads = (0..workers.max(1)).map(spawn).collect();
        let mut started = Self {
            jobs: jobs.fuse(),
            to_workers: Some(to_workers),
            pending: VecDeque::new(),
            in_flight: ahead + 1,
            cancelled,
            threads,
        };
        started.refill();
        started
    }

    fn refill(&mut self) {
        while self.pending.len() < self.in_flight
            && let Some(to_workers) = &self.to_workers
            && let Some(job) = self.jobs.next()
        {
            let (sender, receiver) = bounded(1);
            self.pending.push_back(receiver);
            // When all threads are gone the job is dropped and its channel says so.
            let _ = to_workers.send((job, sender));
        }
    }
}

impl<I, R> Iterator for OrderedWorkers<I, R>
where
    I: Iterator<Item: Send + 'static>,
    R: Send + 'static,
{
    type Item = Result<R, Lost>;

    fn next(&mut self) -> Option<Self::Item> {
        self.refill();
        let result = self.pending.pop_front()?.recv().map_err(|_| Lost);
        self.refill();
        Some(result)
    }
}

impl<I: Iterator, R> Drop for OrderedWorkers<I, R> {
    fn drop(&mut self) {
        self.cancelled.0.store(true, Ordering::Relaxed);
        self.to_workers = None;
        for thread in self.threads.drain(..) {
            // A panic was reported with the job that caused it.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    fn uneven_square(n: u64, _: &Cancelled) -> u64 {
        thread::sleep(Duration::from_micros(n * 7919 % 500));
        n * n
    }

    #[test]
    fn results_come_in_order_for_any_number_of_threads() {
        let wanted: Vec<u64> = (0..60).map(|n| n * n).collect();
        for (workers, ahead) in [(0, 0), (1, 0), (1, 5), (3, 1), (8, 100)] {
            let results = OrderedWorkers::new(0..60, workers, ahead, || uneven_square);
            assert_eq!(results.map(Result::unwrap).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn no_more_jobs_are_taken_than_allowed() {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = taken.clone();
        let jobs = (0..100_u64).inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let mut results = OrderedWorkers::new(jobs, 2, 3, || uneven_square);
        assert_eq!(taken.load(Ordering::SeqCst), 4);
        results.next();
        assert_eq!(taken.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn work_goes_on_while_the_consumer_is_busy_up_to_the_allowance() {
        let (done, all_done) = unbounded();
        let worker = || {
            let done = done.clone();
            move |n: u64, _: &Cancelled| {
                done.send(n).unwrap();
                n
            }
        };
        let mut results = OrderedWorkers::new(0..100_u64, 2, 3, worker);
        let next = |count| -> Vec<u64> {
            let wait = || all_done.recv_timeout(Duration::from_secs(10)).unwrap();
            std::iter::repeat_with(wait).take(count).collect()
        };
        assert_eq!(next(4).iter().sum::<u64>(), 1 + 2 + 3); // nothing was asked for so far
        results.next();
        assert_eq!(next(1), [4]);
        assert!(all_done.recv_timeout(Duration::from_millis(50)).is_err());
    }

    #[test]
    fn a_panic_costs_its_own_job_only() {
        let work = |n: u64, _: &Cancelled| assert_ne!(n, 1, "this panic belongs to the test");
        let results: Vec<_> = OrderedWorkers::new(0..4, 2, 2, || work).collect();
        assert_eq!(results, [Ok(()), Err(Lost), Ok(()), Ok(())]);
        let all_die = |_: u64, _: &Cancelled| -> u64 { panic!("this panic belongs to the test") };
        assert_eq!(OrderedWorkers::new(0..5, 1, 1, || all_die).count(), 5);
    }

    #[test]
    fn dropping_stops_work_in_progress() {
        let work = |_: u64, cancelled: &Cancelled| {
            while !cancelled.is_set() {
                thread::sleep(Duration::from_millis(1));
            }
        };
        drop(OrderedWorkers::new(0..1000, 3, 50, || work)); // returns only when all threads have ended
    }
}
