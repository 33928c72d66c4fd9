//! The column pass for AVX2: four rows at a time, two in each register.
//!
//! A weight of 22 bits is two 11-bit halves, which fit the instruction that multiplies 16-bit
//! numbers and adds neighbours: exact, as sums of integers are. A register's half holds four
//! channels (the last unused) of one row; neighbours are two pixels of one channel.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Filter, PaddedRows};
use crate::rgb_image::RgbImage;
use crate::transform::filter::{FRACTION_BITS, GROUP, HALF};

/// Bits of the lower half of a weight.
const LOW_BITS: u32 = FRACTION_BITS / 2;

/// The weights of a group as pairs of halves: low 0 1, low 2 3, high 0 1, high 2 3.
#[derive(Debug, Default)]
pub(super) struct Halves {
    of: (usize, usize),
    groups: Vec<[i32; 4]>,
}

impl Halves {
    /// Makes these the halves of `filter`.
    pub(super) fn set(&mut self, filter: &Filter) {
        if self.of == filter.sizes() {
            return;
        }
        let pair = |low: i32, high: i32| low | high << 16;
        let split = |[a, b, c, d]: &[i32; GROUP]| {
            let low = |weight: i32| weight & ((1 << LOW_BITS) - 1);
            let high = |weight: i32| weight >> LOW_BITS;
            [
                pair(low(*a), low(*b)),
                pair(low(*c), low(*d)),
                pair(high(*a), high(*b)),
                pair(high(*c), high(*d)),
            ]
        };
        self.of = filter.sizes();
        self.groups.clear();
        self.groups.extend(filter.weights().as_chunks().0.iter().map(split));
    }
}

/// Whether [`run`] can do this: it reads weights and pixels by fours.
pub(super) fn takes(image: &RgbImage, filter: &Filter) -> bool {
    filter.taps() > 0 && filter.taps().is_multiple_of(GROUP) && image.height > 1
}

/// Fills the first rows of `target` from `rows` of `image`, which leave out its last row: sixteen
/// bytes are read where twelve are wanted.
///
/// # Panics
/// When `rows` has the last row, or `halves` belongs to another filter.
#[target_feature(enable = "avx2")]
pub(super) fn run(
    image: &RgbImage,
    rows: Range<usize>,
    filter: &Filter,
    halves: &Halves,
    target: &mut PaddedRows,
) {
    assert!(rows.end < image.height && halves.of == filter.sizes());
    let stride = image.width * 3;
    for y in rows.clone().step_by(4) {
        // Behind the end, the last row is made again.
        let y: [usize; 4] = std::array::from_fn(|i| (y + i).min(rows.end - 1));
        let sources = y.map(|y| &image.pixels[y * stride..][..stride + 4]);
        for x in 0..filter.sizes().1 {
            let (first, _) = filter.at(x);
            let groups = filter.taps() / GROUP;
            let words = four_pixels(sources, first * 3, &halves.groups[x * groups..][..groups]);
            for (y, word) in y.into_iter().zip(words) {
                let at = (y - rows.start) * target.stride + x * 3;
                target.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// One output pixel of each row (R, G, B and a byte without meaning), from the weights' groups and
/// the bytes from `first` on.
#[inline]
#[target_feature(enable = "avx2")]
fn four_pixels(sources: [&[u8]; 4], first: usize, groups: &[[i32; 4]]) -> [u32; 4] {
    const X: i8 = -1; // a zero
    // Each channel of two neighbouring pixels side by side, as 16-bit numbers.
    let front = spread([0, X, 3, X, 1, X, 4, X, 2, X, 5, X, X, X, X, X]);
    let back = spread([6, X, 9, X, 7, X, 10, X, 8, X, 11, X, X, X, X, X]);
    let (mut low, mut high) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
    for (group, [low_front, low_back, high_front, high_back]) in groups.iter().enumerate() {
        let at = first + group * GROUP * 3;
        let weights = |pair: &i32| _mm256_set1_epi32(*pair);
        for i in 0..2 {
            let pixels = _mm256_set_m128i(load(sources[2 * i + 1], at), load(sources[2 * i], at));
            let (a, b) = (_mm256_shuffle_epi8(pixels, front), _mm256_shuffle_epi8(pixels, back));
            let sum = |x, y| {
                _mm256_add_epi32(_mm256_madd_epi16(a, weights(x)), _mm256_madd_epi16(b, weights(y)))
            };
            low[i] = _mm256_add_epi32(low[i], sum(low_front, low_back));
            high[i] = _mm256_add_epi32(high[i], sum(high_front, high_back));
        }
    }
    let byte = |i: usize| {
        let high = _mm256_slli_epi32::<{ LOW_BITS as i32 }>(high[i]);
        let sum = _mm256_add_epi32(_mm256_add_epi32(low[i], high), _mm256_set1_epi32(HALF));
        _mm256_srai_epi32::<{ FRACTION_BITS as i32 }>(sum)
    };
    let words = _mm256_packs_epi32(byte(0), byte(1)); // rows 0 and 2, then 1 and 3
    let bytes = _mm256_packus_epi16(words, words);
    [
        _mm256_extract_epi32::<0>(bytes) as u32,
        _mm256_extract_epi32::<4>(bytes) as u32,
        _mm256_extract_epi32::<1>(bytes) as u32,
        _mm256_extract_epi32::<5>(bytes) as u32,
    ]
}

/// The same shuffle for both halves of a register.
#[inline]
#[target_feature(enable = "avx2")]
fn spread(order: [i8; 16]) -> __m256i {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = order;
    _mm256_broadcastsi128_si256(_mm_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(source: &[u8], at: usize) -> __m128i {
    let bytes = &source[at..at + 16];
    // SAFETY: there are sixteen bytes, and the load asks for no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}
