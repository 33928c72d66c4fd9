//! Max pooling, which remembers the winner of every window in a byte.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::im2col::{ConvShape, taps};
use super::storage::{Output, contiguous, filled};

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
    let weight = [image[1], image[1], kernel[0], kernel[1]];
    (inside && numbered).then(|| ConvShape::new(image, weight, stride, padding))
}

/// The maxima `[n, c, oh, ow]`, and for each the number of the first element of its window that
/// holds it. NaN counts as the largest value.
pub(super) fn forward(shape: &ConvShape, image: FlexTensor) -> (FlexTensor, Vec<u8>) {
    let image = contiguous(image);
    let len = shape.batch * shape.channels_out * shape.pixels_out();
    let (mut output, mut winners) = (Output::new(len), vec![NONE; len]);
    let planes = image.storage::<f32>().par_chunks_exact(shape.pixels_in());
    let targets = output.as_mut_slice().par_chunks_exact_mut(shape.pixels_out());
    let winner_planes = winners.par_chunks_exact_mut(shape.pixels_out());
    planes.zip(targets).zip(winner_planes).for_each(|((plane, maxima), winners)| {
        pool_plane(shape, plane, filled(maxima, f32::NEG_INFINITY), winners);
    });
    let [height, width] = shape.size_out;
    // SAFETY: every plane of the output was filled.
    let output = unsafe { output.into_tensor([shape.batch, shape.channels_out, height, width]) };
    (output, winners)
}

fn pool_plane(shape: &ConvShape, plane: &[f32], maxima: &mut [f32], winners: &mut [u8]) {
    let width = shape.size_out[1];
    for (tap, number) in taps(shape).zip(0..NONE) {
        let lines = maxima.chunks_exact_mut(width).zip(winners.chunks_exact_mut(width));
        for (y, (maxima, winners)) in lines.enumerate() {
            let Some(row) = shape.input_row(y, tap.row) else {
                continue;
            };
            let pixels = plane[row * shape.size_in[1]..][..shape.size_in[1]][tap.first..].iter();
            let best =
                maxima[tap.columns.clone()].iter_mut().zip(&mut winners[tap.columns.clone()]);
            for ((maximum, winner), &pixel) in best.zip(pixels.step_by(shape.stride[1])) {
                // Selections, not branches: which pixel wins cannot be predicted.
                let wins = (pixel > *maximum) | pixel.is_nan() | (*winner == NONE);
                *maximum = if wins { pixel } else { *maximum };
                *winner = if wins { number } else { *winner };
            }
        }
    }
}

/// Gradient of the image: each output gradient goes to the winner of its window.
pub(super) fn backward(shape: &ConvShape, winners: &[u8], gradient: &FlexTensor) -> FlexTensor {
    let gradient = gradient.to_contiguous();
    let mut output = Output::new(shape.batch * shape.channels_in * shape.pixels_in());
    let width = shape.size_out[1];
    // Pixels from the corner of a window to its elements, and from the image to the first corner.
    let offset = |row: usize, col: usize| row * shape.size_in[1] + col;
    let offsets: Vec<usize> = taps(shape).map(|tap| offset(tap.row, tap.col)).collect();
    let padding = offset(shape.padding[0], shape.padding[1]);
    let planes = output.as_mut_slice().par_chunks_exact_mut(shape.pixels_in());
    let gradients = gradient.storage::<f32>().par_chunks_exact(shape.pixels_out());
    let winners = winners.par_chunks_exact(shape.pixels_out());
    planes.zip(gradients.zip(winners)).for_each(|(plane, (gradients, winners))| {
        let plane = filled(plane, 0.0);
        let lines = gradients.chunks_exact(width).zip(winners.chunks_exact(width));
        for (y, (gradients, winners)) in lines.enumerate() {
            for (x, (gradient, winner)) in gradients.iter().zip(winners).enumerate() {
                let corner = y * shape.stride[0] * shape.size_in[1] + x * shape.stride[1];
                plane[corner + offsets[usize::from(*winner)] - padding] += gradient;
            }
        }
    });
    let [height, width] = shape.size_in;
    // SAFETY: every plane of the output was filled.
    unsafe { output.into_tensor([shape.batch, shape.channels_in, height, width]) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::ops::MaxPoolOptions;
    use burn::tensor::{Device, Tensor, module};
    use proptest::prelude::*;

    use super::super::max_pool2d;
    use super::super::testing::{elements, random};

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
}
