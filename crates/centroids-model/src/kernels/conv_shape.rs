//! Sizes of a convolution or pooling, and the windows of its three passes.

use super::correlate::Target;
use super::window::Window;

/// Sizes of a two-dimensional convolution without bias or dilation.
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

/// A window over the result's gradient, for the pixels of an image at one position within a stride.
pub(super) struct GradientWindow {
    pub(super) window: Window,
    /// Elements of a kernel plane under the window, in its order.
    pub(super) taps: Vec<usize>,
    pub(super) target: Target,
}

impl ConvShape {
    /// From the dimensions of image `[n, ci, h, w]` and of a kernel plane.
    ///
    /// # Panics
    /// If a stride is 0 or the kernel is larger than the padded image.
    pub(super) fn new(
        [batch, channels_in, height, width]: [usize; 4],
        channels_out: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Self {
        let out = |size: usize, axis: usize| {
            let (padded, kernel) = (size + 2 * padding[axis], kernel[axis]);
            assert!(kernel <= padded, "kernel of {kernel} on a padded image of {padded}");
            (padded - kernel) / stride[axis] + 1
        };
        let size_out = [out(height, 0), out(width, 1)];
        let size_in = [height, width];
        Self { batch, channels_in, channels_out, size_in, size_out, kernel, stride, padding }
    }

    /// Pixels of all images that come in.
    pub(super) fn pixels_in(&self) -> usize {
        self.batch * self.size_in[0] * self.size_in[1]
    }

    /// Pixels of all results.
    pub(super) fn pixels_out(&self) -> usize {
        self.batch * self.size_out[0] * self.size_out[1]
    }

    /// Elements of a kernel plane.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The window over the images.
    pub(super) fn window(&self) -> Window {
        Window {
            grid: self.size_out,
            step: self.stride,
            first: self.padding.map(|padding| -(padding as isize)),
            size: self.kernel,
            image: self.size_in,
            channels: self.channels_in,
        }
    }

    /// Windows over the result's gradient that make up the gradient of the images.
    pub(super) fn gradient_windows(&self) -> Vec<GradientWindow> {
        let mut windows = Vec::new();
        for y in 0..self.stride[0].min(self.size_in[0]) {
            for x in 0..self.stride[1].min(self.size_in[1]) {
                windows.push(self.gradient_window([y, x]));
            }
        }
        windows
    }

    fn gradient_window(&self, first: [usize; 2]) -> GradientWindow {
        let lines = [0, 1].map(|axis| self.gradient_taps(axis, first[axis]));
        let [rows, columns] = &lines;
        let width = self.kernel[1];
        let taps = rows.iter().flat_map(|(_, y)| columns.iter().map(move |(_, x)| y * width + x));
        let positions =
            |axis: usize| (self.size_in[axis] - first[axis]).div_ceil(self.stride[axis]);
        GradientWindow {
            taps: taps.collect(),
            window: Window {
                grid: [positions(0), positions(1)],
                step: [1, 1],
                first: [0, 1].map(|axis| lines[axis].first().map_or(0, |(result, _)| *result)),
                size: [rows.len(), columns.len()],
                image: self.size_out,
                channels: self.channels_out,
            },
            target: Target { size: self.size_in, step: self.stride, first },
        }
    }

    /// Results that the pixel `first` is part of, ascending, and through which element of the kernel.
    fn gradient_taps(&self, axis: usize, first: usize) -> Vec<(isize, usize)> {
        let (stride, pixel) = (self.stride[axis], first + self.padding[axis]);
        (0..self.kernel[axis])
            .rev()
            .filter(|tap| pixel % stride == tap % stride)
            .map(|tap| ((pixel as isize - tap as isize) / stride as isize, tap))
            .collect()
    }
}
