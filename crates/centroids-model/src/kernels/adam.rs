//! One step of Adam with coupled weight decay, in a single pass over the parameter.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::storage::{CHUNK, contiguous};

/// Settings of one step of [`adam_step`](super::adam_step); the names are those of
/// `torch.optim.Adam`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of the gradient.
    pub beta1: f64,
    /// Decay of the mean of the squared gradient.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Share of the parameter added to the gradient.
    pub weight_decay: f64,
    /// Number of this step, the first being 1.
    pub t: u64,
}

impl AdamStep {
    /// Step size and divisor of the square root: the corrections of the zero start of both means.
    pub(super) fn bias_corrected(&self) -> [f64; 2] {
        let corrections = [self.beta1, self.beta2].map(|beta| 1.0 - beta.powf(self.t as f64));
        [self.lr / corrections[0], corrections[1].sqrt()]
    }
}

/// The step on Flex tensors, in place where nothing else holds them.
pub(super) fn step(
    param: FlexTensor,
    grad: &FlexTensor,
    m: FlexTensor,
    v: FlexTensor,
    settings: AdamStep,
) -> [FlexTensor; 3] {
    let grad = grad.to_contiguous();
    let [mut param, mut m, mut v] = [param, m, v].map(contiguous);
    let update = Update::new(settings);
    param
        .storage_mut::<f32>()
        .par_chunks_mut(CHUNK)
        .zip(grad.storage::<f32>().par_chunks(CHUNK))
        .zip(m.storage_mut::<f32>().par_chunks_mut(CHUNK))
        .zip(v.storage_mut::<f32>().par_chunks_mut(CHUNK))
        .for_each(|(((param, grad), m), v)| {
            let moments = m.iter_mut().zip(v);
            for ((param, grad), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
                update.apply(param, *grad, m, v);
            }
        });
    [param, m, v]
}

/// The constants of a step in the precision of the parameter.
#[derive(Clone, Copy)]
struct Update {
    step_size: f32,
    root_divisor: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    eps: f32,
    weight_decay: f32,
}

impl Update {
    fn new(step: AdamStep) -> Self {
        let [step_size, root_divisor] = step.bias_corrected();
        Self {
            step_size: step_size as f32,
            root_divisor: root_divisor as f32,
            one_minus_beta1: (1.0 - step.beta1) as f32,
            beta2: step.beta2 as f32,
            one_minus_beta2: (1.0 - step.beta2) as f32,
            eps: step.eps as f32,
            weight_decay: step.weight_decay as f32,
        }
    }

    fn apply(&self, param: &mut f32, grad: f32, m: &mut f32, v: &mut f32) {
        let grad = grad + self.weight_decay * *param;
        *m += (grad - *m) * self.one_minus_beta1;
        *v = *v * self.beta2 + self.one_minus_beta2 * grad * grad;
        *param -= self.step_size * *m / (v.sqrt() / self.root_divisor + self.eps);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Tensor};

    use super::super::adam_step;
    use super::super::testing::{assert_close, elements, random};
    use super::AdamStep;

    const LEN: usize = 70_000;

    fn settings(t: u64) -> AdamStep {
        AdamStep { lr: 3.5e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 5e-4, t }
    }

    /// The algorithm box of torch.optim.Adam, one element in f64.
    fn oracle([param, m, v]: [f64; 3], grad: f64, step: AdamStep) -> [f64; 3] {
        let grad = grad + step.weight_decay * param;
        let m = step.beta1 * m + (1.0 - step.beta1) * grad;
        let v = step.beta2 * v + (1.0 - step.beta2) * grad * grad;
        let m_hat = m / (1.0 - step.beta1.powf(step.t as f64));
        let v_hat = v / (1.0 - step.beta2.powf(step.t as f64));
        [param - step.lr * m_hat / (v_hat.sqrt() + step.eps), m, v]
    }

    fn run(dtype: DType) -> [Vec<f64>; 3] {
        let device = Device::flex();
        let mut state = [
            random([LEN], 1, &device),
            random([LEN], 2, &device) * 0.0,
            random([LEN], 3, &device) * 0.0,
        ]
        .map(|tensor: Tensor<1>| tensor.cast(dtype));
        for t in 1..4 {
            let grad = random([LEN], 10 + t, &device).cast(dtype);
            let [param, m, v] = state;
            state = adam_step(param, grad, m, v, settings(t)).into();
        }
        state.map(|tensor| elements(&tensor))
    }

    #[test]
    fn three_steps_agree_with_the_algorithm() {
        let device = Device::flex();
        let start = elements(&random([LEN], 1, &device));
        let mut states: Vec<[f64; 3]> = start.iter().map(|&param| [param, 0.0, 0.0]).collect();
        for t in 1..4 {
            let grads = elements(&random([LEN], 10 + t, &device));
            for (state, grad) in states.iter_mut().zip(grads) {
                *state = oracle(*state, grad, settings(t));
            }
        }
        for (actual, tolerance) in [(run(DType::F32), 1e-7), (run(DType::F64), 1e-9)] {
            for (i, what) in ["param", "m", "v"].iter().enumerate() {
                let expected: Vec<f64> = states.iter().map(|state| state[i]).collect();
                assert_close(&actual[i], &expected, tolerance, what);
            }
        }
    }

    #[test]
    fn shared_tensors_are_left_alone() {
        let device = Device::flex();
        let param = random([3], 1, &device);
        let zeros = Tensor::<1>::zeros([3], &device);
        let before = elements(&param);
        let (after, _, _) = adam_step(
            param.clone(),
            random([3], 2, &device),
            zeros.clone(),
            zeros.clone(),
            settings(1),
        );
        assert_eq!(elements(&param), before);
        assert_eq!(elements(&zeros), [0.0; 3]);
        assert_ne!(elements(&after), before);
    }
}
