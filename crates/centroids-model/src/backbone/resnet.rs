//! ResNet in torchvision's layout (He et al. 2016, stride on the 3×3 convolution), with the two
//! changes of the reference: the stride of the last stage is a setting (1 doubles the last map),
//! and there is no ReLU after the stem's batch norm unless asked for. The IBN-a variants have that
//! ReLU, and another first norm in the blocks of the first three stages.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::ibn::InstanceBatchNorm;
use super::plan::Norm;
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
    /// IBN-a.
    ibn: bool,
}

impl Depth {
    /// Blocks of two 3×3 convolutions.
    pub(super) fn basic(blocks: [usize; 4]) -> Depth {
        Depth { blocks, expansion: 1, ibn: false }
    }

    /// Blocks of 1×1, 3×3 and 1×1 convolutions.
    pub(super) fn bottleneck(blocks: [usize; 4]) -> Depth {
        Depth { blocks, expansion: 4, ibn: false }
    }

    /// The IBN-a variant.
    pub(super) fn with_ibn(self) -> Depth {
        Depth { ibn: true, ..self }
    }

    /// Whether it is the IBN-a variant.
    pub(super) fn has_ibn(self) -> bool {
        self.ibn
    }

    /// Whether the blocks among these names are as many as this depth has.
    pub(super) fn is_of_blocks(self, has: impl Fn(&str) -> bool) -> bool {
        (1..).zip(self.blocks).all(|(stage, blocks)| {
            let block = |index| has(&format!("layer{stage}.{index}.conv1.weight"));
            block(blocks - 1) && !block(blocks)
        })
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
            let ibn = depth.ibn && index < 3;
            (0..depth.blocks[index])
                .map(|block| {
                    let stride = if block == 0 { stride } else { 1 };
                    let input = std::mem::replace(&mut channels, output);
                    Block::new([input, planes, output], stride, ibn, device)
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
            stem_relu: stem_relu || depth.ibn,
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
        let (name, activation) = match self.stem_relu {
            true => ("relu", Activation::Relu),
            false => ("bn1", Activation::Identity),
        };
        let mut x = conv_norm((&self.conv1, &self.bn1), images, Part::Inner, activation, mode); // [n, 64, h/2, w/2]
        look(name, &x);
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
    bn1: FirstNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<ConvNorm>,
}

#[derive(Module, Debug)]
enum FirstNorm {
    Batch(BatchNorm),
    InstanceBatch(InstanceBatchNorm),
}

impl<'a> From<&'a FirstNorm> for Norm<'a> {
    fn from(norm: &'a FirstNorm) -> Norm<'a> {
        match norm {
            FirstNorm::Batch(norm) => Norm::Batch(norm),
            FirstNorm::InstanceBatch(norm) => norm.as_plan(),
        }
    }
}

impl Block {
    fn new(
        [input, planes, output]: [usize; 3],
        stride: usize,
        ibn: bool,
        device: &Device,
    ) -> Block {
        let bottleneck = output != planes;
        let (kernel1, stride1, stride2) = if bottleneck { (1, 1, stride) } else { (3, stride, 1) };
        Block {
            conv1: Conv2d::new(input, planes, kernel1, stride1, device),
            bn1: if ibn {
                FirstNorm::InstanceBatch(InstanceBatchNorm::new(planes, device))
            } else {
                FirstNorm::Batch(BatchNorm::new(planes, device))
            },
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
        let residual = Residual::default();
        let begin = || Part::Begin(residual.clone());
        let end = match &self.downsample {
            Some((conv, bn)) => {
                let (x, activation) = (x.clone(), Activation::Identity);
                Part::End(conv_norm((conv, bn), x, begin(), activation, mode), None)
            }
            None => Part::End(x.clone(), Some(residual.clone())),
        };
        let y = match &self.bn1 {
            FirstNorm::Batch(bn1) => {
                conv_norm((&self.conv1, bn1), x, begin(), Activation::Relu, mode)
            }
            FirstNorm::InstanceBatch(bn1) => bn1.relu(self.conv1.forward(x, begin(), mode), mode),
        };
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
        let first = (&self.conv1, &self.bn1);
        let y = plan.conv_norm(names(["conv1", "bn1"]), first, x, inner);
        let (second, conv2) = (names(["conv2", "bn2"]), (&self.conv2, &self.bn2));
        let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) else {
            return plan.conv_norm(second, conv2, y, end);
        };
        let y = plan.conv_norm(second, conv2, y, inner);
        plan.conv_norm(names(["conv3", "bn3"]), (conv3, bn3), y, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::weights::{collect, initialise};

    #[test]
    fn ibn_has_the_tensors_of_the_reference() {
        let depth = Depth::bottleneck([3, 4, 23, 3]).with_ibn();
        let tensors = collect(&ResNet::new(depth, 1, false, &Device::flex()));
        let shape = |name: &str| tensors[name].shape.as_slice();
        assert_eq!(shape("bn1.weight"), [64]);
        assert_eq!(shape("layer1.0.bn1.IN.weight"), [32]);
        assert_eq!(shape("layer1.2.bn1.BN.running_var"), [32]);
        assert_eq!(shape("layer3.22.bn1.IN.bias"), [128]);
        assert_eq!(shape("layer4.2.bn1.weight"), [512]);
        assert!(!tensors.contains_key("layer3.22.bn1.weight"));
        // IBN-Net's 44,549,160 parameters without the 2,049,000 of the classifier
        let trained = tensors.iter().filter(|(name, _)| !name.contains("running_"));
        assert_eq!(trained.map(|(_, array)| array.values.len()).sum::<usize>(), 42_500_160);
    }

    #[test]
    fn ibn_takes_the_look_of_a_camera_out_of_half_the_channels() {
        let device = Device::flex();
        let norm = InstanceBatchNorm::new(4, &device);
        let picture = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 6.0], &device);
        let picture = picture.reshape([1, 1, 2, 2]).repeat(&[1, 4, 1, 1]); // [1, 4, 2, 2]
        let other = picture.clone() * 5.0 + 7.0;
        let y = norm.relu(Tensor::cat(vec![picture, other], 0), Mode::Train(Precision::F32)); // [2, 4, 2, 2]
        let values: Vec<f32> = y.into_data().iter::<f32>().collect();
        let (first, second) = values.split_at(16);
        // mean 3, variance 3.5: (6 - 3) / sqrt(3.5)
        assert!((first[3] - 1.603_567).abs() < 1e-5, "{first:?}");
        for i in 0..8 {
            assert!((first[i] - second[i]).abs() < 1e-5, "channel {}", i / 4);
            assert!(
                i % 4 != 3 || (first[8 + i] - second[8 + i]).abs() > 0.5,
                "channel {}",
                2 + i / 4
            );
        }
    }

    #[test]
    fn ibn_runs_in_both_modes() {
        let device = Device::flex();
        let depth = Depth::bottleneck([1, 1, 1, 1]).with_ibn();
        let network = initialise(ResNet::new(depth, 1, false, &device), 1);
        for mode in [Mode::Train(Precision::F32), Mode::Eval] {
            let images = Tensor::ones([2, 3, 64, 32], &device);
            let map = network.forward_stages(images, mode, |_, _| ());
            assert_eq!(map.dims(), [2, 2048, 4, 2]);
        }
    }
}
