//! Vectors of floats of the machine the program runs on.
//!
//! A kernel is written once, generic over [`Lanes`], and compiled for every vector unit;
//! [`dispatch`] runs the widest one that the machine has.

use std::sync::OnceLock;

use crate::Error;

/// A vector unit; later ones are wider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Isa {
    /// What every machine of the architecture has: SSE2, NEON or nothing.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// Every unit of this machine, narrowest first.
    pub(super) fn available() -> Vec<Isa> {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f");
            let units = [(true, Isa::Baseline), (avx2, Isa::Avx2), (avx512, Isa::Avx512)];
            units.into_iter().filter_map(|(has, isa)| has.then_some(isa)).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Isa::Baseline]
    }

    /// The unit of a name, where the architecture has one.
    fn named(name: &str) -> Option<Isa> {
        match name {
            "baseline" => Some(Isa::Baseline),
            #[cfg(target_arch = "x86_64")]
            "avx2" => Some(Isa::Avx2),
            #[cfg(target_arch = "x86_64")]
            "avx512" => Some(Isa::Avx512),
            _ => None,
        }
    }

    /// The widest unit, or the widest that [`CPU_VARIABLE`] allows.
    pub(super) fn chosen() -> Isa {
        static CHOSEN: OnceLock<Isa> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let limit = std::env::var(CPU_VARIABLE).ok().and_then(|name| Isa::named(&name));
            let fits = |isa: &Isa| limit.is_none_or(|limit| *isa <= limit);
            Isa::available().into_iter().rfind(fits).unwrap_or(Isa::Baseline)
        })
    }
}

/// Environment variable that keeps the kernels of the CPU from wider vector units than it names:
/// `baseline`, `avx2`, `avx512`.
pub const CPU_VARIABLE: &str = "CENTROIDS_CPU";

/// Looks at [`CPU_VARIABLE`].
///
/// # Errors
/// [`Error::Setting`] if it names no vector unit; the kernels would pass over it.
pub fn check_cpu_variable() -> Result<(), Error> {
    match std::env::var(CPU_VARIABLE) {
        Ok(value) if Isa::named(&value).is_none() => {
            let reason = "known are baseline, avx2 and avx512 (x86-64)".to_owned();
            Err(Error::Setting { key: CPU_VARIABLE, value, reason })
        }
        _ => Ok(()),
    }
}

