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

use super::batch_norm::{self, Statistics};
use super::im2col::ConvShape;
use super::storage::dims;
use super::{conv, conv_weight, elementwise, max_pool};

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
            grads.register::<Flex>(id, gradient);
        }
    }
}

#[derive(Debug)]
struct Conv2d;

#[derive(Clone, Debug)]
struct Conv2dState {
    shape: ConvShape,
    x: Option<NodeId>,
    weight: Option<NodeId>,
}

impl Backward<Flex, 2> for Conv2d {
    type State = Conv2dState;

    fn backward(
        self,
        ops: Ops<Conv2dState, 2>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let Conv2dState { shape, x, weight } = ops.state;
        let weight = saved(checkpointer, weight);
        let dx = weight.map(|weight| conv::image_gradient(&shape, &weight, &gradient));
        let x = saved(checkpointer, x);
        let dw = x.map(|x| conv_weight::weight_gradient(&shape, &x, &gradient));
        let [x, weight] = ops.parents.map(|node| node.map(|node| node.id));
        register(grads, [(x, dx), (weight, dw)]);
    }
}

pub(super) fn conv2d<C: CheckpointStrategy>(
    x: Tensor,
    weight: Tensor,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor {
    let output = conv::forward(x.primitive(), weight.primitive(), stride, padding);
    match Conv2d.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let state = Conv2dState {
                shape: ConvShape::new(
                    dims(x.primitive()),
                    dims(weight.primitive()),
                    stride,
                    padding,
                ),
                x: weight.is_tracked().then(|| prep.checkpoint(&x)),
                weight: x.is_tracked().then(|| prep.checkpoint(&weight)),
            };
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct BatchNormTrain;

#[derive(Debug)]
struct BatchNormEval;

#[derive(Clone, Debug)]
struct BatchNormState {
    x: NodeId,
    /// Saved if x is tracked.
    gamma: Option<NodeId>,
    statistics: Statistics,
}

impl Backward<Flex, 3> for BatchNormTrain {
    type State = BatchNormState;

    fn backward(
        self,
        ops: Ops<BatchNormState, 3>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        batch_norm_backward(ops, grads, checkpointer, batch_norm::train_backward);
    }
}

impl Backward<Flex, 3> for BatchNormEval {
    type State = BatchNormState;

    fn backward(
        self,
        ops: Ops<BatchNormState, 3>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        batch_norm_backward(ops, grads, checkpointer, batch_norm::eval_backward);
    }
}

fn batch_norm_backward(
    ops: Ops<BatchNormState, 3>,
    grads: &mut Gradients,
    checkpointer: &mut Checkpointer,
    backward: impl Fn(
        &FlexTensor,
        Option<&FlexTensor>,
        &Statistics,
        &FlexTensor,
    ) -> batch_norm::Gradients,
) {
    let gradient = grads.consume::<Flex>(&ops.node);
    let BatchNormState { x, gamma, statistics } = ops.state;
    let x: FlexTensor = checkpointer.retrieve_node_output(x);
    let gamma = saved(checkpointer, gamma);
    let result = backward(&x, gamma.as_ref(), &statistics, &gradient);
    let [x, gamma, beta] = ops.parents.map(|node| node.map(|node| node.id));
    register(grads, [(x, result.x), (gamma, Some(result.gamma)), (beta, Some(result.beta))]);
}

pub(super) fn batch_norm_train<C: CheckpointStrategy>(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    epsilon: f64,
) -> (Tensor, Tensor, Tensor) {
    let normalized = batch_norm::train(x.primitive(), gamma.primitive(), beta.primitive(), epsilon);
    let (mean, variance) = (normalized.mean, normalized.variance);
    let nodes = [x.node(), gamma.node(), beta.node()];
    let output = match BatchNormTrain.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let statistics = Statistics { mean: mean.clone(), variance: variance.clone(), epsilon };
            let gamma = x.is_tracked().then(|| prep.checkpoint(&gamma));
            let state = BatchNormState { x: prep.checkpoint(&x), gamma, statistics };
            prep.finish(state, normalized.output)
        }
        OpsKind::UnTracked(prep) => prep.finish(normalized.output),
    };
    (output, Tensor::new(mean), Tensor::new(variance))
}

pub(super) fn batch_norm_eval<C: CheckpointStrategy>(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    statistics: Statistics,
) -> Tensor {
    let nodes = [x.node(), gamma.node(), beta.node()];
    match BatchNormEval.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let saved_gamma = x.is_tracked().then(|| prep.checkpoint(&gamma));
            let saved_x = prep.checkpoint(&x);
            let (gamma, beta) = (gamma.primitive(), beta.primitive());
            let output = batch_norm::eval(x.into_primitive(), gamma, beta, &statistics);
            prep.finish(BatchNormState { x: saved_x, gamma: saved_gamma, statistics }, output)
        }
        OpsKind::UnTracked(prep) => {
            let (gamma, beta) = (gamma.primitive(), beta.primitive());
            prep.finish(batch_norm::eval(x.into_primitive(), gamma, beta, &statistics))
        }
    }
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
        let gradient = grads.consume::<Flex>(&ops.node);
        let (windows, winners) = ops.state;
        let dx = max_pool::backward(&windows, &winners, &gradient);
        register(grads, ops.parents.map(|node| (node.map(|node| node.id), Some(dx.clone()))));
    }
}

pub(super) fn max_pool2d<C: CheckpointStrategy>(x: Tensor, windows: ConvShape) -> Tensor {
    let (x, node) = x.into_parts();
    let (output, winners) = max_pool::forward(&windows, x);
    match MaxPool2d.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((windows, winners), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

/// `relu` of one input or of the sum of two; the output tells where the gradient passes.
#[derive(Debug)]
struct Relu;

impl<const N: usize> Backward<Flex, N> for Relu {
    type State = FlexTensor;

    fn backward(
        self,
        ops: Ops<FlexTensor, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let gradient = elementwise::relu_backward(gradient, &ops.state);
        let inputs = ops.parents.map(|node| (node.map(|node| node.id), Some(gradient.clone())));
        drop(gradient);
        register(grads, inputs);
    }
}

pub(super) fn relu<C: CheckpointStrategy>(x: Tensor) -> Tensor {
    let (x, node) = x.into_parts();
    match Relu.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let output = elementwise::relu(x);
            prep.finish(output.clone(), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(elementwise::relu(x)),
    }
}

pub(super) fn add_relu<C: CheckpointStrategy>(x: Tensor, y: Tensor) -> Tensor {
    let ((x, x_node), (y, y_node)) = (x.into_parts(), y.into_parts());
    match Relu.prepare::<C>([x_node, y_node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let output = elementwise::add_relu(x, y);
            prep.finish(output.clone(), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(elementwise::add_relu(x, y)),
    }
}
