//! Backbones: images `[n, 3, h, w]` → feature maps `[n, c, h', w']`.

mod ibn;
mod mobilenet_v2;
mod plan;
mod resnet;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use mobilenet_v2::MobileNetV2;
pub(crate) use plan::{ConvNormLayer, Layer, Map, Norm, Plan};
pub use resnet::ResNet;

use crate::Error;
use crate::layers::{BatchNorm, Conv2d, Mode};
use crate::weights::shapes;
use resnet::Depth;

/// The backbones that can be chosen by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// ResNet-18: basic blocks 2-2-2-2, 512 channels.
    ResNet18,
    /// ResNet-34: basic blocks 3-4-6-3, 512 channels.
    ResNet34,
    /// ResNet-50: bottlenecks 3-4-6-3, 2048 channels.
    ResNet50,
    /// ResNet-101: bottlenecks 3-4-23-3, 2048 channels.
    ResNet101,
    /// ResNet-152: bottlenecks 3-8-36-3, 2048 channels.
    ResNet152,
    /// ResNet-50 with instance norm in half of its first channels, 2048 channels.
    #[serde(rename = "resnet50_ibn_a")]
    ResNet50IbnA,
    /// ResNet-101 with instance norm in half of its first channels, 2048 channels.
    #[serde(rename = "resnet101_ibn_a")]
    ResNet101IbnA,
    /// MobileNetV2, width 1.0, 1280 channels.
    #[serde(rename = "mobilenet_v2")]
    MobileNetV2,
}

/// The family of a backbone and what it takes to build it.
enum Architecture {
    ResNet(Depth),
    MobileNetV2,
}

impl Backbone {
    /// Every backbone, by family, smallest first.
    pub const ALL: [Backbone; 8] = [
        Backbone::ResNet18,
        Backbone::ResNet34,
        Backbone::ResNet50,
        Backbone::ResNet101,
        Backbone::ResNet152,
        Backbone::ResNet50IbnA,
        Backbone::ResNet101IbnA,
        Backbone::MobileNetV2,
    ];

    /// The name used in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Backbone::ResNet18 => "resnet18",
            Backbone::ResNet34 => "resnet34",
            Backbone::ResNet50 => "resnet50",
            Backbone::ResNet101 => "resnet101",
            Backbone::ResNet152 => "resnet152",
            Backbone::ResNet50IbnA => "resnet50_ibn_a",
            Backbone::ResNet101IbnA => "resnet101_ibn_a",
            Backbone::MobileNetV2 => "mobilenet_v2",
        }
    }

    /// Channels of the last feature map, hence the dimension of an embedding.
    pub fn channels(self) -> usize {
        match self.architecture() {
            Architecture::ResNet(depth) => depth.channels(),
            Architecture::MobileNetV2 => mobilenet_v2::CHANNELS,
        }
    }

    /// The backbone whose tensors, under torchvision's names, a file holds: all of them, in their
    /// shapes, and no blocks of a deeper one.
    pub(crate) fn fitting<'a>(shape_of: impl Fn(&str) -> Option<&'a [usize]>) -> Option<Backbone> {
        let has = |name: &str| shape_of(name).is_some();
        Backbone::ALL.into_iter().find(|backbone| {
            let blocks = match backbone.architecture() {
                Architecture::ResNet(depth) => depth.is_of_blocks(has),
                Architecture::MobileNetV2 => has("features.0.0.weight"),
            };
            blocks && backbone.shapes().iter().all(|(name, shape)| shape_of(name) == Some(shape))
        })
    }

    /// Names and shapes of its tensors.
    pub(crate) fn shapes(self) -> BTreeMap<String, Vec<usize>> {
        let options = BackboneOptions { backbone: self, last_stride: 1, stem_relu: false };
        shapes(&Network::new(options, &Device::flex()))
    }

    fn architecture(self) -> Architecture {
        let depth = match self {
            Backbone::ResNet18 => Depth::basic([2, 2, 2, 2]),
            Backbone::ResNet34 => Depth::basic([3, 4, 6, 3]),
            Backbone::ResNet50 => Depth::bottleneck([3, 4, 6, 3]),
            Backbone::ResNet101 => Depth::bottleneck([3, 4, 23, 3]),
            Backbone::ResNet152 => Depth::bottleneck([3, 8, 36, 3]),
            Backbone::ResNet50IbnA => Depth::bottleneck([3, 4, 6, 3]).with_ibn(),
            Backbone::ResNet101IbnA => Depth::bottleneck([3, 4, 23, 3]).with_ibn(),
            Backbone::MobileNetV2 => return Architecture::MobileNetV2,
        };
        Architecture::ResNet(depth)
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backbone {
    type Err = Error;

    fn from_str(name: &str) -> Result<Backbone, Error> {
        Backbone::ALL.into_iter().find(|backbone| backbone.name() == name).ok_or_else(|| {
            Error::UnknownBackbone {
                name: name.to_owned(),
                known: Backbone::ALL.map(Backbone::name).join(", "),
            }
        })
    }
}

/// A backbone and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackboneOptions {
    /// Which network.
    pub backbone: Backbone,
    /// ResNets: stride of the last stage, 1 (the reference) or 2 (torchvision). Else 1: the
    /// strides of the other networks are torchvision's.
    pub last_stride: usize,
    /// ResNets: ReLU after the stem's batch norm, false (the reference) or true (torchvision).
    /// Else false: the IBN-a variants always have it, in the reference too.
    pub stem_relu: bool,
}