/// A vector of floats.
///
/// # Safety
/// All functions need the vector unit; pointers must be valid for `LEN` elements. Implementations
/// of `tile` compute what [`tile`] describes.
pub(super) unsafe trait Lanes: Copy {
    /// Floats in a vector.
    const LEN: usize;
    /// Rows of the register tile of a matrix product.
    const MR: usize;
    /// Columns of the register tile of a matrix product.
    const NR: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self + a · b`
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// The larger; `other` if that is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller; `other` if that is NaN.
    unsafe fn min(self, other: Self) -> Self;

    /// [`tile`] of this unit's size.
    unsafe fn tile<A: ALayout>(k: usize, a: (*const f32, A), b: *const f32, c: TileRows<'_>);
}

/// Where the elements of the left factor of a product lie.
pub(super) trait ALayout: Copy {
    /// Offset of element (row, k).
    fn offset(self, row: usize, k: usize) -> usize;
}

/// Depth of a packed block of a matrix product.
pub(super) const KC: usize = 256;

/// Distance of the rows of [`Rows`]: no power of two, so that the rows of a tile fall into
/// different cache sets.
pub(super) const ROW: usize = KC + 16;

/// Row after row, [`ROW`] elements apart.
#[derive(Clone, Copy)]
pub(super) struct Rows;

impl ALayout for Rows {
    #[inline(always)]
    fn offset(self, row: usize, k: usize) -> usize {
        row * ROW + k
    }
}

/// The rows of one k side by side, and the next k this many elements further.
#[derive(Clone, Copy)]
pub(super) struct Columns(pub(super) usize);

impl ALayout for Columns {
    #[inline(always)]
    fn offset(self, row: usize, k: usize) -> usize {
        k * self.0 + row
    }
}

/// Target of a tile: where each of its rows starts, the first column, and whether it is added to.
#[derive(Clone, Copy)]
pub(super) struct TileRows<'a> {
    pub(super) rows: &'a [*mut f32],
    pub(super) column: usize,
    pub(super) accumulate: bool,
}

/// `MR × NV·LEN` elements of a matrix product of depth `k`, kept in registers.
#[inline(always)]
unsafe fn tile<V: Lanes, A: ALayout, const MR: usize, const NV: usize>(
    k: usize,
    (a, layout): (*const f32, A),
    b: *const f32,
    c: TileRows<'_>,
) {
    // SAFETY: the factors hold MR × k and k × NV·LEN elements, and `c.rows` MR pointers to rows that
    // are valid for NV·LEN elements from `column`, as the trait asks.
    unsafe {
        let mut sums = [[V::splat(0.0); NV]; MR];
        for p in 0..k {
            let mut right = [V::splat(0.0); NV];
            for (j, right) in right.iter_mut().enumerate() {
                *right = V::load(b.add((p * NV + j) * V::LEN));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let left = V::splat(*a.add(layout.offset(i, p)));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = sum.mul_add(left, right);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let row = c.rows.get_unchecked(i).add(c.column);
            for (j, sum) in sums.into_iter().enumerate() {
                let target = row.add(j * V::LEN);
                let sum = if c.accumulate { V::load(target).add(sum) } else { sum };
                sum.store(target);
            }
        }
    }
}

/// Implements [`Lanes`] by one expression per function.
macro_rules! lanes {
    ($vector:ty, $len:literal, $mr:literal x $nv:literal,
     splat($value:ident) $splat:expr, load($from:ident) $load:expr,
     store($to:ident, $stored:ident) $store:expr,
     mul_add($sum:ident, $x:ident, $y:ident) $mul_add:expr,
     binary($left:ident, $right:ident) $($operation:ident $result:expr),+) => {
        // SAFETY: each function is the operation of its name.
        unsafe impl Lanes for $vector {
            const LEN: usize = $len;
            const MR: usize = $mr;
            const NR: usize = $nv * $len;

            #[inline(always)]
            unsafe fn splat($value: f32) -> Self {
                unsafe { $splat }
            }
            #[inline(always)]
            unsafe fn load($from: *const f32) -> Self {
                unsafe { $load }
            }
            #[inline(always)]
            unsafe fn store(self, $to: *mut f32) {
                let $stored = self;
                unsafe { $store }
            }
            #[inline(always)]
            unsafe fn mul_add(self, $x: Self, $y: Self) -> Self {
                let $sum = self;
                unsafe { $mul_add }
            }
            $(#[inline(always)]
            unsafe fn $operation(self, $right: Self) -> Self {
                let $left = self;
                unsafe { $result }
            })+
            #[inline(always)]
            unsafe fn tile<A: ALayout>(
                k: usize,
                a: (*const f32, A),
                b: *const f32,
                c: TileRows<'_>,
            ) {
                unsafe { tile::<Self, A, $mr, $nv>(k, a, b, c) }
            }
        }
    };
}

/// Intrinsics need the unit and valid pointers, for which the callers of [`Lanes`] answer.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe, clippy::undocumented_unsafe_blocks, reason = "said once, above")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{ALayout, Lanes, TileRows, tile};

    lanes!(
        __m512, 16, 14 x 2, splat(x) _mm512_set1_ps(x), load(from) _mm512_loadu_ps(from),
        store(to, x) _mm512_storeu_ps(to, x), mul_add(sum, x, y) _mm512_fmadd_ps(x, y, sum),
        binary(x, y) add _mm512_add_ps(x, y), sub _mm512_sub_ps(x, y), mul _mm512_mul_ps(x, y),
        max _mm512_max_ps(x, y), min _mm512_min_ps(x, y)
    );
    lanes!(
        __m256, 8, 6 x 2, splat(x) _mm256_set1_ps(x), load(from) _mm256_loadu_ps(from),
        store(to, x) _mm256_storeu_ps(to, x), mul_add(sum, x, y) _mm256_fmadd_ps(x, y, sum),
        binary(x, y) add _mm256_add_ps(x, y), sub _mm256_sub_ps(x, y), mul _mm256_mul_ps(x, y),
        max _mm256_max_ps(x, y), min _mm256_min_ps(x, y)
    );
    lanes!(
        __m128, 4, 4 x 2, splat(x) _mm_set1_ps(x), load(from) _mm_loadu_ps(from),
        store(to, x) _mm_storeu_ps(to, x), mul_add(sum, x, y) _mm_add_ps(_mm_mul_ps(x, y), sum),
        binary(x, y) add _mm_add_ps(x, y), sub _mm_sub_ps(x, y), mul _mm_mul_ps(x, y),
        max _mm_max_ps(x, y), min _mm_min_ps(x, y)
    );
}

/// As for the other units.
#[cfg(target_arch = "aarch64")]
#[allow(unused_unsafe, clippy::undocumented_unsafe_blocks, reason = "said once, above")]
mod arm {
    use std::arch::aarch64::*;

    use super::{ALayout, Lanes, TileRows, tile};

    lanes!(
        float32x4_t, 4, 8 x 2, splat(x) vdupq_n_f32(x), load(from) vld1q_f32(from),
        store(to, x) vst1q_f32(to, x), mul_add(sum, x, y) vfmaq_f32(sum, x, y),
        binary(x, y) add vaddq_f32(x, y), sub vsubq_f32(x, y), mul vmulq_f32(x, y),
        max vmaxq_f32(x, y), min vminq_f32(x, y)
    );
}

/// One float: the ends of rows that are no multiple of a vector, and machines without vectors.
#[allow(unused_unsafe, clippy::undocumented_unsafe_blocks, reason = "said once, above")]
mod scalar {
    use super::{ALayout, Lanes, TileRows, tile};

    lanes!(
        f32, 1, 4 x 4, splat(x) x, load(from) *from, store(to, x) *to = x,
        mul_add(sum, x, y) x * y + sum, binary(x, y) add x + y, sub x - y, mul x * y,
        max if x > y { x } else { y }, min if x < y { x } else { y }
    );
}

/// The vectors that every machine of the architecture has.
#[cfg(target_arch = "x86_64")]
type Baseline = std::arch::x86_64::__m128;
#[cfg(target_arch = "aarch64")]
type Baseline = std::arch::aarch64::float32x4_t;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Baseline = f32;

/// Work that is compiled for every vector unit.
pub(super) trait Task {
    type Output;

    /// Implementations are `#[inline(always)]`: only what is inlined uses the unit.
    ///
    /// # Safety
    /// The machine has the unit of `V`.
    unsafe fn run<V: Lanes>(self) -> Self::Output;
}

