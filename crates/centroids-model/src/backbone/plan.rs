//! A network in eval mode as a list of layers, for whoever writes it down in another language.

use burn::tensor::Tensor;

use crate::layers::{Activation, BatchNorm, Conv2d};

/// A feature map of a plan: the images, or what one of its layers makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map(usize);

impl Map {
    /// Place in the list that begins with the images and goes on with every layer's output.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Layers in an order in which each finds its inputs; the last one makes the network's map.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    layers: Vec<Layer<'a>>,
}

/// A step from map to map.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "some hundred of them, for the time of an export")]
pub(crate) enum Layer<'a> {
    /// A convolution and what follows it.
    ConvNorm(ConvNormLayer<'a>),
    /// The largest value under a square window.
    MaxPool {
        input: Map,
        /// Side of the window.
        kernel: usize,
        stride: usize,
        padding: usize,
    },
}

/// `activation(norm(conv(input)) + shortcut)`
#[derive(Debug)]
pub(crate) struct ConvNormLayer<'a> {
    /// Convolution and norm as torchvision names them: `layer1.0.conv1`, `layer1.0.bn1`.
    pub(crate) names: [String; 2],
    pub(crate) conv: &'a Conv2d,
    pub(crate) norm: Norm<'a>,
    pub(crate) input: Map,
    pub(crate) shortcut: Option<Map>,
    pub(crate) activation: Activation,
}

/// What normalises the output of a convolution.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "some hundred of them, for the time of an export")]
pub(crate) enum Norm<'a> {
    /// Every channel by its running statistics.
    Batch(&'a BatchNorm),
    /// The first half of the channels by the statistics of each image, the second half by running
    /// ones: `IN` and `BN` of a state dict.
    InstanceBatch {
        /// Scale and shift, each `[c / 2]`.
        instance: [Tensor<1>; 2],
        batch: &'a BatchNorm,
    },
}

impl<'a> From<&'a BatchNorm> for Norm<'a> {
    fn from(norm: &'a BatchNorm) -> Norm<'a> {
        Norm::Batch(norm)
    }
}

impl<'a> Plan<'a> {
    /// `[n, 3, h, w]`
    pub(crate) const IMAGES: Map = Map(0);

    /// The layers in order.
    pub(crate) fn layers(&self) -> &[Layer<'a>] {
        &self.layers
    }

    /// Appends a convolution with its norm; `end` is what is added to it and the function of the sum.
    pub(super) fn conv_norm(
        &mut self,
        names: [String; 2],
        (conv, norm): (&'a Conv2d, impl Into<Norm<'a>>),
        input: Map,
        (shortcut, activation): (Option<Map>, Activation),
    ) -> Map {
        let norm = norm.into();
        self.push(Layer::ConvNorm(ConvNormLayer { names, conv, norm, input, shortcut, activation }))
    }

    /// Appends a pooling.
    pub(super) fn max_pool(&mut self, input: Map, [kernel, stride, padding]: [usize; 3]) -> Map {
        self.push(Layer::MaxPool { input, kernel, stride, padding })
    }

    fn push(&mut self, layer: Layer<'a>) -> Map {
        self.layers.push(layer);
        Map(self.layers.len())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int};

    use super::*;
    use crate::backbone::{Backbone, BackboneOptions, Network};
    use crate::kernels::max_pool2d;
    use crate::layers::{Mode, Part, conv_norm};
    use crate::weights::{collect, initialise};

    fn run(plan: &Plan<'_>, images: Tensor<4>) -> Tensor<4> {
        let mut maps = vec![images];
        for layer in plan.layers() {
            let of = |map: Map| maps[map.index()].clone();
            maps.push(match layer {
                Layer::ConvNorm(layer) => {
                    let Norm::Batch(norm) = layer.norm else { panic!("{:?}", layer.names) };
                    let part = layer.shortcut.map_or(Part::Inner, |map| Part::End(of(map), None));
                    let x = of(layer.input);
                    conv_norm((layer.conv, norm), x, part, layer.activation, Mode::Eval)
                }
                Layer::MaxPool { input, kernel, stride, padding } => {
                    max_pool2d(of(*input), [*kernel; 2], [*stride; 2], [*padding; 2])
                }
            });
        }
        maps.pop().unwrap()
    }

    #[test]
    fn a_plan_is_the_forward_pass() {
        let device = Device::flex();
        for (backbone, last_stride, stem_relu) in [
            (Backbone::ResNet18, 1, true),
            (Backbone::ResNet50, 1, false),
            (Backbone::ResNet50, 2, true),
            (Backbone::MobileNetV2, 1, false),
        ] {
            let options = BackboneOptions { backbone, last_stride, stem_relu };
            let network = initialise(Network::new(options, &device), 1);
            let images = Tensor::<1, Int>::arange(0..2 * 3 * 48 * 32, &device);
            let images = images.float().sin().reshape([2, 3, 48, 32]);
            let expected = network.forward(images.clone(), Mode::Eval).into_data();
            assert_eq!(run(&network.plan(), images).into_data(), expected, "{options:?}");
        }
    }

    #[test]
    fn every_tensor_is_named_as_in_the_state_dict() {
        let device = Device::flex();
        for backbone in Backbone::ALL {
            let options = BackboneOptions { backbone, last_stride: 1, stem_relu: false };
            let network = Network::new(options, &device);
            let plan = network.plan();
            let tensors = collect(&network);
            let mut count = 0;
            for layer in plan.layers() {
                let Layer::ConvNorm(layer) = layer else { continue };
                let [conv, norm] = &layer.names;
                let weight = &tensors[&format!("{conv}.weight")];
                assert_eq!(weight.shape, layer.conv.weight.val().dims());
                let instance = matches!(layer.norm, Norm::InstanceBatch { .. });
                let (norm, channels) = match instance {
                    true => (&format!("{norm}.BN"), weight.shape[0] / 2),
                    false => (norm, weight.shape[0]),
                };
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    assert_eq!(tensors[&format!("{norm}.{part}")].shape, [channels]);
                }
                count += if instance { 7 } else { 5 };
            }
            assert_eq!(count, tensors.len(), "{backbone}");
        }
    }
}
