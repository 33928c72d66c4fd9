//! The kernels as nodes of Burn's autodiff graph.
//!
//! A node saves only what the gradients of its tracked inputs need, and computes only those.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use super::channels_last::ChannelsLast;
use super::conv_shape::ConvShape;
use super::extension::{conv_shape, convolve, normalize};
use super::lanes::Isa;
use super::norm::{self, Affine, Statistics};
use super::profile::{measure, measure_conv};
use super::storage::{dims, tensor};
use super::{Convolution, Normalization, Residual, conv, half, pool};
use crate::Precision;

type Tensor = FloatTensor<Autodiff<Flex>>;

/// A saved input, if the node has saved it.
fn saved(checkpointer: &mut Checkpointer, id: Option<NodeId>) -> Option<FlexTensor> {
    id.map(|id| checkpointer.retrieve_node_output(id))
}

/// Registers the gradients of tracked inputs.
fn register<const N: usize>(
    grads: &mut Gradients,
    inputs: [(Option<NodeId>, Option<FlexTensor>); N],
) {
    for (id, gradient) in inputs {
        if let (Some(id), Some(gradient)) = (id, gradient) {
            measure("sums of gradients", "backward", 0.0, || grads.register::<Flex>(id, gradient));
        }
    }
}

#[derive(Debug)]
struct Conv2d;

#[derive(Clone, Debug)]
struct Conv2dState {
    shape: ConvShape,
    depthwise: bool,
    /// Saved if the weight is tracked.
    x: Option<NodeId>,
    /// Saved if x is tracked.
    weight: Option<NodeId>,
    residual: Option<Residual>,
}

impl Backward<Flex, 2> for Conv2d {
    type State = Conv2dState;

    fn backward(
        self,
        ops: Ops<Conv2dState, 2>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = ChannelsLast::of(&grads.consume::<Flex>(&ops.node));
        let (isa, Conv2dState { shape, depthwise, x, weight, residual }) =
            (Isa::chosen(), ops.state);
        let dw = saved(checkpointer, x).map(|x| {
            measure_conv(&shape, depthwise, "weight gradient", || {
                conv::weight_gradient(isa, &shape, &ChannelsLast::of(&x), &gradient, depthwise)
            })
        });
        let dx = saved(checkpointer, weight).map(|weight| {
            let others = residual.as_ref().and_then(Residual::take);
            measure_conv(&shape, depthwise, "image gradient", || {
                let others = others.map(ChannelsLast::taking);
                conv::image_gradient(isa, &shape, (&weight, depthwise), &gradient, others)
                    .into_tensor()
            })
        });
        let dx = dx.and_then(|dx| match residual {
            Some(residual) => residual.leave(dx),
            None => Some(dx),
        });
        let [x, weight] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, [(x, dx), (weight, dw)]);
    }
}

