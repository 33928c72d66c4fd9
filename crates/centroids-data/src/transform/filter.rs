//! The weights of the antialiased bilinear filter along one axis, as Pillow rounds them.

/// Fraction bits of a weight: 32 bits less 8 for the pixel and 2 for head room.
pub(super) const FRACTION_BITS: u32 = 22;
/// Where the sum of an output value starts, so that it is rounded and not cut.
pub(super) const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Vector loops take this many weights at a time.
pub(super) const GROUP: usize = 4;

/// A finished sum as the byte it stands for.
#[inline(always)]
pub(super) fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Weights that make `to` positions from `from`: a triangle as wide as the shrink factor (at least
/// one pixel to each side), normalised in f64.
///
/// All positions have the same number of weights: zeros fill them up to a multiple of [`GROUP`], or
/// to the whole axis where it is shorter.
#[derive(Debug, Default)]
pub(super) struct Filter {
    from: usize,
    to: usize,
    taps: usize,
    first: Vec<usize>,
    weights: Vec<i32>,
}

impl Filter {
    /// Makes this the filter from `from` to `to` positions; free of charge if it is already.
    pub(super) fn set(&mut self, from: usize, to: usize) {
        if (self.from, self.to) == (from, to) {
            return;
        }
        let spans: Vec<Span> = (0..to).map(|position| Span::of(position, from, to)).collect();
        let longest = spans.iter().map(|span| span.end - span.first).max().unwrap_or(0);
        self.taps = longest.next_multiple_of(GROUP).min(from);
        self.first.clear();
        self.weights.clear();
        for span in spans {
            let first = span.first.min(from - self.taps);
            let end = self.weights.len() + self.taps;
            self.weights.resize(self.weights.len() + span.first - first, 0);
            span.append_weights(&mut self.weights);
            self.weights.resize(end, 0);
            self.first.push(first);
        }
        (self.from, self.to) = (from, to);
    }

    /// Number of input and of output positions.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.from, self.to)
    }

    /// Weights of each position.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// First input index of an output position, and the weights from there on.
    #[inline(always)]
    pub(super) fn at(&self, position: usize) -> (usize, &[i32]) {
        (self.first[position], &self.weights[position * self.taps..][..self.taps])
    }

    /// All weights, `[positions, taps]`.
    pub(super) fn weights(&self) -> &[i32] {
        &self.weights
    }
}

/// The input indices under one position's triangle.
struct Span {
    first: usize,
    end: usize,
    center: f64,
    support: f64,
}

impl Span {
    fn of(position: usize, from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let center = (position as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        Self { first, end, center, support }
    }

    fn append_weights(&self, weights: &mut Vec<i32>) {
        // Multiplied by the reciprocal, not divided: Pillow's order, which decides on the last bit.
        let inverse_support = 1.0 / self.support;
        let triangle = |index: usize| {
            (1.0 - ((index as f64 - self.center + 0.5) * inverse_support).abs()).max(0.0)
        };
        let total: f64 = (self.first..self.end).map(triangle).sum();
        let fixed = |weight: f64| (0.5 + weight / total * f64::from(1 << FRACTION_BITS)) as i32;
        weights.extend((self.first..self.end).map(|index| fixed(triangle(index))));
    }
}
