//! Bias-free convolution and PyTorch's batch norm, the two layers every backbone is made of.
//!
//! Field names are torchvision's, so that the path of a parameter in the module tree is its name
//! in a PyTorch state dict (`layer1.0.conv1.weight`, `bn1.running_var`).

use burn::module::{Module, Param, RunningState};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, module};

use crate::kernels;

/// Whether batch norms use the batch (and update their running statistics) or the running
/// statistics. Independent of whether gradients are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; running statistics are updated.
    Train,
    /// Running statistics, nothing is updated.
    Eval,
}

/// What follows a batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
}

/// `activation(norm(conv(x)) + shortcut)`, what every backbone is made of:
/// `[n, in, h, w]` → `[n, out, h', w']`.
pub fn conv_norm(
    (conv, norm): (&Conv2d, &BatchNorm),
    x: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    activation: Activation,
    mode: Mode,
) -> Tensor<4> {
    let y = norm.forward(conv.forward(x), mode);
    match (activation, shortcut) {
        (Activation::Relu, Some(shortcut)) => kernels::add_relu(y, shortcut),
        (Activation::Relu, None) => kernels::relu(y),
        (Activation::Relu6, Some(shortcut)) => (y + shortcut).clamp(0.0, 6.0),
        (Activation::Relu6, None) => y.clamp(0.0, 6.0),
        (Activation::Identity, Some(shortcut)) => y + shortcut,
        (Activation::Identity, None) => y,
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
    groups: usize,
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
            groups: 1,
        }
    }

    /// A depthwise convolution of zero weights: every channel has a kernel of its own.
    pub fn depthwise(channels: usize, kernel: usize, stride: usize, device: &Device) -> Conv2d {
        Conv2d { groups: channels, ..Conv2d::new(1, channels, kernel, stride, device) }
    }

    /// `[n, in, h, w]` → `[n, out, h', w']`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if self.groups != 1 {
            let options =
                ConvOptions::new([self.stride; 2], [self.padding; 2], [1, 1], self.groups);
            return module::conv2d(x, self.weight.val(), None, options);
        }
        kernels::conv2d(x, self.weight.val(), [self.stride; 2], [self.padding; 2])
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

    /// `[n, c, h, w]` → `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        match mode {
            Mode::Eval => kernels::batch_norm_eval(
                x,
                weight,
                bias,
                self.running_mean.value(),
                self.running_var.value(),
                Self::EPSILON,
            ),
            Mode::Train => {
                let [n, _, h, w] = x.dims();
                let (y, mean, var) = kernels::batch_norm_train(x, weight, bias, Self::EPSILON);
                let count = (n * h * w) as f64;
                let unbiased = var.mul_scalar(count / (count - 1.0).max(1.0));
                update(&self.running_mean, mean);
                update(&self.running_var, unbiased);
                y
            }
        }
    }

    /// The same on vectors: `[n, c]` → `[n, c]`.
    pub fn forward_vectors(&self, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        let [n, c] = x.dims();
        self.forward(x.reshape([n, c, 1, 1]), mode).reshape([n, c])
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