pub(super) fn conv2d<C: CheckpointStrategy>(
    x: Tensor,
    weight: Tensor,
    (convolution, residual): (Convolution, Option<Residual>),
) -> Tensor {
    let output = convolve(x.primitive(), weight.primitive(), convolution);
    match Conv2d.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            if let Some(residual) = residual.as_ref().filter(|_| x.is_tracked()) {
                residual.begin();
            }
            let state = Conv2dState {
                shape: conv_shape(x.primitive(), weight.primitive(), convolution),
                depthwise: convolution.depthwise,
                x: weight.is_tracked().then(|| prep.checkpoint(&x)),
                weight: x.is_tracked().then(|| prep.checkpoint(&weight)),
                residual,
            };
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

/// Batch norm of (x, gamma, beta) or (x, gamma, beta, shortcut).
#[derive(Debug)]
struct Norm;

#[derive(Clone, Debug)]
struct NormState {
    x: NodeId,
    gamma: NodeId,
    beta: NodeId,
    statistics: Statistics,
    how: Normalization,
    /// Kept if there was a shortcut: tells where the activation passed.
    result: Option<FlexTensor>,
    residual: Option<Residual>,
}

impl<const N: usize> Backward<Flex, N> for Norm {
    type State = NormState;

    fn backward(
        self,
        ops: Ops<NormState, N>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let NormState { x, gamma, beta, statistics, how, result, residual } = ops.state;
        let dy = grads.consume::<Flex>(&ops.node);
        let x = ChannelsLast::of(&checkpointer.retrieve_node_output(x));
        let [gamma, beta] = [gamma, beta].map(|id| {
            let values: FlexTensor = checkpointer.retrieve_node_output(id);
            values.to_contiguous()
        });
        let affine =
            Affine { gamma: gamma.storage(), beta: beta.storage(), activation: how.activation };
        let result = result.as_ref().map(ChannelsLast::of);
        let gradients = measure("batch norm", "backward", 0.0, || {
            norm::backward(&x, &statistics, affine, result.as_ref(), ChannelsLast::taking(dy))
        });
        let shortcut = gradients.shortcut.map(ChannelsLast::into_tensor);
        let shortcut = match residual {
            Some(residual) => shortcut.and_then(|gradient| residual.leave(gradient)),
            None => shortcut,
        };
        let channels = [affine.gamma.len()];
        let mut values = [
            Some(gradients.x.into_tensor()),
            Some(tensor(gradients.gamma, channels)),
            Some(tensor(gradients.beta, channels)),
            shortcut,
        ]
        .into_iter();
        let inputs = ops.parents.map(|node| (node.map(|node| node.id), values.next().flatten()));
        register(grads, inputs);
    }
}

pub(super) fn norm<C: CheckpointStrategy>(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    how: Normalization,
) -> (Tensor, Tensor, Tensor) {
    norm_of::<C, 3>([&x, &gamma, &beta], (how, None))
}

pub(super) fn norm_shortcut<C: CheckpointStrategy>(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    shortcut: Tensor,
    how: (Normalization, Option<Residual>),
) -> (Tensor, Tensor, Tensor) {
    norm_of::<C, 4>([&x, &gamma, &beta, &shortcut], how)
}

/// Result, mean and variance of (x, gamma, beta) or (x, gamma, beta, shortcut); the last two are
/// outside the graph.
fn norm_of<C: CheckpointStrategy, const N: usize>(
    inputs: [&Tensor; N],
    (how, residual): (Normalization, Option<Residual>),
) -> (Tensor, Tensor, Tensor) {
    let [x, gamma, beta] = [0, 1, 2].map(|i| inputs[i].primitive());
    let shortcut = inputs.get(3).map(|shortcut| shortcut.primitive());
    let (result, statistics) = normalize(&ChannelsLast::of(x), [gamma, beta], shortcut, how);
    let [mean, variance] = statistics.tensors().map(Tensor::new);
    let result = result.into_tensor();
    let output = match Norm.prepare::<C>(inputs.map(Tensor::node)).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let [x, gamma, beta] = [0, 1, 2].map(|i| prep.checkpoint(inputs[i]));
            let kept = shortcut.map(|_| result.clone());
            let state = NormState { x, gamma, beta, statistics, how, result: kept, residual };
            prep.finish(state, result)
        }
        OpsKind::UnTracked(prep) => prep.finish(result),
    };
    (output, mean, variance)
}

#[derive(Debug)]
struct MaxPool2d;

impl Backward<Flex, 1> for MaxPool2d {
    type State = (ConvShape, Vec<u8>);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = ChannelsLast::of(&grads.consume::<Flex>(&ops.node));
        let (windows, winners) = ops.state;
        let dx = measure("max pooling", "backward", 0.0, || {
            pool::max_backward(&windows, &winners, &gradient).into_tensor()
        });
        let [x] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, [(x, Some(dx))]);
    }
}

pub(super) fn max_pool2d<C: CheckpointStrategy>(x: Tensor, windows: ConvShape) -> Tensor {
    let (x, node) = x.into_parts();
    let (output, winners) =
        measure("max pooling", "forward", 0.0, || pool::max(&windows, &ChannelsLast::of(&x)));
    let output = output.into_tensor();
    match MaxPool2d.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((windows, winners), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct MeanPool;

impl Backward<Flex, 1> for MeanPool {
    /// n, c, h, w
    type State = [usize; 4];

    fn backward(
        self,
        ops: Ops<[usize; 4], 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let dx = pool::mean_backward(gradient.storage(), ops.state).into_tensor();
        let [x] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, [(x, Some(dx))]);
    }
}

pub(super) fn mean_pool<C: CheckpointStrategy>(x: Tensor) -> Tensor {
    let (x, node) = x.into_parts();
    let shape = dims::<4>(&x);
    let output = tensor(pool::mean(&ChannelsLast::of(&x)), [shape[0], shape[1]]);
    match MeanPool.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(shape, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct Round;

impl Backward<Flex, 1> for Round {
    type State = Precision;

    fn backward(
        self,
        ops: Ops<Precision, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let dx = measure("rounding to half", "backward", 0.0, || half::round(gradient, ops.state));
        let [x] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, [(x, Some(dx))]);
    }
}

pub(super) fn round<C: CheckpointStrategy>(x: Tensor, precision: Precision) -> Tensor {
    let (x, node) = x.into_parts();
    let output = measure("rounding to half", "forward", 0.0, || half::round(x, precision));
    match Round.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(precision, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
