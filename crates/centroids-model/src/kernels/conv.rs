//! Convolution and the gradient of its image.
//!
//! Images stay in their `[n, c, h, w]` order; a part of an image is unfolded into a matrix and
//! multiplied with the weight. A task computes elements of the result that no other task touches,
//! each sum in one order, so equal inputs give equal bits.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::im2col::{ConvShape, Part, fold_add, unfold};
use super::matmul::{Matrix, matmul};
use super::storage::{Output, dims, filled, with_scratch};

/// Elements of an unfolded part (1 MiB): what stays near the core until it is multiplied.
const PART_ELEMENTS: usize = 1 << 18;
/// Fewer columns than this leave the matrix product inefficient.
const MIN_COLUMNS: usize = 128;

/// Convolves image `[n, ci, h, w]` with weight `[co, ci, kh, kw]` to `[n, co, oh, ow]`.
pub(super) fn forward(
    image: &FlexTensor,
    weight: &FlexTensor,
    stride: [usize; 2],
    padding: [usize; 2],
) -> FlexTensor {
    let shape = ConvShape::new(dims(image), dims(weight), stride, padding);
    let (image, weight) = (image.to_contiguous(), weight.to_contiguous());
    let (image, weight) = (image.storage::<f32>(), weight.storage::<f32>());
    let pixels = shape.pixels_out();
    let weight = Matrix::new(weight, [shape.channels_out, shape.depth()], shape.depth());
    let mut output = Output::new(shape.batch * shape.channels_out * pixels);
    let shared = output.share();

    let rows = rows_per_part(&shape);
    let parts = shape.size_out[0].div_ceil(rows);
    (0..shape.batch * parts).into_par_iter().with_max_len(1).for_each(|task| {
        let (n, first) = (task / parts, task % parts * rows);
        let image = &image[n * shape.channels_in * shape.pixels_in()..]
            [..shape.channels_in * shape.pixels_in()];
        let rows = first..(first + rows).min(shape.size_out[0]);
        let start = first * shape.size_out[1];
        let columns = rows.len() * shape.size_out[1];
        let target = shared.pointer(n * shape.channels_out * pixels + start);
        let multiply = |unfolded: Matrix<'_>| {
            // SAFETY: the product covers columns `start..start + columns` of image n's planes,
            // which lie in the output and belong to this task alone.
            unsafe { matmul(target, pixels, weight, unfolded, false) }
        };
        if shape.is_pointwise() {
            multiply(Matrix::new(&image[start..], [shape.depth(), columns], pixels));
        } else {
            with_scratch([shape.depth() * columns, 0], |unfolded, _| {
                unfold(&shape, image, &Part { rows, row_stride: columns }, unfolded);
                multiply(Matrix::new(unfolded, [shape.depth(), columns], columns));
            });
        }
    });
    let [height, width] = shape.size_out;
    // SAFETY: the tasks cover all images and all their output rows.
    unsafe { output.into_tensor([shape.batch, shape.channels_out, height, width]) }
}

/// Output rows of one forward task: at least a task for every thread, in parts of equal height.
fn rows_per_part(shape: &ConvShape) -> usize {
    let [height, width] = shape.size_out;
    let columns = if shape.is_pointwise() {
        shape.pixels_out()
    } else {
        (PART_ELEMENTS / shape.depth()).max(MIN_COLUMNS)
    };
    let parts = height.div_ceil((columns / width).max(1));
    let tasks_per_image = rayon::current_num_threads().div_ceil(shape.batch);
    height.div_ceil(parts.max(tasks_per_image))
}

