//! What stands on the pooled feature: BNNeck, classifier, class centres.

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use crate::Precision;
use crate::layers::{BatchNorm, Mode};

/// BNNeck (Luo et al. 2019) with frozen bias, bias-free classifier, centres of the centre loss.
#[derive(Module, Debug)]
pub struct Head {
    bn: BatchNorm,
    fc_query: Classifier,
    center_loss: Centers,
}

#[derive(Module, Debug)]
struct Classifier {
    /// `[C, d]`
    weight: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Centers {
    /// `[C, d]`
    centers: Param<Tensor<2>>,
}

impl Head {
    /// A head on `d` features for `classes` classes; classifier and centres are zero.
    pub fn new(d: usize, classes: usize, device: &Device) -> Head {
        let table = || Param::from_tensor(Tensor::zeros([classes, d], device));
        let mut bn = BatchNorm::new(d, device);
        bn.bias = bn.bias.set_require_grad(false);
        Head {
            bn,
            fc_query: Classifier { weight: table() },
            center_loss: Centers { centers: table() },
        }
    }

    /// Features → embeddings: `[n, d]` → `[n, d]`.
    pub fn neck(&self, features: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.bn.forward_vectors(features, mode)
    }

    /// The neck's batch norm.
    pub(crate) fn neck_norm(&self) -> &BatchNorm {
        &self.bn
    }

    /// Embeddings → logits: `[n, d]` → `[n, C]`, computed in this precision, f32 outside.
    pub fn classify(&self, embeddings: Tensor<2>, precision: Precision) -> Tensor<2> {
        let weight = self.fc_query.weight.val().transpose(); // [d, C]
        match precision.half() {
            None => embeddings.matmul(weight),
            Some(half) => embeddings.cast(half).matmul(weight.cast(half)).cast(FloatDType::F32),
        }
    }

    /// The class centres of the centre loss, `[C, d]`.
    pub fn centers(&self) -> Tensor<2> {
        self.center_loss.centers.val()
    }
}
