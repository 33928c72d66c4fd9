//! Backbones: images `[n, 3, h, w]` → feature maps `[n, c, h', w']`.

mod resnet;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use resnet::{ResNet, ResNetOptions};

use crate::Error;

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
}

impl Backbone {
    /// Every backbone, smallest first.
    pub const ALL: [Backbone; 5] = [
        Backbone::ResNet18,
        Backbone::ResNet34,
        Backbone::ResNet50,
        Backbone::ResNet101,
        Backbone::ResNet152,
    ];

    /// The name used in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Backbone::ResNet18 => "resnet18",
            Backbone::ResNet34 => "resnet34",
            Backbone::ResNet50 => "resnet50",
            Backbone::ResNet101 => "resnet101",
            Backbone::ResNet152 => "resnet152",
        }
    }

    /// Channels of the last feature map, hence the dimension of an embedding.
    pub fn channels(self) -> usize {
        match self {
            Backbone::ResNet18 | Backbone::ResNet34 => 512,
            Backbone::ResNet50 | Backbone::ResNet101 | Backbone::ResNet152 => 2048,
        }
    }

    /// Residual blocks of the four stages.
    pub(crate) fn blocks(self) -> [usize; 4] {
        match self {
            Backbone::ResNet18 => [2, 2, 2, 2],
            Backbone::ResNet34 | Backbone::ResNet50 => [3, 4, 6, 3],
            Backbone::ResNet101 => [3, 4, 23, 3],
            Backbone::ResNet152 => [3, 8, 36, 3],
        }
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
