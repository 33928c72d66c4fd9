//! Gradient of a convolution's weight: a sum over all images and pixels.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::im2col::{ConvShape, Part, unfold};
use super::matmul::{Matrix, matmul};
use super::storage::{CHUNK, Output, tensor, with_scratch};

/// Output pixels multiplied at once: enough for an efficient product, few enough to stay near the
/// core while they are unfolded and multiplied.
const PIXELS: usize = 512;

/// Gradient of the weight `[co, ci, kh, kw]`.
///
/// The images are divided evenly among the threads; each part is summed in order, and then the
/// parts: the bits depend on the number of threads, not on their timing.
pub(super) fn weight_gradient(
    shape: &ConvShape,
    image: &FlexTensor,
    gradient: &FlexTensor,
) -> FlexTensor {
    let (image, gradient) = (image.to_contiguous(), gradient.to_contiguous());
    let sources = Sources { shape, image: image.storage(), gradient: gradient.storage() };
    let threads = rayon::current_num_threads();
    let parts = threads.min(shape.batch);
    // With fewer images than threads, the channels are divided too.
    let channels = shape.channels_in.div_ceil((threads / parts).min(shape.channels_in));
    let channel_parts = shape.channels_in.div_ceil(channels);
    let len = shape.channels_out * shape.depth();
    let mut sums = Output::new(parts * len);
    let shared = sums.share();

    (0..parts * channel_parts).into_par_iter().with_max_len(1).for_each(|task| {
        let (part, first) = (task / channel_parts, task % channel_parts * channels);
        let slab = Slab {
            images: part * shape.batch / parts..(part + 1) * shape.batch / parts,
            channels: first..(first + channels).min(shape.channels_in),
        };
        let target = shared.pointer(part * len + first * shape.taps());
        // SAFETY: the slab's columns of its part's sum lie in the buffer and belong to this task.
        unsafe { sources.accumulate(&slab, target) };
    });
    // SAFETY: the tasks cover all channels of all parts, and every slab holds an image, so its
    // first product writes all its columns.
    let mut sums = unsafe { sums.into_values() };
    let (total, rest) = sums.split_at_mut(len);
    for part in rest.chunks_exact(len) {
        total.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK)).for_each(|(total, part)| {
            for (total, part) in total.iter_mut().zip(part) {
                *total += *part;
            }
        });
    }
    sums.truncate(len);
    let [height, width] = shape.kernel;
    tensor(sums, [shape.channels_out, shape.channels_in, height, width])
}

/// The images and input channels of one task.
struct Slab {
    images: Range<usize>,
    channels: Range<usize>,
}

/// Output pixels multiplied at once: some small images, or some rows of one.
struct Piece {
    images: Range<usize>,
    rows: Range<usize>,
}

/// What the gradient is computed from.
struct Sources<'a> {
    shape: &'a ConvShape,
    image: &'a [f32],
    gradient: &'a [f32],
}

impl Sources<'_> {
    /// Writes the gradient of a slab to rows that start every `shape.depth()` elements.
    ///
    /// # Safety
    /// The slab's channels × taps elements of each of the `channels_out` rows must be valid for
    /// writes and in no use elsewhere.
    unsafe fn accumulate(&self, slab: &Slab, target: *mut f32) {
        let shape = self.shape;
        let pieces = self.pieces(slab);
        let pixels = pieces.iter().map(|piece| self.pixels(piece)).max().unwrap_or(0);
        let lens = [slab.channels.len() * shape.taps() * pixels, shape.channels_out * pixels];
        with_scratch(lens, |unfolded, gathered| {
            for (i, piece) in pieces.iter().enumerate() {
                let unfolded = self.unfolded(slab, piece, unfolded);
                let gradient = self.gathered(piece, gathered);
                // SAFETY: the caller answers for the target; the first product initialises it.
                unsafe { matmul(target, shape.depth(), gradient, unfolded.transposed(), i > 0) };
            }
        });
    }

    fn pieces(&self, slab: &Slab) -> Vec<Piece> {
        let [height, width] = self.shape.size_out;
        let images = PIXELS.div_ceil(self.shape.pixels_out()).min(slab.images.len());
        let rows =
            if self.shape.is_pointwise() { height } else { PIXELS.div_ceil(width).min(height) };
        let chunks = |range: Range<usize>, len: usize| {
            range.clone().step_by(len).map(move |start| start..(start + len).min(range.end))
        };
        chunks(slab.images.clone(), images)
            .flat_map(|images| {
                chunks(0..height, rows).map(move |rows| Piece { images: images.clone(), rows })
            })
            .collect()
    }

    fn pixels(&self, piece: &Piece) -> usize {
        piece.images.len() * piece.rows.len() * self.shape.size_out[1]
    }

    /// The slab's unfolded channels under a piece: the image itself where that is a matrix.
    fn unfolded<'a>(&'a self, slab: &Slab, piece: &Piece, scratch: &'a mut [f32]) -> Matrix<'a> {
        let shape = self.shape;
        let planes = |n: usize| {
            let first = (n * shape.channels_in + slab.channels.start) * shape.pixels_in();
            &self.image[first..][..slab.channels.len() * shape.pixels_in()]
        };
        let size = [slab.channels.len() * shape.taps(), self.pixels(piece)];
        if shape.is_pointwise() && piece.images.len() == 1 {
            return Matrix::new(planes(piece.images.start), size, size[1]);
        }
        let part = Part { rows: piece.rows.clone(), row_stride: size[1] };
        let step = size[1] / piece.images.len();
        for (i, n) in piece.images.clone().enumerate() {
            unfold(shape, planes(n), &part, &mut scratch[i * step..]);
        }
        Matrix::new(scratch, size, size[1])
    }

    /// The output gradient of a piece: a view where it lies in one image.
    fn gathered<'a>(&'a self, piece: &Piece, scratch: &'a mut [f32]) -> Matrix<'a> {
        let (shape, all) = (self.shape, self.shape.pixels_out());
        let first = piece.rows.start * shape.size_out[1];
        let size = [shape.channels_out, self.pixels(piece)];
        let planes = |n: usize| &self.gradient[n * shape.channels_out * all + first..];
        if piece.images.len() == 1 {
            return Matrix::new(planes(piece.images.start), size, all);
        }
        let step = size[1] / piece.images.len();
        for (i, n) in piece.images.clone().enumerate() {
            let planes = planes(n).chunks(all);
            for (plane, row) in planes.zip(scratch.chunks_exact_mut(size[1])) {
                row[i * step..][..step].copy_from_slice(&plane[..step]);
            }
        }
        Matrix::new(scratch, size, size[1])
    }
}
