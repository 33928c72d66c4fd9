//! Ctrl-C and termination: once to stop at the next step, twice to stop at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code after an interrupt (128 + SIGINT).
pub(crate) const INTERRUPTED: u8 = 130;

/// The flag that the first signal sets; the second ends the process.
pub(crate) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    stop_flag_saying(|| {})
}

/// [`stop_flag`]; `say` is called when it is set.
pub(crate) fn stop_flag_saying(say: impl Fn() + Send + 'static) -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let of_handler = flag.clone();
    ctrlc::set_handler(move || {
        if of_handler.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        say();
    })?;
    Ok(flag)
}
