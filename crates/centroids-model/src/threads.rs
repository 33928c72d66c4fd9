//! How many threads compute.

use crate::Error;

/// Sets the number of computing threads, as the variable `RAYON_NUM_THREADS` does; 0 means one per
/// core. For programs to call once, before anything is computed. No result depends on it.
///
/// # Errors
/// [`Error::Setting`]: the threads run already, or cannot be started.
pub fn use_threads(threads: usize) -> Result<(), Error> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| {
        let (value, reason) = (threads.to_string(), error.to_string());
        Error::Setting { key: "threads", value, reason }
    })
}

/// The number of computing threads on the CPU.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
