//! The processes that train together, as the trainer sees them.

use std::rc::Rc;
use std::time::Duration;

/// Equal processes, each with a part of every batch. All call the same methods in the same order;
/// one that fails ends the others.
pub trait Workers {
    /// Which process this is, from 0. Process 0 alone writes files.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Every value becomes its sum over the processes, the same number in all of them.
    fn sum(&self, values: &mut [f32]);

    /// The `own` values of every process, in the order of their ranks; all have as many.
    fn gather(&self, own: &[f32]) -> Vec<f32>;

    /// `bytes` become those of process 0, for which the others wait as long as it takes.
    fn broadcast(&self, bytes: &mut Vec<u8>);

    /// How long the other methods wait for the slowest process before this one gives up, and the
    /// training with it.
    fn wait_at_most(&self, limit: Duration);

    /// Whether this is process 0.
    fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// Every value becomes its mean over the processes.
    fn mean(&self, values: &mut [f32]) {
        self.sum(values);
        let share = 1.0 / self.size() as f32;
        values.iter_mut().for_each(|value| *value *= share);
    }

    /// The `own` bytes of every process, however many it has, in the order of their ranks.
    fn gather_bytes(&self, own: &[u8]) -> Vec<Vec<u8>> {
        // Bits travel as they are, whatever number they would be.
        let bits = |value: f32| value.to_bits();
        let lengths = self.gather(&[f32::from_bits(own.len() as u32)]);
        let lengths: Vec<usize> = lengths.into_iter().map(|length| bits(length) as usize).collect();
        let words = lengths.iter().max().map_or(0, |most| most.div_ceil(4)).max(1);
        let mut padded = own.to_vec();
        padded.resize(4 * words, 0);
        let padded: Vec<f32> = padded
            .as_chunks()
            .0
            .iter()
            .map(|word| f32::from_bits(u32::from_le_bytes(*word)))
            .collect();
        let all = self.gather(&padded);
        let of_rank = |(words, length): (&[f32], usize)| {
            let bytes = words.iter().flat_map(|&word| bits(word).to_le_bytes());
            bytes.take(length).collect()
        };
        all.chunks_exact(words).zip(lengths).map(of_rank).collect()
    }

    /// Whether any process says so.
    fn any(&self, said: bool) -> bool {
        let mut count = [f32::from(u8::from(said))];
        self.sum(&mut count);
        count[0] > 0.0
    }
}

/// One process without others; nothing is exchanged.
pub fn alone() -> Rc<dyn Workers> {
    Rc::new(Alone)
}

struct Alone;

impl Workers for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) {}

    fn gather(&self, own: &[f32]) -> Vec<f32> {
        own.to_vec()
    }

    fn broadcast(&self, _: &mut Vec<u8>) {}

    fn wait_at_most(&self, _: Duration) {}
}

#[cfg(test)]
pub(crate) mod testing {
    //! Threads as processes: the same calls, through shared memory.

    use std::sync::{Arc, Barrier, Mutex};

    use super::*;

    struct Shared {
        own: Vec<Mutex<Vec<f32>>>,
        bytes: Mutex<Vec<u8>>,
        barrier: Barrier,
    }

    struct Thread {
        rank: usize,
        shared: Arc<Shared>,
    }

    impl Workers for Thread {
        fn rank(&self) -> usize {
            self.rank
        }

        fn size(&self) -> usize {
            self.shared.own.len()
        }

        fn sum(&self, values: &mut [f32]) {
            let all = self.gather(values);
            values.fill(0.0);
            for part in all.chunks_exact(values.len()) {
                values.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
        }

        fn gather(&self, own: &[f32]) -> Vec<f32> {
            *self.shared.own[self.rank].lock().unwrap() = own.to_vec();
            self.shared.barrier.wait();
            let all = self.shared.own.iter().flat_map(|part| part.lock().unwrap().clone());
            let all: Vec<f32> = all.collect();
            self.shared.barrier.wait();
            assert_eq!(all.len(), self.size() * own.len());
            all
        }

        fn broadcast(&self, bytes: &mut Vec<u8>) {
            if self.leads() {
                self.shared.bytes.lock().unwrap().clone_from(bytes);
            }
            self.shared.barrier.wait();
            bytes.clone_from(&self.shared.bytes.lock().unwrap());
            self.shared.barrier.wait();
        }

        fn wait_at_most(&self, _: Duration) {}
    }

    /// Does `work` in `size` threads; the results in the order of their ranks.
    pub(crate) fn together<T: Send>(
        size: usize,
        work: impl Fn(Rc<dyn Workers>) -> T + Sync,
    ) -> Vec<T> {
        let own = (0..size).map(|_| Mutex::default()).collect();
        let shared = Shared { own, bytes: Mutex::default(), barrier: Barrier::new(size) };
        let shared = Arc::new(shared);
        std::thread::scope(|scope| {
            let thread = |rank| {
                let (shared, work) = (shared.clone(), &work);
                scope.spawn(move || work(Rc::new(Thread { rank, shared })))
            };
            let threads: Vec<_> = (0..size).map(thread).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_are_gathered_in_order() {
        let of = |rank: usize| (0..rank * 3).map(|byte| (255 - byte) as u8).collect::<Vec<_>>();
        let everywhere = testing::together(4, |workers| workers.gather_bytes(&of(workers.rank())));
        for all in everywhere {
            assert_eq!(all, [of(0), of(1), of(2), of(3)]);
        }
        assert_eq!(alone().gather_bytes(b"abcde"), [b"abcde"]);
        assert_eq!(alone().gather_bytes(b""), [b""]);
    }
}
