//! Pooling of channels-last feature maps: maximum over windows, mean over the whole map.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::channels_last::ChannelsLast;
use super::conv_shape::ConvShape;
use super::lanes::vectorized;
use super::storage::{Output, filled};

/// No element of the window has been seen yet.
const NONE: u8 = u8::MAX;

/// Shape of the windows over image `[n, c, h, w]`, if the kernel covers it: no window lies in
/// padding alone, and a byte can number the window's elements.
pub(super) fn windows(
    image: [usize; 4],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Option<ConvShape> {
    let inside = (0..2).all(|axis| 2 * padding[axis] <= kernel[axis]);
    let numbered = kernel[0] * kernel[1] < usize::from(NONE);
    (inside && numbered).then(|| ConvShape::new(image, image[1], kernel, stride, padding))
}

/// The elements of the window of output pixel (y, x) that are no padding: number and pixel.
fn elements(shape: &ConvShape, y: usize, x: usize) -> impl Iterator<Item = (u8, usize)> {
    let ConvShape { size_in: [height, width], kernel, stride, padding, .. } = *shape;
    (0..kernel[0] * kernel[1]).zip(0..NONE).filter_map(move |(i, number)| {
        let row = (y * stride[0] + i / kernel[1]).checked_sub(padding[0])?;
        let column = (x * stride[1] + i % kernel[1]).checked_sub(padding[1])?;
        (row < height && column < width).then_some((number, row * width + column))
    })
}

/// The maxima `[n, oh, ow, c]`, and for each the number of the first element of its window that
/// holds it. NaN counts as the largest value.
pub(super) fn max(shape: &ConvShape, image: &ChannelsLast) -> (ChannelsLast, Vec<u8>) {
    let (channels, [height, width]) = (shape.channels_in, shape.size_out);
    let len = shape.pixels_out() * channels;
    let (mut output, mut winners) = (Output::new(len), vec![NONE; len]);
    let image_len = shape.size_in[0] * shape.size_in[1] * channels;
    let line = width * channels;
    let lines = output.as_mut_slice().par_chunks_exact_mut(line);
    lines.zip(winners.par_chunks_exact_mut(line)).enumerate().for_each(|(i, (maxima, winners))| {
        let (n, y) = (i / height, i % height);
        let image = &image.values()[n * image_len..][..image_len];
        let pixels = maxima.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels));
        vectorized(|| {
            for (x, (maxima, winners)) in pixels.enumerate() {
                let maxima = filled(maxima, f32::NEG_INFINITY);
                for (number, pixel) in elements(shape, y, x) {
                    take_larger(number, &image[pixel * channels..][..channels], maxima, winners);
                }
            }
        });
    });
    // SAFETY: every pixel of the output was filled.
    let output = unsafe { output.into_values() };
    (ChannelsLast::new(output, [shape.batch, channels, height, width]), winners)
}

#[inline(always)]
fn take_larger(number: u8, values: &[f32], maxima: &mut [f32], winners: &mut [u8]) {
    for ((value, maximum), winner) in values.iter().zip(maxima).zip(winners) {
        // Selections, not branches: which pixel wins cannot be predicted.
        let wins = (value > maximum) | value.is_nan() | (*winner == NONE);
        *maximum = if wins { *value } else { *maximum };
        *winner = if wins { number } else { *winner };
    }
}

/// Gradient of the image: each output gradient goes to the winner of its window.
pub(super) fn max_backward(shape: &ConvShape, winners: &[u8], dy: &ChannelsLast) -> ChannelsLast {
    let (channels, [height, width]) = (shape.channels_in, shape.size_out);
    let [image_height, image_width] = shape.size_in;
    let mut output = Output::new(shape.pixels_in() * channels);
    let images = output.as_mut_slice().par_chunks_exact_mut(image_height * image_width * channels);
    images.enumerate().for_each(|(n, image)| {
        let image = filled(image, 0.0);
        let first = n * height * width;
        vectorized(|| {
            for i in 0..height * width {
                let dy = &dy.values()[(first + i) * channels..][..channels];
                let winners = &winners[(first + i) * channels..][..channels];
                for (number, pixel) in elements(shape, i / width, i % width) {
                    let image = &mut image[pixel * channels..][..channels];
                    for ((target, dy), winner) in image.iter_mut().zip(dy).zip(winners) {
                        *target += if *winner == number { *dy } else { 0.0 };
                    }
                }
            }
        });
    });
    // SAFETY: every image was filled.
    let output = unsafe { output.into_values() };
    ChannelsLast::new(output, [shape.batch, channels, image_height, image_width])
}

