//! Loops compiled for the vector units of the machine they run on.

/// Runs `work`, compiled for AVX2 where the machine has it.
///
/// The compiler's default for x86-64 is vectors of four floats. Only what is inlined into `work`
/// gains; the results do not change, as floating-point operations are never reordered.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        return unsafe { with_avx2(work) };
    }
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}
