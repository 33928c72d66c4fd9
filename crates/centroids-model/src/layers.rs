//! Bias-free convolution and PyTorch's batch norm, the two layers every backbone is made of.
//!
//! Field names are torchvision's, so that the path of a parameter in the module tree is its name
//! in a PyTorch state dict (`layer1.0.conv1.weight`, `bn1.running_var`).

use burn::module::{Module, Param, RunningState};
use burn::tensor::{Device, Tensor};

use crate::Precision;
use crate::kernels::{self, Convolution, FoldedCache, Frozen, Normalization};
pub use crate::kernels::{Activation, Residual};

/// Whether batch norms use the batch (and update their running statistics) or the running
/// statistics. Independent of whether gradients are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; running statistics are updated. Convolutions compute in this precision.
    Train(Precision),
    /// Running statistics, nothing is updated.
    Eval,
}

impl Mode {
    /// Of the convolutions.
    fn precision(self) -> Precision {
        match self {
            Mode::Train(precision) => precision,
            Mode::Eval => Precision::F32,
        }
    }
}

/// Which part of a residual block a convolution with its norm is.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one for each layer, on the stack")]
pub enum Part {
    /// Neither begin nor end.
    Inner,
    /// A convolution of the block's input: its begin, or its shortcut.
    Begin(Residual),
    /// The end: what is added, and the link to the begin if that is the block's input.
    End(Tensor<4>, Option<Residual>),
}

/// `activation(norm(conv(x)) + shortcut)`, what every backbone is made of:
/// `[n, in, h, w]` → `[n, out, h', w']`.
pub fn conv_norm(
    (conv, norm): (&Conv2d, &BatchNorm),
    x: Tensor<4>,
    part: Part,
    activation: Activation,
    mode: Mode,
) -> Tensor<4> {
    let normalization = Normalization { epsilon: BatchNorm::EPSILON, activation };
    let (how, weight) = (conv.convolution(), conv.weight.val());
    let (begin, shortcut, end) = match part {
        Part::Inner => (None, None, None),
        Part::Begin(begin) => (Some(begin), None, None),
        Part::End(shortcut, end) => (None, Some(shortcut), end),
    };
    match mode {
        Mode::Train(precision) => {
            let y = kernels::conv2d_mixed(x, weight, how, begin.as_ref(), precision);
            norm.train(y, shortcut.map(|shortcut| (shortcut, end.as_ref())), activation)
        }
        Mode::Eval => kernels::conv_frozen_batch_norm(
            x,
            (weight, norm.frozen()),
            shortcut,
            (how, normalization),
            &conv.folded,
        ),
    }
}

/// Two-dimensional convolution without bias, square kernel; all channels or each on its own.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, k, k]`, or `[channels, 1, k, k]` if depthwise.
    pub weight: Param<Tensor<4>>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    padding: usize,
    #[module(skip)]
    depthwise: bool,
    #[module(skip)]
    folded: FoldedCache,
}

impl Conv2d {
    /// A convolution of zero weights, padded by `kernel / 2`.
    pub fn new(
        input: usize,
        output: usize,
        kernel: usize,
        stride: usize,
        device: &Device,
    ) -> Conv2d {
        Conv2d {
            weight: Param::from_tensor(Tensor::zeros([output, input, kernel, kernel], device)),
            stride,
            padding: kernel / 2,
            depthwise: false,
            folded: FoldedCache::default(),
        }
    }

    /// A depthwise convolution of zero weights: every channel has a kernel of its own.
    pub fn depthwise(channels: usize, kernel: usize, stride: usize, device: &Device) -> Conv2d {
        Conv2d { depthwise: true, ..Conv2d::new(1, channels, kernel, stride, device) }
    }

    /// `[n, in, h, w]` → `[n, out, h', w']`, for a norm that [`conv_norm`] does not know. The
    /// convolution is no end of a block.
    pub fn forward(&self, x: Tensor<4>, part: Part, mode: Mode) -> Tensor<4> {
        let begin = match part {
            Part::Begin(residual) => Some(residual),
            _ => None,
        };
        let (weight, how) = (self.weight.val(), self.convolution());
        kernels::conv2d_mixed(x, weight, how, begin.as_ref(), mode.precision())
    }

    /// Stride, padding and grouping.
    pub(crate) fn convolution(&self) -> Convolution {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        Convolution { stride, padding, depthwise: self.depthwise }
    }
}

/// Batch norm as PyTorch defines it: normalises by the biased batch variance, but keeps a running
/// average of the *unbiased* one (Burn's own layer keeps the biased one).
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale γ, `[c]`.
    pub weight: Param<Tensor<1>>,
    /// Shift β, `[c]`.
    pub bias: Param<Tensor<1>>,
    /// Running mean, `[c]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[c]`.
    pub running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    /// Added to the variance (PyTorch's default).
    pub const EPSILON: f64 = 1e-5;
    /// Share of the batch in the running statistics (PyTorch's default).
    pub const MOMENTUM: f64 = 0.1;

    /// γ = 1, β = 0, mean 0, variance 1.
    pub fn new(channels: usize, device: &Device) -> BatchNorm {
        BatchNorm {
            weight: Param::from_tensor(Tensor::ones([channels], device)),
            bias: Param::from_tensor(Tensor::zeros([channels], device)),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
        }
    }

    /// `activation(norm(x) + shortcut)` by the statistics of the batch, which are mixed into the
    /// running ones: `[n, c, h, w]` → `[n, c, h, w]`.
    fn train(
        &self,
        x: Tensor<4>,
        shortcut: Option<(Tensor<4>, Option<&Residual>)>,
        activation: Activation,
    ) -> Tensor<4> {
        let [n, _, h, w] = x.dims();
        let affine = [self.weight.val(), self.bias.val()];
        let how = Normalization { epsilon: Self::EPSILON, activation };
        let (y, mean, var) = kernels::batch_norm(x, affine, shortcut, how);
        let count = (n * h * w) as f64;
        let unbiased = var.mul_scalar(count / (count - 1.0).max(1.0));
        update(&self.running_mean, mean);
        update(&self.running_var, unbiased);
        y
    }

    /// Scale, shift and running statistics.
    pub(crate) fn frozen(&self) -> Frozen {
        Frozen {
            gamma: self.weight.val(),
            beta: self.bias.val(),
            mean: self.running_mean.value(),
            variance: self.running_var.value(),
        }
    }

    /// `activation(norm(x))`: `[n, c, h, w]` → `[n, c, h, w]`.
    pub fn forward(&self, x: Tensor<4>, activation: Activation, mode: Mode) -> Tensor<4> {
        match mode {
            Mode::Train(_) => self.train(x, None, activation),
            Mode::Eval => {
                activation.apply(kernels::frozen_batch_norm(x, self.frozen(), Self::EPSILON))
            }
        }
    }

    /// Normalises vectors: `[n, c]` → `[n, c]`.
    pub fn forward_vectors(&self, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        let [n, c] = x.dims();
        self.forward(x.reshape([n, c, 1, 1]), Activation::Identity, mode).reshape([n, c])
    }
}

/// Mixes a batch statistic into its running average, outside any gradient.
fn update(running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let old = running.value();
    let batch = if old.is_autodiff() { batch.inner().autodiff() } else { batch.inner() };
    let share = BatchNorm::MOMENTUM;
    running.update(old.mul_scalar(1.0 - share) + batch.mul_scalar(share));
    running.value_sync();
}
