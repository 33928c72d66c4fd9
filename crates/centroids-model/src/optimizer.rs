//! Adam for the network and plain SGD for the class centres, as the reference pairs them.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Gradients, Tensor, TensorData};

use crate::kernels::{AdamStep, adam_step};
use crate::weights::{Array, Tensors, state_dict_name, to_array};

/// Name of the only tensor that SGD updates.
const CENTERS: &str = "center_loss.centers";

/// Settings of the optimiser (reference defaults in parentheses).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// Coupled L2 of Adam on every trainable tensor but the centres (5e-4).
    pub weight_decay: f64,
    /// SGD rate of the centres (0.5).
    pub center_lr: f64,
    /// Weight of the centre loss; the centres' gradient is divided by it before their step (5e-4).
    pub center_weight: f64,
}

/// First and second moment of one tensor, flattened.
#[derive(Clone, Debug)]
struct Moments {
    m: Tensor<1>,
    v: Tensor<1>,
}

/// Optimiser state by tensor name. Betas are 0.9 and 0.999, epsilon is 1e-8 (PyTorch's defaults).
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    steps: u64,
    moments: BTreeMap<String, Moments>,
}

impl Optimizer {
    /// Fresh state.
    pub fn new(config: OptimizerConfig) -> Optimizer {
        Optimizer { config, steps: 0, moments: BTreeMap::new() }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step of every tensor that has a gradient; frozen ones have none and stay.
    pub fn step<M: Module>(&mut self, model: M, gradients: Gradients, lr: f64) -> M {
        self.step_scaled(model, gradients, lr, 1.0)
    }

    /// [`Optimizer::step`] by the gradients of a loss that was multiplied by `scale`.
    pub fn step_scaled<M: Module>(
        &mut self,
        model: M,
        gradients: Gradients,
        lr: f64,
        scale: f64,
    ) -> M {
        self.steps += 1;
        model.map(&mut Update { optimizer: self, gradients, lr, scale, path: Vec::new() })
    }

    /// `adam.m.<name>` and `adam.v.<name>` of every tensor.
    pub fn state(&self) -> Tensors {
        let mut state = Tensors::new();
        for (name, moments) in &self.moments {
            state.insert(format!("adam.m.{name}"), to_array(moments.m.clone()));
            state.insert(format!("adam.v.{name}"), to_array(moments.v.clone()));
        }
        state
    }

    /// Continues from [`Optimizer::state`] after `steps` steps; other tensors are ignored.
    pub fn restore(&mut self, state: &Tensors, steps: u64, device: &Device) {
        let tensor = |array: &Array| {
            Tensor::from_data(TensorData::new(array.values.clone(), [array.values.len()]), device)
        };
        self.steps = steps;
        self.moments = state
            .iter()
            .filter_map(|(key, m)| {
                let name = key.strip_prefix("adam.m.")?;
                let v = state.get(&format!("adam.v.{name}"))?;
                Some((name.to_owned(), Moments { m: tensor(m), v: tensor(v) }))
            })
            .collect();
    }

    fn adam(&mut self, name: String, value: Tensor<1>, grad: Tensor<1>, lr: f64) -> Tensor<1> {
        let step = AdamStep {
            lr,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: self.config.weight_decay,
            t: self.steps,
        };
        let Moments { m, v } = self.moments.remove(&name).unwrap_or_else(|| {
            let zeros = value.zeros_like();
            Moments { m: zeros.clone(), v: zeros }
        });
        let (value, m, v) = adam_step(value, grad, m, v, step);
        self.moments.insert(name, Moments { m, v });
        value
    }

    fn sgd(&self, value: Tensor<1>, grad: Tensor<1>) -> Tensor<1> {
        match self.config.center_weight {
            0.0 => value,
            weight => value - grad.div_scalar(weight).mul_scalar(self.config.center_lr),
        }
    }
}

/// Whether every gradient of the model's tensors is a finite number.
pub(crate) fn are_finite<M: Module>(model: &M, gradients: &Gradients) -> bool {
    struct Finite<'a> {
        gradients: &'a Gradients,
        /// `[1]` each
        tensors: Vec<Tensor<1, Bool>>,
    }
    impl ModuleVisitor for Finite<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.gradients);
            self.tensors.extend(gradient.map(|gradient| gradient.is_finite().all()));
        }
    }
    let mut visitor = Finite { gradients, tensors: Vec::new() };
    model.visit(&mut visitor);
    visitor.tensors.is_empty() || Tensor::cat(visitor.tensors, 0).all().into_scalar::<bool>()
}

struct Update<'a> {
    optimizer: &'a mut Optimizer,
    gradients: Gradients,
    lr: f64,
    /// What the gradients are divided by.
    scale: f64,
    path: Vec<String>,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(grad) = tensor.grad_remove(&mut self.gradients) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let shape = tensor.dims();
        let name = state_dict_name(&self.path);
        let grad = if self.scale == 1.0 { grad } else { grad.div_scalar(self.scale) };
        let (value, grad) = (tensor.inner().flatten(0, D - 1), grad.flatten(0, D - 1));
        let value = match name.as_str() {
            CENTERS => self.optimizer.sgd(value, grad),
            _ => self.optimizer.adam(name, value, grad, self.lr),
        };
        let value = Tensor::from_inner(value.reshape(shape)).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}