/// Gradient of the image: the transpose of [`forward`] in its first argument.
pub(super) fn image_gradient(
    shape: &ConvShape,
    weight: &FlexTensor,
    gradient: &FlexTensor,
) -> FlexTensor {
    let (weight, gradient) = (weight.to_contiguous(), gradient.to_contiguous());
    let (weight, gradient) = (weight.storage::<f32>(), gradient.storage::<f32>());
    let pixels = shape.pixels_out();
    let mut output = Output::new(shape.batch * shape.channels_in * shape.pixels_in());

    // A task owns some input channels of one image.
    let channels = channels_per_part(shape);
    let depth = channels * shape.taps();
    let parts = shape.channels_in / channels;
    let planes = output.as_mut_slice().par_chunks_exact_mut(channels * shape.pixels_in());
    planes.enumerate().with_max_len(1).for_each(|(task, image)| {
        let (n, part) = (task / parts, task % parts);
        let gradient = &gradient[n * shape.channels_out * pixels..];
        let gradient = Matrix::new(gradient, [shape.channels_out, pixels], pixels);
        let weight = &weight[part * depth..];
        let weight = Matrix::new(weight, [shape.channels_out, depth], shape.depth()).transposed();
        if shape.is_pointwise() {
            // SAFETY: depth × pixels is exactly the task's own chunk of the output.
            unsafe { matmul(image.as_mut_ptr().cast(), pixels, weight, gradient, false) };
        } else {
            with_scratch([depth * pixels, 0], |unfolded, _| {
                // SAFETY: depth × pixels is exactly the scratch buffer, borrowed mutably here.
                unsafe { matmul(unfolded.as_mut_ptr(), pixels, weight, gradient, false) };
                let part = Part { rows: 0..shape.size_out[0], row_stride: pixels };
                fold_add(shape, unfolded, &part, filled(image, 0.0));
            });
        }
    });
    let [height, width] = shape.size_in;
    // SAFETY: the chunks cover the whole output, since `channels` divides the input channels.
    unsafe { output.into_tensor([shape.batch, shape.channels_in, height, width]) }
}