/// Runs `task` on the unit `isa`, which the machine must have.
#[inline(always)]
pub(super) fn dispatch<T: Task>(isa: Isa, task: T) -> T::Output {
    // SAFETY: an `Isa` other than the baseline comes from `Isa::available`.
    unsafe {
        match isa {
            Isa::Baseline => task.run::<Baseline>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(task),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(task),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<T: Task>(task: T) -> T::Output {
    // SAFETY: the caller answers for the unit.
    unsafe { task.run::<std::arch::x86_64::__m256>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn avx512<T: Task>(task: T) -> T::Output {
    // SAFETY: the caller answers for the unit.
    unsafe { task.run::<std::arch::x86_64::__m512>() }
}

/// Runs `work`, compiled for the chosen unit: its loops are vectorised by the compiler, which changes
/// no result, as floating-point operations are never reordered.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    struct Call<F>(F);
    impl<R, F: FnOnce() -> R> Task for Call<F> {
        type Output = R;
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) -> R {
            (self.0)()
        }
    }
    dispatch(Isa::chosen(), Call(work))
}

/// Rows and columns of the register tile of a unit.
pub(super) fn tile_size(isa: Isa) -> [usize; 2] {
    struct Size;
    impl Task for Size {
        type Output = [usize; 2];
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) -> [usize; 2] {
            [V::MR, V::NR]
        }
    }
    dispatch(isa, Size)
}
