//! Convolution of images in channels-last order, and its gradients.
//!
//! 3×3 kernels of stride 1 go by Winograd's algorithm where it pays, all others by a matrix product.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::channels_last::ChannelsLast;
use super::conv_shape::{ConvShape, GradientWindow};
use super::correlate::{Destination, Target, correlate};
use super::epilogue::Epilogue;
use super::gemm::Packed;
use super::lanes::Isa;
use super::storage::{CHUNK, Output, SharedOutput, tensor};
use super::weight_view::WeightView;
use super::window::Window;
use super::{conv_weight, depthwise, winograd, winograd_weight};

/// A weight prepared for the forward pass.
pub(super) enum Prepared {
    /// For a matrix product.
    Direct(Packed),
    /// For Winograd's algorithm.
    Winograd(Packed),
    /// Tap by tap, `[taps, channels]`.
    Depthwise(Vec<f32>),
}

/// Prepares weight `[co, ci, kh, kw]`, or `[c, 1, kh, kw]` if depthwise, each output channel
/// multiplied with its scale.
pub(super) fn prepare(
    isa: Isa,
    shape: &ConvShape,
    weight: &[f32],
    depthwise: bool,
    scale: Option<&[f32]>,
) -> Prepared {
    let taps: Vec<usize> = (0..shape.taps()).collect();
    if depthwise {
        return Prepared::Depthwise(depthwise::by_tap(weight, &taps, shape, scale));
    }
    let depth = [shape.channels_in, shape.taps()];
    let columns = [shape.channels_out, shape.channels_in * shape.taps()];
    let view = WeightView { weight, taps: &taps, depth, columns, scale };
    prepare_view(isa, &shape.window(), &view)
}

fn prepare_view(isa: Isa, window: &Window, view: &WeightView<'_>) -> Prepared {
    if winograd::pays(window, view.columns[0]) {
        Prepared::Winograd(winograd::kernels(isa, view))
    } else {
        Prepared::Direct(view.pack(isa))
    }
}

/// Convolves images `[n, h, w, ci]` to `[n, oh, ow, co]`.
pub(super) fn forward(
    isa: Isa,
    shape: &ConvShape,
    images: &[f32],
    weight: &Prepared,
    epilogue: Option<&Epilogue<'_>>,
) -> Vec<f32> {
    let mut output = Output::new(shape.pixels_out() * shape.channels_out);
    let target = Target::every_pixel(shape.size_out);
    let destination = Destination { output: output.share(), target, accumulate: false };
    // SAFETY: the output holds the results, and nobody else reaches it.
    unsafe {
        run(isa, (images, shape.batch), &shape.window(), weight, destination, epilogue);
        output.into_values()
    }
}

/// Applies a prepared weight at every position of a window.
///
/// # Safety
/// The output must hold the target's pixels for all output channels.
unsafe fn run(
    isa: Isa,
    images: (&[f32], usize),
    window: &Window,
    weight: &Prepared,
    destination: Destination<'_>,
    epilogue: Option<&Epilogue<'_>>,
) {
    // SAFETY: passed on to the caller.
    unsafe {
        match weight {
            Prepared::Direct(weight) => {
                correlate(isa, images, window, weight, destination, epilogue);
            }
            Prepared::Winograd(kernels) => {
                winograd::correlate(isa, images, window, kernels, destination, epilogue);
            }
            Prepared::Depthwise(weight) => {
                depthwise::correlate(isa, images, window, weight, destination, epilogue);
            }
        }
    }
}

/// Gradient of the images, added to `others` if there are any.
pub(super) fn image_gradient(
    isa: Isa,
    shape: &ConvShape,
    (weight, depthwise): (&FlexTensor, bool),
    gradient: &ChannelsLast,
    others: Option<ChannelsLast>,
) -> ChannelsLast {
    let weight = weight.to_contiguous();
    let windows = shape.gradient_windows();
    let sources = Gradient { isa, shape, weight: weight.storage(), depthwise, gradient };
    if let Some(others) = others {
        return others.changed(|values| {
            // SAFETY: the map holds the images, and nobody else reaches it.
            unsafe { sources.run(&windows, SharedOutput::of(values), true) };
        });
    }
    let mut output = Output::new(shape.pixels_in() * shape.channels_in);
    if windows.iter().any(|part| part.taps.is_empty()) {
        // Pixels that no result is made of.
        let chunks = output.as_mut_slice().par_chunks_mut(CHUNK);
        chunks.for_each(|chunk| chunk.fill(MaybeUninit::new(0.0)));
    }
    let [height, width] = shape.size_in;
    // SAFETY: the output holds the images, nobody else reaches it, and every pixel belongs to one
    // window or was cleared above.
    let values = unsafe {
        sources.run(&windows, output.share(), false);
        output.into_values()
    };
    ChannelsLast::new(values, [shape.batch, shape.channels_in, height, width])
}

