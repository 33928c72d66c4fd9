//! ResNet in torchvision's layout (He et al. 2016, stride on the 3×3 convolution), with the two
//! changes of the reference: the stride of the last stage is a setting (1 doubles the last map),
//! and there is no ReLU after the stem's batch norm unless asked for.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{ConvNorm, Map, Plan};
use crate::kernels::max_pool2d;
use crate::layers::{Activation, BatchNorm, Conv2d, Mode, Part, Residual, conv_norm};

/// What distinguishes one ResNet from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Residual blocks of the four stages.
    blocks: [usize; 4],
    /// Channels that leave a block, as a multiple of those in its middle: 1 or 4.
    expansion: usize,
}

impl Depth {
    /// Blocks of two 3×3 convolutions.
    pub(super) fn basic(blocks: [usize; 4]) -> Depth {
        Depth { blocks, expansion: 1 }
    }

    /// Blocks of 1×1, 3×3 and 1×1 convolutions.
    pub(super) fn bottleneck(blocks: [usize; 4]) -> Depth {
        Depth { blocks, expansion: 4 }
    }

    /// Channels of the last map.
    pub(super) fn channels(self) -> usize {
        512 * self.expansion
    }
}

/// A residual network without its classifier.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    #[module(skip)]
    stem_relu: bool,
}

impl ResNet {
    pub(super) fn new(
        depth: Depth,
        last_stride: usize,
        stem_relu: bool,
        device: &Device,
    ) -> ResNet {
        let mut channels = 64;
        let mut stage = |index: usize, stride: usize| -> Vec<Block> {
            let planes = 64 << index;
            let output = planes * depth.expansion;
            (0..depth.blocks[index])
                .map(|block| {
                    let stride = if block == 0 { stride } else { 1 };
                    let input = std::mem::replace(&mut channels, output);
                    Block::new(input, planes, output, stride, device)
                })
                .collect()
        };
        ResNet {
            conv1: Conv2d::new(3, 64, 7, 2, device),
            bn1: BatchNorm::new(64, device),
            layer1: stage(0, 1),
            layer2: stage(1, 2),
            layer3: stage(2, 2),
            layer4: stage(3, last_stride),
            stem_relu,
        }
    }

    /// `[n, 3, h, w]` → `[n, channels, h / 16, w / 16]` (last stride 1), showing every stage's
    /// output to `look`.
    pub(super) fn forward_stages(
        &self,
        images: Tensor<4>,
        mode: Mode,
        mut look: impl FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        let activation = self.stem_activation();
        let mut x = conv_norm((&self.conv1, &self.bn1), images, Part::Inner, activation, mode); // [n, 64, h/2, w/2]
        look("bn1", &x);
        x = max_pool2d(x, [3, 3], [2, 2], [1, 1]); // [n, 64, h/4, w/4]
        look("maxpool", &x);
        for (name, blocks) in self.stages() {
            x = blocks.iter().fold(x, |x, block| block.forward(x, mode));
            look(name, &x);
        }
        x
    }

    /// The layers of [`ResNet::forward_stages`] in eval mode.
    pub(super) fn plan(&self) -> Plan<'_> {
        let mut plan = Plan::default();
        let (names, stem) = (["conv1", "bn1"].map(str::to_owned), (&self.conv1, &self.bn1));
        let x = plan.conv_norm(names, stem, Plan::IMAGES, (None, self.stem_activation()));
        let mut x = plan.max_pool(x, [3, 2, 1]);
        for (stage, blocks) in self.stages() {
            for (index, block) in blocks.iter().enumerate() {
                x = block.plan(&format!("{stage}.{index}"), x, &mut plan);
            }
        }
        plan
    }

    fn stem_activation(&self) -> Activation {
        if self.stem_relu { Activation::Relu } else { Activation::Identity }
    }

    fn stages(&self) -> [(&'static str, &[Block]); 4] {
        [
            ("layer1", &self.layer1),
            ("layer2", &self.layer2),
            ("layer3", &self.layer3),
            ("layer4", &self.layer4),
        ]
    }
}

/// A residual block: basic (3×3, 3×3) or bottleneck (1×1, 3×3, 1×1) when `conv3` is there.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(input: usize, planes: usize, output: usize, stride: usize, device: &Device) -> Block {
        let bottleneck = output != planes;
        let (kernel1, stride1, stride2) = if bottleneck { (1, 1, stride) } else { (3, stride, 1) };
        Block {
            conv1: Conv2d::new(input, planes, kernel1, stride1, device),
            bn1: BatchNorm::new(planes, device),
            conv2: Conv2d::new(planes, planes, 3, stride2, device),
            bn2: BatchNorm::new(planes, device),
            conv3: bottleneck.then(|| Conv2d::new(planes, output, 1, 1, device)),
            bn3: bottleneck.then(|| BatchNorm::new(output, device)),
            downsample: (stride != 1 || input != output).then(|| {
                (Conv2d::new(input, output, 1, stride, device), BatchNorm::new(output, device))
            }),
        }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let first = (&self.conv1, &self.bn1);
        let residual = Residual::default();
        let begin = || Part::Begin(residual.clone());
        let end = match &self.downsample {
            Some((conv, bn)) => {
                let (x, activation) = (x.clone(), Activation::Identity);
                Part::End(conv_norm((conv, bn), x, begin(), activation, mode), None)
            }
            None => Part::End(x.clone(), Some(residual.clone())),
        };
        let y = conv_norm(first, x, begin(), Activation::Relu, mode);
        let second = (&self.conv2, &self.bn2);
        let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) else {
            return conv_norm(second, y, end, Activation::Relu, mode);
        };
        let y = conv_norm(second, y, Part::Inner, Activation::Relu, mode);
        conv_norm((conv3, bn3), y, end, Activation::Relu, mode)
    }
    /// Appends the layers of [`Block::forward`]; `path` is the block's name.
    fn plan<'a>(&'a self, path: &str, x: Map, plan: &mut Plan<'a>) -> Map {
        let names = |parts: [&str; 2]| parts.map(|part| format!("{path}.{part}"));
        let shortcut = match &self.downsample {
            Some((conv, bn)) => {
                let names = names(["downsample.0", "downsample.1"]);
                plan.conv_norm(names, (conv, bn), x, (None, Activation::Identity))
            }
            None => x,
        };
        let (inner, end) = ((None, Activation::Relu), (Some(shortcut), Activation::Relu));
        let y = plan.conv_norm(names(["conv1", "bn1"]), (&self.conv1, &self.bn1), x, inner);
        let (second, conv2) = (names(["conv2", "bn2"]), (&self.conv2, &self.bn2));
        let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) else {
            return plan.conv_norm(second, conv2, y, end);
        };
        let y = plan.conv_norm(second, conv2, y, inner);
        plan.conv_norm(names(["conv3", "bn3"]), (conv3, bn3), y, end)
    }
}