impl BackboneOptions {
    /// Refuses what the network cannot be, and settings that would have no effect on it.
    ///
    /// # Errors
    /// [`Error::Setting`] naming `model.last_stride` or `model.stem_relu`.
    pub fn check(&self) -> Result<(), Error> {
        let setting =
            |key, value: String, reason: String| Err(Error::Setting { key, value, reason });
        let without = || format!("{} has no such setting; leave it out", self.backbone);
        let stride = self.last_stride.to_string();
        match self.backbone.architecture() {
            Architecture::ResNet(_) if !(1..=2).contains(&self.last_stride) => {
                setting("model.last_stride", stride, "must be 1 or 2".to_owned())
            }
            Architecture::MobileNetV2 if self.last_stride != 1 => {
                setting("model.last_stride", stride, without())
            }
            Architecture::MobileNetV2 if self.stem_relu => {
                setting("model.stem_relu", "true".to_owned(), without())
            }
            Architecture::ResNet(depth) if depth.has_ibn() && self.stem_relu => {
                let reason = format!("{} always has this ReLU; leave it out", self.backbone);
                setting("model.stem_relu", "true".to_owned(), reason)
            }
            _ => Ok(()),
        }
    }
}

/// A network without its classifier. Parameters have torchvision's names.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one network in a model")]
pub enum Network {
    /// [`ResNet`]
    ResNet(ResNet),
    /// [`MobileNetV2`]
    MobileNetV2(MobileNetV2),
}

impl Network {
    /// A network of zero convolution weights; see [`crate::weights`] for real ones.
    pub fn new(options: BackboneOptions, device: &Device) -> Network {
        match options.backbone.architecture() {
            Architecture::ResNet(depth) => {
                Network::ResNet(ResNet::new(depth, options.last_stride, options.stem_relu, device))
            }
            Architecture::MobileNetV2 => Network::MobileNetV2(MobileNetV2::new(device)),
        }
    }

    /// `[n, 3, h, w]` → `[n, channels, h', w']`
    pub fn forward(&self, images: Tensor<4>, mode: Mode) -> Tensor<4> {
        self.forward_stages(images, mode, |_, _| ())
    }

    /// [`Network::forward`], showing every stage's output to `look` under its torchvision name.
    pub fn forward_stages(
        &self,
        images: Tensor<4>,
        mode: Mode,
        look: impl FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        match self {
            Network::ResNet(network) => network.forward_stages(images, mode, look),
            Network::MobileNetV2(network) => network.forward_stages(images, mode, look),
        }
    }

    /// The layers of [`Network::forward`] in eval mode.
    pub(crate) fn plan(&self) -> Plan<'_> {
        match self {
            Network::ResNet(network) => network.plan(),
            Network::MobileNetV2(network) => network.plan(),
        }
    }
}

/// A convolution and its batch norm: `0` and `1` of a PyTorch `Sequential`.
type ConvNorm = (Conv2d, BatchNorm);

#[cfg(test)]
mod tests {
    use super::*;

    fn options(backbone: Backbone, last_stride: usize, stem_relu: bool) -> BackboneOptions {
        BackboneOptions { backbone, last_stride, stem_relu }
    }

    #[test]
    fn a_setting_without_effect_is_refused() {
        for backbone in Backbone::ALL {
            assert!(options(backbone, 1, false).check().is_ok(), "{backbone}");
            assert!(options(backbone, 3, false).check().is_err(), "{backbone}");
            let resnet = backbone != Backbone::MobileNetV2;
            let ibn = backbone.name().contains("ibn");
            assert_eq!(options(backbone, 2, false).check().is_ok(), resnet);
            assert_eq!(options(backbone, 1, true).check().is_ok(), resnet && !ibn);
        }
    }

    #[test]
    fn every_backbone_fits_its_own_tensors_and_no_others() {
        for backbone in Backbone::ALL {
            let mut tensors = backbone.shapes();
            let fitting = |tensors: &BTreeMap<String, Vec<usize>>| {
                Backbone::fitting(|name| tensors.get(name).map(Vec::as_slice))
            };
            assert_eq!(fitting(&tensors), Some(backbone));
            tensors.insert("fc.weight".to_owned(), vec![10, 512]);
            assert_eq!(fitting(&tensors), Some(backbone), "a classifier is no part of it");
            tensors.remove("fc.weight");
            tensors.pop_first();
            assert_eq!(fitting(&tensors), None, "{backbone} in part");
        }
    }

    #[test]
    fn every_name_is_read_back() {
        for backbone in Backbone::ALL {
            assert_eq!(backbone.name().parse::<Backbone>().unwrap(), backbone);
            let json = serde_json::to_string(&backbone).unwrap();
            assert_eq!(json, format!("\"{backbone}\""));
        }
    }
}