/// What the gradient of images is made of.
struct Gradient<'a> {
    isa: Isa,
    shape: &'a ConvShape,
    weight: &'a [f32],
    depthwise: bool,
    gradient: &'a ChannelsLast,
}

impl Gradient<'_> {
    /// # Safety
    /// The output must hold the images.
    unsafe fn run(&self, windows: &[GradientWindow], output: SharedOutput<'_>, accumulate: bool) {
        for part in windows.iter().filter(|part| !part.taps.is_empty()) {
            let weight = self.prepare(part);
            let destination = Destination { output, target: part.target, accumulate };
            let images = (self.gradient.values(), self.shape.batch);
            // SAFETY: passed on to the caller.
            unsafe { run(self.isa, images, &part.window, &weight, destination, None) };
        }
    }

    fn prepare(&self, part: &GradientWindow) -> Prepared {
        let Gradient { isa, shape, weight, .. } = *self;
        if self.depthwise {
            return Prepared::Depthwise(depthwise::by_tap(weight, &part.taps, shape, None));
        }
        let view = WeightView {
            weight,
            taps: &part.taps,
            depth: [shape.channels_out, shape.channels_in * shape.taps()],
            columns: [shape.channels_in, shape.taps()],
            scale: None,
        };
        prepare_view(isa, &part.window, &view)
    }
}

/// Gradient of the weight `[co, ci, kh, kw]`, or `[c, 1, kh, kw]` if depthwise.
pub(super) fn weight_gradient(
    isa: Isa,
    shape: &ConvShape,
    images: &ChannelsLast,
    gradient: &ChannelsLast,
    depthwise: bool,
) -> FlexTensor {
    let (window, channels) = (shape.window(), shape.channels_out);
    let (images, gradient) = (images.values(), gradient.values());
    let [height, width] = shape.kernel;
    if depthwise {
        let values = depthwise::weight_gradient(isa, images, &window, gradient);
        return tensor(values, [channels, 1, height, width]);
    }
    let values = if winograd::pays(&window, channels) {
        winograd_weight::weight_gradient(isa, images, &window, gradient, channels)
    } else {
        let by_tap = conv_weight::weight_gradient(isa, images, &window, gradient, channels);
        channels_first(by_tap, shape)
    };
    tensor(values, [channels, shape.channels_in, height, width])
}

/// `[co, taps, ci]` → `[co, ci, taps]`
fn channels_first(by_tap: Vec<f32>, shape: &ConvShape) -> Vec<f32> {
    let (taps, channels) = (shape.taps(), shape.channels_in);
    if taps == 1 {
        return by_tap;
    }
    let mut output = vec![0.0; by_tap.len()];
    let kernels = output.par_chunks_exact_mut(taps * channels);
    kernels.zip(by_tap.par_chunks_exact(taps * channels)).for_each(|(target, source)| {
        for (tap, values) in source.chunks_exact(channels).enumerate() {
            for (target, value) in target[tap..].iter_mut().step_by(taps).zip(values) {
                *target = *value;
            }
        }
    });
    output
}

