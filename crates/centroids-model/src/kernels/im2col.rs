//! Shape of a convolution, and the unfolding of an image into the matrix a convolution multiplies.

use std::ops::Range;

/// Sizes of a two-dimensional convolution without bias, groups or dilation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ConvShape {
    pub(super) batch: usize,
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
    pub(super) size_in: [usize; 2],
    pub(super) size_out: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
}

impl ConvShape {
    /// From the dimensions of image `[n, ci, h, w]` and weight `[co, ci, kh, kw]`.
    ///
    /// # Panics
    /// If the channels differ, a stride is 0 or the kernel is larger than the padded image.
    pub(super) fn new(
        [batch, channels_in, height, width]: [usize; 4],
        [channels_out, weight_channels, kernel_height, kernel_width]: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Self {
        assert_eq!(channels_in, weight_channels, "channels of image and convolution weight");
        let out = |size: usize, kernel: usize, axis: usize| {
            let padded = size + 2 * padding[axis];
            assert!(kernel <= padded, "kernel of {kernel} on a padded image of {padded}");
            (padded - kernel) / stride[axis] + 1
        };
        Self {
            batch,
            channels_in,
            channels_out,
            size_in: [height, width],
            size_out: [out(height, kernel_height, 0), out(width, kernel_width, 1)],
            kernel: [kernel_height, kernel_width],
            stride,
            padding,
        }
    }

    /// Pixels of one input plane.
    pub(super) fn pixels_in(&self) -> usize {
        self.size_in[0] * self.size_in[1]
    }

    /// Pixels of one output plane.
    pub(super) fn pixels_out(&self) -> usize {
        self.size_out[0] * self.size_out[1]
    }

    /// Elements of one kernel plane.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows of the unfolded image: one per input channel and kernel element.
    pub(super) fn depth(&self) -> usize {
        self.channels_in * self.taps()
    }

    /// Whether the unfolded image is the image itself.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// Whether unfolding shifts whole planes: unit stride, and as many output as input columns.
    fn is_shift(&self) -> bool {
        self.stride == [1, 1] && self.size_out[1] == self.size_in[1]
    }

    /// The input row that output row `y` meets at kernel row `tap`, if it is not padding.
    pub(super) fn input_row(&self, y: usize, tap: usize) -> Option<usize> {
        (y * self.stride[0] + tap).checked_sub(self.padding[0]).filter(|&row| row < self.size_in[0])
    }

    /// The output columns that meet a real pixel at kernel column `tap`, and the input column of
    /// the first of them.
    fn inner_columns(&self, tap: usize) -> (Range<usize>, usize) {
        let (stride, padding) = (self.stride[1], self.padding[1]);
        let first = padding.saturating_sub(tap).div_ceil(stride);
        let end = (self.size_in[1] + padding).saturating_sub(tap).div_ceil(stride);
        let end = end.min(self.size_out[1]);
        if first >= end { (0..0, 0) } else { (first..end, first * stride + tap - padding) }
    }
}

/// Which part of the unfolded image a matrix holds, and how.
///
/// Row r = (channel, kernel row, kernel column) starts at `matrix[r * row_stride]` and holds what
/// lies under that kernel element for every output pixel of `rows`.
pub(super) struct Part {
    /// Output rows.
    pub(super) rows: Range<usize>,
    /// Distance between the rows of the matrix.
    pub(super) row_stride: usize,
}

/// Unfolds the planes of `image` (`[channels, h, w]`) into `matrix`.
pub(super) fn unfold(shape: &ConvShape, image: &[f32], part: &Part, matrix: &mut [f32]) {
    let len = part.rows.len() * shape.size_out[1];
    let mut row_start = 0;
    for plane in image.chunks_exact(shape.pixels_in()) {
        for tap in taps(shape) {
            let target = &mut matrix[row_start..][..len];
            if shape.is_shift() {
                unfold_shift(shape, plane, &tap, part, target);
            } else {
                unfold_lines(shape, plane, &tap, part, target);
            }
            row_start += part.row_stride;
        }
    }
}

/// The transpose of [`unfold`]: adds every element of `matrix` to the pixel it was taken from.
///
/// Elements of `matrix` that belong to padding are overwritten.
pub(super) fn fold_add(shape: &ConvShape, matrix: &mut [f32], part: &Part, image: &mut [f32]) {
    let len = part.rows.len() * shape.size_out[1];
    let mut row_start = 0;
    for plane in image.chunks_exact_mut(shape.pixels_in()) {
        for tap in taps(shape) {
            let source = &mut matrix[row_start..][..len];
            if shape.is_shift() {
                fold_shift(shape, source, &tap, part, plane);
            } else {
                fold_lines(shape, source, &tap, part, plane);
            }
            row_start += part.row_stride;
        }
    }
}

/// One kernel element.
pub(super) struct Tap {
    pub(super) row: usize,
    pub(super) col: usize,
    /// Output columns that meet real pixels.
    pub(super) columns: Range<usize>,
    /// Input column of the first of them.
    pub(super) first: usize,
}

/// The kernel elements in the order of the weight.
pub(super) fn taps(shape: &ConvShape) -> impl Iterator<Item = Tap> {
    let [height, width] = shape.kernel;
    (0..height * width).map(move |i| {
        let (row, col) = (i / width, i % width);
        let (columns, first) = shape.inner_columns(col);
        Tap { row, col, columns, first }
    })
}

fn unfold_lines(shape: &ConvShape, plane: &[f32], tap: &Tap, part: &Part, target: &mut [f32]) {
    for (y, target) in part.rows.clone().zip(target.chunks_exact_mut(shape.size_out[1])) {
        let Some(row) = shape.input_row(y, tap.row) else {
            target.fill(0.0);
            continue;
        };
        target[..tap.columns.start].fill(0.0);
        target[tap.columns.end..].fill(0.0);
        let source = &plane[row * shape.size_in[1]..][..shape.size_in[1]][tap.first..];
        let pixels = source.iter().step_by(shape.stride[1]);
        for (value, pixel) in target[tap.columns.clone()].iter_mut().zip(pixels) {
            *value = *pixel;
        }
    }
}

fn fold_lines(shape: &ConvShape, source: &[f32], tap: &Tap, part: &Part, plane: &mut [f32]) {
    for (y, source) in part.rows.clone().zip(source.chunks_exact(shape.size_out[1])) {
        let Some(row) = shape.input_row(y, tap.row) else {
            continue;
        };
        let target = &mut plane[row * shape.size_in[1]..][..shape.size_in[1]][tap.first..];
        let pixels = target.iter_mut().step_by(shape.stride[1]);
        for (pixel, value) in pixels.zip(&source[tap.columns.clone()]) {
            *pixel += *value;
        }
    }
}

/// [`unfold_lines`] for [`ConvShape::is_shift`]: one copy of the shifted plane, then zeros in the
/// columns where the shift has wrapped round.
fn unfold_shift(shape: &ConvShape, plane: &[f32], tap: &Tap, part: &Part, target: &mut [f32]) {
    let (inside, first) = shifted_range(shape, tap, part, target.len());
    target[..inside.start].fill(0.0);
    target[inside.end..].fill(0.0);
    let len = inside.len();
    target[inside].copy_from_slice(&plane[first..][..len]);
    clear_wrapped(shape, tap, target);
}

/// [`fold_lines`] for [`ConvShape::is_shift`].
fn fold_shift(shape: &ConvShape, source: &mut [f32], tap: &Tap, part: &Part, plane: &mut [f32]) {
    let (inside, first) = shifted_range(shape, tap, part, source.len());
    clear_wrapped(shape, tap, source);
    for (pixel, value) in plane[first..].iter_mut().zip(&source[inside]) {
        *pixel += *value;
    }
}

/// The elements of a part of `len` that lie inside the plane once shifted, and the pixel of the
/// first of them.
fn shifted_range(shape: &ConvShape, tap: &Tap, part: &Part, len: usize) -> (Range<usize>, usize) {
    let width = shape.size_in[1];
    let forward = (part.rows.start + tap.row) * width + tap.col;
    let back = shape.padding[0] * width + shape.padding[1];
    let start = back.saturating_sub(forward).min(len);
    let end = (shape.pixels_in() + back).saturating_sub(forward).clamp(start, len);
    if start == end { (0..0, 0) } else { (start..end, start + forward - back) }
}

/// Zeros the columns that belong to padding.
fn clear_wrapped(shape: &ConvShape, tap: &Tap, lines: &mut [f32]) {
    let width = shape.size_out[1];
    if tap.columns.len() == width {
        return;
    }
    for line in lines.chunks_exact_mut(width) {
        line[..tap.columns.start].fill(0.0);
        line[tap.columns.end..].fill(0.0);
    }
}