/// Means over all pixels, `[n, c]`.
pub(super) fn mean(image: &ChannelsLast) -> Vec<f32> {
    let [n, channels, h, w] = image.dims();
    let mut means = vec![0.0; n * channels];
    let images = image.values().par_chunks_exact(h * w * channels);
    means.par_chunks_exact_mut(channels).zip(images).for_each(|(means, image)| {
        vectorized(|| {
            for pixel in image.chunks_exact(channels) {
                means.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
            }
            means.iter_mut().for_each(|sum| *sum /= (h * w) as f32);
        });
    });
    means
}

/// Gradient of the image from that of its means `[n, c]`.
pub(super) fn mean_backward(dy: &[f32], [n, channels, h, w]: [usize; 4]) -> ChannelsLast {
    let mut output = Output::new(n * h * w * channels);
    let images = output.as_mut_slice().par_chunks_exact_mut(h * w * channels);
    images.zip(dy.par_chunks_exact(channels)).for_each(|(image, dy)| {
        for pixel in image.chunks_exact_mut(channels) {
            for (target, dy) in pixel.iter_mut().zip(dy) {
                *target = MaybeUninit::new(dy / (h * w) as f32);
            }
        }
    });
    // SAFETY: every pixel was written.
    ChannelsLast::new(unsafe { output.into_values() }, [n, channels, h, w])
}

#[cfg(test)]
mod tests {
    use burn::tensor::ops::MaxPoolOptions;
    use burn::tensor::{Device, Tensor, module};
    use proptest::prelude::*;

    use super::super::testing::{assert_close, elements, random};
    use super::super::{max_pool2d, mean_pool};

    /// Output and gradient of a random linear function of the output.
    fn run(x: Tensor<4>, pool: impl Fn(Tensor<4>) -> Tensor<4>) -> [Vec<f64>; 2] {
        let x = x.require_grad();
        let y = pool(x.clone());
        let grads = (y.clone() * random(y.dims(), 3, &x.device())).sum().backward();
        [elements(&y), elements(&x.grad(&grads).unwrap())]
    }

    #[test]
    fn the_first_of_equal_values_wins_and_nan_is_largest() {
        let device = Device::flex().autodiff();
        let x = Tensor::<4>::from_floats([[[[7.0, 7.0, f32::NAN, 9.0]]]], &device).require_grad();
        let y = max_pool2d(x.clone(), [1, 2], [1, 2], [0, 0]);
        let values = elements(&y);
        assert!(values[0] == 7.0 && values[1].is_nan());
        let gradient = x.grad(&y.sum().backward()).unwrap();
        assert_eq!(elements(&gradient), [1.0, 0.0, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn agrees_with_burn(
            outer in [1usize..4, 1..4],
            size in [3usize..14, 3..14],
            kernel in [1usize..4, 1..4],
            stride in [1usize..4, 1..4],
            padding in [0usize..3, 0..3],
            levels in 1u32..40,
        ) {
            prop_assume!((0..2).all(|axis| padding[axis] <= kernel[axis]));
            let device = Device::flex().autodiff();
            // Few levels make many ties.
            let x = random([outer[0], outer[1], size[0], size[1]], 1, &device);
            let x = (x * f64::from(levels)).round().detach();
            let options = MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
            let expected = run(x.clone(), |x| module::max_pool2d(x, options.clone()));
            prop_assert_eq!(run(x, |x| max_pool2d(x, kernel, stride, padding)), expected);
        }
    }

    #[test]
    fn the_mean_shares_its_gradient_evenly() {
        let device = Device::flex().autodiff();
        let x = random([2, 3, 2, 4], 1, &device).require_grad();
        let means = mean_pool(x.clone());
        let expected = x.clone().mean_dim(3).mean_dim(2);
        assert_close(&elements(&means), &elements(&expected), 1e-6, "means");
        let factors = random([2, 3], 2, &device);
        let gradient = x.grad(&(means * factors.clone()).sum().backward()).unwrap();
        let expected = factors.reshape([2, 3, 1, 1]).expand([2, 3, 2, 4]) / 8.0;
        assert_close(&elements(&gradient), &elements(&expected), 1e-6, "gradient");
    }
}