#[cfg(test)]
mod tests {
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, Tensor, module};
    use proptest::prelude::*;

    use super::super::channels_last::ChannelsLast;
    use super::super::conv_shape::ConvShape;
    use super::super::lanes::Isa;
    use super::super::storage::tensor;
    use super::super::testing::{assert_close, elements, random, values};
    use super::super::{Convolution, conv2d};
    use super::{forward, image_gradient, prepare, weight_gradient};

    #[derive(Clone, Copy, Debug)]
    struct Case {
        batch: usize,
        channels: [usize; 2],
        size: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        depthwise: bool,
    }

    impl Case {
        fn x(&self, device: &Device) -> Tensor<4> {
            random([self.batch, self.channels[0], self.size[0], self.size[1]], 1, device)
        }

        fn weight(&self, device: &Device) -> Tensor<4> {
            let [channels_in, channels_out] =
                if self.depthwise { [1, self.channels[0]] } else { self.channels };
            random([channels_out, channels_in, self.kernel[0], self.kernel[1]], 2, device)
        }

        fn fast(&self, x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
            let Case { stride, padding, depthwise, .. } = *self;
            conv2d(x, weight, Convolution { stride, padding, depthwise }, None)
        }

        fn composed(&self, x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
            let groups = if self.depthwise { self.channels[0] } else { 1 };
            let options = ConvOptions::new(self.stride, self.padding, [1, 1], groups);
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
                assert_close(&fast[i], &composed[i], 3e-5, &format!("{what} of {self:?}"));
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
            depthwise: false,
        }
    }

    #[test]
    fn sums_the_pixels_under_a_kernel_of_ones() {
        let device = Device::flex();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]], &device);
        let how = Convolution { stride: [1, 1], padding: [1, 1], depthwise: false };
        let y = conv2d(x, Tensor::ones([1, 1, 3, 3], &device), how, None);
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
            // Winograd: whole tiles, tiles that stand out, channels that fill no vector.
            case([2, 64, 32], [16, 8], [3, 1, 1]),
            case([3, 35, 50], [13, 9], [3, 1, 1]),
            case([1, 300, 40], [8, 8], [3, 1, 0]),
            Case { depthwise: true, ..case([2, 40, 40], [11, 6], [3, 1, 1]) },
            Case { depthwise: true, ..case([2, 33, 33], [11, 6], [3, 2, 1]) },
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
            depthwise in any::<bool>(),
        ) {
            prop_assume!((0..2).all(|axis| kernel[axis] <= size[axis] + 2 * padding[axis]));
            Case { batch, channels, size, kernel, stride, padding, depthwise }.check();
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

    /// Result and both gradients in f64, straight from the definition, channels last; the weight's
    /// as `[co, ci, taps]`.
    fn definition(shape: &ConvShape, x: &[f32], weight: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
        let (ci, co, taps) = (shape.channels_in, shape.channels_out, shape.taps());
        let mut results = [vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; weight.len()]];
        let window = shape.window();
        for (result, position) in window.walk(0..shape.pixels_out()).enumerate() {
            for tap in 0..taps {
                let y = (position.y * shape.stride[0] + tap / shape.kernel[1]) as isize;
                let x_at = (position.x * shape.stride[1] + tap % shape.kernel[1]) as isize;
                let [y, x_at] = [y + window.first[0], x_at + window.first[1]];
                let [height, width] = shape.size_in.map(|size| size as isize);
                if y < 0 || x_at < 0 || y >= height || x_at >= width {
                    continue;
                }
                let pixel = (position.n * height as usize + y as usize) * width as usize;
                let pixel = pixel + x_at as usize;
                for (i, o) in (0..ci).flat_map(|i| (0..co).map(move |o| (i, o))) {
                    let (at_x, at_y, at_w) =
                        (pixel * ci + i, result * co + o, (o * ci + i) * taps + tap);
                    let value = |values: &[f32], at: usize| f64::from(values[at]);
                    results[0][at_y] += value(x, at_x) * value(weight, at_w);
                    results[1][at_x] += value(dy, at_y) * value(weight, at_w);
                    results[2][at_w] += value(x, at_x) * value(dy, at_y);
                }
            }
        }
        results
    }

    #[test]
    fn every_vector_unit_computes_the_definition() {
        for shape in [
            ConvShape::new([2, 5, 9, 7], 33, [3, 3], [2, 1], [1, 0]),
            ConvShape::new([3, 40, 9, 7], 37, [3, 3], [1, 1], [1, 1]),
            ConvShape::new([1, 270, 4, 3], 70, [1, 1], [1, 1], [0, 0]),
            ConvShape::new([2, 3, 16, 11], 20, [7, 7], [2, 2], [3, 3]),
        ] {
            let [height, width] = shape.size_in;
            let x = values(shape.pixels_in() * shape.channels_in, 1);
            let weight = values(shape.channels_out * shape.channels_in * shape.taps(), 2);
            let dy = values(shape.pixels_out() * shape.channels_out, 3);
            let expected = definition(&shape, &x, &weight, &dy);
            let image_dims = [shape.batch, shape.channels_in, height, width];
            let dims = [shape.batch, shape.channels_out, shape.size_out[0], shape.size_out[1]];
            let (images, gradient) =
                (ChannelsLast::new(x.clone(), image_dims), ChannelsLast::new(dy, dims));
            let [kh, kw] = shape.kernel;
            let weights = tensor(weight.clone(), [shape.channels_out, shape.channels_in, kh, kw]);
            for isa in Isa::available() {
                let prepared = prepare(isa, &shape, &weight, false, None);
                let dw = weight_gradient(isa, &shape, &images, &gradient, false);
                let actual = [
                    forward(isa, &shape, &x, &prepared, None),
                    image_gradient(isa, &shape, (&weights, false), &gradient, None)
                        .values()
                        .to_vec(),
                    dw.storage::<f32>().to_vec(),
                ];
                for (i, actual) in actual.iter().enumerate() {
                    let actual: Vec<f64> = actual.iter().map(|value| f64::from(*value)).collect();
                    assert_close(&actual, &expected[i], 2e-6, &format!("{isa:?} {shape:?} {i}"));
                }
            }
        }
    }
}