/// Input channels of one task of the image gradient: a divisor of all of them.
fn channels_per_part(shape: &ConvShape) -> usize {
    let all = shape.channels_in;
    let fitting = if shape.is_pointwise() {
        all
    } else {
        PART_ELEMENTS / (shape.taps() * shape.pixels_out())
    };
    let shared = all * shape.batch / rayon::current_num_threads();
    let most = fitting.min(shared).clamp(1, all);
    (1..=most).rev().find(|&channels| all.is_multiple_of(channels)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, Tensor, module};
    use proptest::prelude::*;

    use super::super::conv2d;
    use super::super::testing::{assert_close, elements, random};

    #[derive(Clone, Copy, Debug)]
    struct Case {
        batch: usize,
        channels: [usize; 2],
        size: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    }

    impl Case {
        fn x(&self, device: &Device) -> Tensor<4> {
            random([self.batch, self.channels[0], self.size[0], self.size[1]], 1, device)
        }

        fn weight(&self, device: &Device) -> Tensor<4> {
            let [channels_in, channels_out] = self.channels;
            random([channels_out, channels_in, self.kernel[0], self.kernel[1]], 2, device)
        }

        fn fast(&self, x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
            conv2d(x, weight, self.stride, self.padding)
        }

        fn composed(&self, x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
            let options = ConvOptions::new(self.stride, self.padding, [1, 1], 1);
            module::conv2d(x, weight, None, options)
        }

        /// Output and both gradients of a random linear function of the output.
        fn run(
            &self,
            device: &Device,
            conv: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
        ) -> [Vec<f64>; 3] {
            let (x, weight) = (self.x(device).require_grad(), self.weight(device).require_grad());
            let output = conv(x.clone(), weight.clone());
            let grads = (output.clone() * random(output.dims(), 3, device)).sum().backward();
            let [x, weight] = [x, weight].map(|input| elements(&input.grad(&grads).unwrap()));
            [elements(&output), x, weight]
        }

        fn check(&self) {
            let device = Device::flex().autodiff();
            let fast = self.run(&device, |x, weight| self.fast(x, weight));
            let composed = self.run(&device, |x, weight| self.composed(x, weight));
            for (i, what) in ["output", "image gradient", "weight gradient"].iter().enumerate() {
                assert_close(&fast[i], &composed[i], 2e-5, &format!("{what} of {self:?}"));
            }
            let again = self.run(&device, |x, weight| self.fast(x, weight));
            assert_eq!(fast, again, "bits of {self:?}");
        }
    }

    fn case(
        [batch, channels_in, channels_out]: [usize; 3],
        size: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
    ) -> Case {
        Case {
            batch,
            channels: [channels_in, channels_out],
            size,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        }
    }

    #[test]
    fn sums_the_pixels_under_a_kernel_of_ones() {
        let device = Device::flex();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]], &device);
        let y = conv2d(x, Tensor::ones([1, 1, 3, 3], &device), [1, 1], [1, 1]);
        assert_eq!(elements(&y), [12.0, 21.0, 16.0, 12.0, 21.0, 16.0]);
    }

    #[test]
    fn layers_of_a_resnet_agree_with_composed_operations() {
        for case in [
            case([2, 3, 64], [64, 33], [7, 2, 3]),
            case([1, 64, 32], [40, 24], [3, 1, 1]),
            case([3, 32, 48], [17, 9], [3, 2, 1]),
            case([5, 24, 40], [4, 4], [1, 1, 0]),
            case([1, 40, 24], [8, 6], [1, 1, 0]),
            case([2, 32, 64], [15, 8], [1, 2, 0]),
            case([9, 16, 16], [2, 2], [3, 1, 1]),
            case([7, 2, 3], [1, 1], [3, 1, 1]),
            case([1, 1, 1], [1, 1], [1, 1, 0]),
        ] {
            case.check();
        }
    }

    proptest! {
        #[test]
        fn any_shape_agrees_with_composed_operations(
            batch in 1usize..6,
            channels in [1usize..9, 1..9],
            size in [1usize..14, 1..14],
            kernel in prop::sample::select(vec![[1, 1], [3, 3], [7, 7], [1, 3], [5, 2]]),
            stride in [1usize..4, 1..4],
            padding in [0usize..4, 0..4],
        ) {
            prop_assume!((0..2).all(|axis| kernel[axis] <= size[axis] + 2 * padding[axis]));
            Case { batch, channels, size, kernel, stride, padding }.check();
        }
    }

    #[test]
    fn untracked_inputs_get_no_gradient_and_tracked_ones_the_same() {
        let device = Device::flex().autodiff();
        let case = case([2, 3, 4], [6, 5], [3, 1, 1]);
        let [_, dx, dw] = case.run(&device, |x, weight| case.fast(x, weight));
        for [track_x, track_weight] in [[true, false], [false, true]] {
            let (x, weight) = (case.x(&device), case.weight(&device));
            let x = x.set_require_grad(track_x);
            let weight = weight.set_require_grad(track_weight);
            let y = case.fast(x.clone(), weight.clone());
            let grads = (y.clone() * random(y.dims(), 3, &device)).sum().backward();
            let expected = [track_x.then(|| dx.clone()), track_weight.then(|| dw.clone())];
            assert_eq!([x, weight].map(|t| t.grad(&grads).map(|g| elements(&g))), expected);
        }
    }

    #[test]
    fn views_and_checkpointing_change_nothing() {
        let device = Device::flex().autodiff().gradient_checkpointing();
        let case = case([3, 4, 6], [7, 5], [3, 1, 1]);
        let plain = case.run(&Device::flex().autodiff(), |x, weight| case.fast(x, weight));
        let views = case.run(&device, |x, weight| {
            // Strided views of the same values.
            let x = x.swap_dims(2, 3).mul_scalar(1.0).swap_dims(2, 3);
            case.fast(x, weight.swap_dims(0, 1).mul_scalar(1.0).swap_dims(0, 1))
        });
        assert_eq!(plain, views);
    }

    #[test]
    fn other_element_types_use_composed_operations() {
        let device = Device::flex();
        let case = case([2, 3, 4], [6, 5], [3, 2, 1]);
        let double = |tensor: Tensor<4>| tensor.cast(burn::tensor::DType::F64);
        let y = case.fast(double(case.x(&device)), double(case.weight(&device)));
        assert_eq!(y.dtype(), burn::tensor::DType::F64);
        let single = case.fast(case.x(&device), case.weight(&device));
        assert_close(&elements(&single), &elements(&y), 1e-6, "f32 against f64");
    }
}
