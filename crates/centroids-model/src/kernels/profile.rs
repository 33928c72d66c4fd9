//! Where the time of the kernels goes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::conv_shape::ConvShape;

/// Time of one kind of layer in one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRow {
    /// E.g. `3×3 convolution`.
    pub layer: &'static str,
    /// `forward`, `image gradient`, `weight gradient`, `backward`, `inference` or `update`.
    pub pass: &'static str,
    /// Number of calls.
    pub calls: u64,
    /// Seconds in all calls.
    pub seconds: f64,
    /// Floating-point operations of the direct convolution, two per product; 0 for other layers.
    pub flops: f64,
}

type Rows = BTreeMap<(&'static str, &'static str), ProfileRow>;

static ON: AtomicBool = AtomicBool::new(false);
static ROWS: Mutex<Rows> = Mutex::new(Rows::new());

/// Records from now on, in the whole process.
pub fn start_profile() {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).clear();
    ON.store(true, Ordering::Relaxed);
}

/// Stops recording and gives what was recorded, slowest first.
pub fn stop_profile() -> Vec<ProfileRow> {
    ON.store(false, Ordering::Relaxed);
    let rows = std::mem::take(&mut *ROWS.lock().unwrap_or_else(PoisonError::into_inner));
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    rows
}

/// Runs `work`, and records its time if recording is on.
pub(super) fn measure<R>(
    layer: &'static str,
    pass: &'static str,
    flops: f64,
    work: impl FnOnce() -> R,
) -> R {
    if !ON.load(Ordering::Relaxed) {
        return work();
    }
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    let row = rows.entry((layer, pass)).or_insert_with(|| ProfileRow {
        layer,
        pass,
        calls: 0,
        seconds: 0.0,
        flops: 0.0,
    });
    row.calls += 1;
    row.seconds += seconds;
    row.flops += flops;
    result
}

/// [`measure`] for a pass of a convolution.
pub(super) fn measure_conv<R>(
    shape: &ConvShape,
    depthwise: bool,
    pass: &'static str,
    work: impl FnOnce() -> R,
) -> R {
    let layer = match (depthwise, shape.kernel, shape.stride) {
        (true, ..) => "depthwise convolution",
        (_, [1, 1], [1, 1]) => "1×1 convolution",
        (_, [1, 1], _) => "1×1 convolution, strided",
        (_, [3, 3], [1, 1]) => "3×3 convolution",
        (_, [3, 3], _) => "3×3 convolution, strided",
        _ => "other convolution",
    };
    let inputs = if depthwise { 1 } else { shape.channels_in };
    let products = shape.pixels_out() * shape.channels_out * inputs * shape.taps();
    measure(layer, pass, 2.0 * products as f64, work)
}
