//! Which input pixels an output pixel of a convolution is made of.
//!
//! The forward pass, the gradient of the image (one window for each position within a stride) and
//! the gradient of the weight all walk an image by such windows.

use std::ops::Range;

/// A rectangle of input pixels that moves over an image `[n, h, w, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    /// Rows and columns of positions.
    pub(super) grid: [usize; 2],
    /// Input pixels from one position to the next.
    pub(super) step: [usize; 2],
    /// Input pixel of the rectangle's corner at the first position; may be negative.
    pub(super) first: [isize; 2],
    /// Rows and columns of the rectangle.
    pub(super) size: [usize; 2],
    /// Height and width of the image.
    pub(super) image: [usize; 2],
    pub(super) channels: usize,
}

/// A position of the window.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) n: usize,
    pub(super) y: usize,
    pub(super) x: usize,
}

impl Window {
    /// Values under the window.
    pub(super) fn depth(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// Positions in one image.
    pub(super) fn positions(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// The positions of a range, counted through all images, row by row.
    pub(super) fn walk(&self, range: Range<usize>) -> impl Iterator<Item = Position> {
        let [height, width] = self.grid;
        let (n, rest) = (range.start / (height * width), range.start % (height * width));
        let mut next = Position { n, y: rest / width, x: rest % width };
        range.map(move |_| {
            let position = next;
            next.x += 1;
            if next.x == width {
                (next.x, next.y) = (0, next.y + 1);
            }
            if next.y == height {
                (next.y, next.n) = (0, next.n + 1);
            }
            position
        })
    }

    /// Calls `run(values, at)` for runs of the values under the window that lie side by side in the
    /// image: those of `depth`, the first of them being number `at` of that range. What is not
    /// reported lies in padding.
    #[inline(always)]
    pub(super) fn runs<'a>(
        &self,
        images: &'a [f32],
        position: Position,
        depth: &Range<usize>,
        mut run: impl FnMut(&'a [f32], usize),
    ) {
        let [height, width] = self.image;
        let line = self.size[1] * self.channels;
        let left = (position.x * self.step[1]) as isize + self.first[1];
        // Values of a line of the window that lie inside the image.
        let first = ((-left).max(0) as usize * self.channels).min(line);
        let end = ((width as isize - left).max(0) as usize * self.channels).min(line);
        for row in depth.start / line..depth.end.div_ceil(line) {
            let y = (position.y * self.step[0] + row) as isize + self.first[0];
            if y < 0 || y >= height as isize {
                continue;
            }
            let lo = (row * line + first).max(depth.start);
            let hi = (row * line + end).min(depth.end);
            if lo < hi {
                let pixels = (position.n * height + y as usize) * width;
                let start = (pixels as isize + left) * self.channels as isize;
                let source = (start + (lo - row * line) as isize) as usize;
                run(&images[source..][..hi - lo], lo - depth.start);
            }
        }
    }

    /// Whether some of the values under the window at some position are padding.
    pub(super) fn has_padding(&self) -> bool {
        (0..2).any(|axis| {
            let last = (self.grid[axis].max(1) - 1) * self.step[axis] + self.size[axis];
            self.first[axis] < 0 || last as isize + self.first[axis] > self.image[axis] as isize
        })
    }
}
