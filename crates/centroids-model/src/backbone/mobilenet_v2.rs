//! MobileNetV2 in torchvision's layout (Sandler et al. 2018), width 1.0: inverted residuals, which
//! widen by a 1×1 convolution, filter every channel on its own, and narrow without activation.

#![expect(clippy::large_enum_variant, reason = "most are of the large variant")]

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{ConvNorm, Map, Plan};
use crate::layers::{Activation, BatchNorm, Conv2d, Mode, Part, Residual, conv_norm};

/// Channels of the last map.
pub(super) const CHANNELS: usize = 1280;

/// Groups of equal blocks: (expansion, channels, blocks, stride of the first); table 2 of the paper.
const GROUPS: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// A MobileNetV2 without its classifier.
#[derive(Module, Debug)]
pub struct MobileNetV2 {
    features: Vec<Feature>,
}

#[derive(Module, Debug)]
enum Feature {
    ConvNorm(ConvNorm),
    Block(Block),
}

impl MobileNetV2 {
    pub(super) fn new(device: &Device) -> MobileNetV2 {
        let first = (Conv2d::new(3, 32, 3, 2, device), BatchNorm::new(32, device));
        let mut features = vec![Feature::ConvNorm(first)];
        let mut input = 32;
        for (expansion, output, blocks, stride) in GROUPS {
            for block in 0..blocks {
                let stride = if block == 0 { stride } else { 1 };
                features.push(Feature::Block(Block::new(input, output, expansion, stride, device)));
                input = output;
            }
        }
        let last = (Conv2d::new(input, CHANNELS, 1, 1, device), BatchNorm::new(CHANNELS, device));
        features.push(Feature::ConvNorm(last));
        MobileNetV2 { features }
    }

    /// `[n, 3, h, w]` → `[n, 1280, h / 32, w / 32]`, showing every feature's output to `look`.
    pub(super) fn forward_stages(
        &self,
        images: Tensor<4>,
        mode: Mode,
        mut look: impl FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        self.features.iter().enumerate().fold(images, |x, (index, feature)| {
            let y = match feature {
                Feature::ConvNorm(layer) => relu6(layer, x, Part::Inner, mode),
                Feature::Block(block) => block.forward(x, mode),
            };
            look(&format!("features.{index}"), &y);
            y
        })
    }

    /// The layers of [`MobileNetV2::forward_stages`] in eval mode.
    pub(super) fn plan(&self) -> Plan<'_> {
        let mut plan = Plan::default();
        self.features.iter().enumerate().fold(Plan::IMAGES, |x, (index, feature)| {
            let path = format!("features.{index}");
            match feature {
                Feature::ConvNorm(layer) => plan_relu6(layer, path, x, &mut plan),
                Feature::Block(block) => block.plan(&format!("{path}.conv"), x, &mut plan),
            }
        });
        plan
    }
}

/// An inverted residual; with a shortcut where input and output have the same shape.
#[derive(Module, Debug)]
struct Block {
    conv: Layers,
    #[module(skip)]
    shortcut: bool,
}

/// The last two of either are the narrowing convolution and its batch norm.
#[derive(Module, Debug)]
enum Layers {
    /// Filter, narrow.
    Plain((ConvNorm, Conv2d, BatchNorm)),
    /// Widen, filter, narrow.
    Expanded((ConvNorm, ConvNorm, Conv2d, BatchNorm)),
}

impl Block {
    fn new(input: usize, output: usize, expansion: usize, stride: usize, device: &Device) -> Block {
        let inner = input * expansion;
        let norm = |channels| BatchNorm::new(channels, device);
        let filter = (Conv2d::depthwise(inner, 3, stride, device), norm(inner));
        let narrow = Conv2d::new(inner, output, 1, 1, device);
        let conv = if expansion == 1 {
            Layers::Plain((filter, narrow, norm(output)))
        } else {
            let widen = (Conv2d::new(input, inner, 1, 1, device), norm(inner));
            Layers::Expanded((widen, filter, narrow, norm(output)))
        };
        Block { conv, shortcut: stride == 1 && input == output }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let (begin, end) = if self.shortcut {
            let residual = Residual::default();
            (Part::Begin(residual.clone()), Part::End(x.clone(), Some(residual)))
        } else {
            (Part::Inner, Part::Inner)
        };
        let (y, narrow, norm) = match &self.conv {
            Layers::Plain((filter, narrow, norm)) => (relu6(filter, x, begin, mode), narrow, norm),
            Layers::Expanded((widen, filter, narrow, norm)) => {
                let y = relu6(widen, x, begin, mode);
                (relu6(filter, y, Part::Inner, mode), narrow, norm)
            }
        };
        conv_norm((narrow, norm), y, end, Activation::Identity, mode)
    }

    /// Appends the layers of [`Block::forward`]; `path` is the name of its layers.
    fn plan<'a>(&'a self, path: &str, x: Map, plan: &mut Plan<'a>) -> Map {
        let at = |index: usize| format!("{path}.{index}");
        let (y, last, narrow, norm) = match &self.conv {
            Layers::Plain((filter, narrow, norm)) => {
                (plan_relu6(filter, at(0), x, plan), 1, narrow, norm)
            }
            Layers::Expanded((widen, filter, narrow, norm)) => {
                let y = plan_relu6(widen, at(0), x, plan);
                (plan_relu6(filter, at(1), y, plan), 2, narrow, norm)
            }
        };
        let end = (self.shortcut.then_some(x), Activation::Identity);
        plan.conv_norm([at(last), at(last + 1)], (narrow, norm), y, end)
    }
}

fn relu6((conv, norm): &ConvNorm, x: Tensor<4>, part: Part, mode: Mode) -> Tensor<4> {
    conv_norm((conv, norm), x, part, Activation::Relu6, mode)
}

/// Appends [`relu6`]; `path` is the name of convolution and norm together.
fn plan_relu6<'a>((conv, norm): &'a ConvNorm, path: String, x: Map, plan: &mut Plan<'a>) -> Map {
    let names = [format!("{path}.0"), format!("{path}.1")];
    plan.conv_norm(names, (conv, norm), x, (None, Activation::Relu6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{collect, initialise};

    #[test]
    fn has_the_tensors_of_torchvision() {
        let network = MobileNetV2::new(&Device::flex());
        let tensors = collect(&network);
        let shape = |name: &str| tensors[name].shape.as_slice();
        assert_eq!(shape("features.0.0.weight"), [32, 3, 3, 3]);
        assert_eq!(shape("features.1.conv.0.0.weight"), [32, 1, 3, 3]);
        assert_eq!(shape("features.1.conv.1.weight"), [16, 32, 1, 1]);
        assert_eq!(shape("features.2.conv.1.0.weight"), [96, 1, 3, 3]);
        assert_eq!(shape("features.17.conv.3.running_var"), [320]);
        assert_eq!(shape("features.18.1.bias"), [1280]);
        // torchvision's 3,504,872 parameters without the 1,281,000 of the classifier
        let running = |name: &str| name.contains("running_");
        let trained = tensors.iter().filter(|(name, _)| !running(name));
        assert_eq!(trained.map(|(_, array)| array.values.len()).sum::<usize>(), 2_223_872);
    }

    #[test]
    fn the_map_is_a_32nd_of_the_image() {
        let device = Device::flex();
        let network = initialise(MobileNetV2::new(&device), 1);
        let images = Tensor::ones([2, 3, 64, 96], &device);
        let map = network.forward_stages(images, Mode::Eval, |_, _| ());
        assert_eq!(map.dims(), [2, CHANNELS, 2, 3]);
    }
}
