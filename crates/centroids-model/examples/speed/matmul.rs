//! The largest rate of arithmetic that a library reaches here.

use burn::tensor::{Device, Distribution, Tensor};
use centroids_model::weights::Tensors;

use crate::Timed;

pub struct Matmul {
    matrix: Tensor<2>,
}

impl Matmul {
    pub fn new(side: usize) -> Matmul {
        let matrix = Tensor::random([side, side], Distribution::Default, &Device::flex());
        Matmul { matrix }
    }
}

impl Timed for Matmul {
    fn run(&mut self) {
        std::hint::black_box(self.matrix.clone().matmul(self.matrix.clone()));
    }

    fn outputs(&self) -> Tensors {
        Tensors::new()
    }
}
