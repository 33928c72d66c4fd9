//! Feature maps whose channels lie side by side: logically `[n, c, h, w]`, stored `[n, h, w, c]`.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use rayon::prelude::*;

use super::storage::{Output, copied, dims};

/// A feature map in channels-last order.
pub(super) struct ChannelsLast {
    tensor: FlexTensor,
}

impl ChannelsLast {
    /// The map of a tensor `[n, c, h, w]`, copied if it is stored in another order.
    pub(super) fn of(tensor: &FlexTensor) -> Self {
        Self::taking(tensor.clone())
    }

    /// [`ChannelsLast::of`] a tensor that is not needed any more.
    pub(super) fn taking(tensor: FlexTensor) -> Self {
        let [n, c, h, w] = dims(&tensor);
        if is_channels_last(&tensor) {
            return Self { tensor };
        }
        let strides = tensor.layout().strides();
        let strides = [0, 2, 3, 1].map(|axis| strides[axis]).to_vec();
        let layout =
            Layout::new(Shape::from([n, h, w, c]), strides, tensor.layout().start_offset());
        let copy = tensor.with_layout(layout).to_contiguous();
        Self { tensor: copy.with_layout(layout_of([n, c, h, w])) }
    }

    /// The same map again.
    pub(super) fn share(&self) -> Self {
        Self { tensor: self.tensor.clone() }
    }

    /// `[n, h, w, c]`
    pub(super) fn values(&self) -> &[f32] {
        self.tensor.storage()
    }

    /// Maps the values by blocks of `len`, in place where nothing else holds them: `map(i, block)`
    /// changes block number i.
    pub(super) fn map_with(mut self, len: usize, map: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        if let Some(values) = self.tensor.try_storage_mut::<f32>() {
            values.par_chunks_mut(len).enumerate().for_each(|(i, block)| map(i, block));
            return self;
        }
        let mut output = Output::new(self.values().len());
        let blocks = output.as_mut_slice().par_chunks_mut(len).zip(self.values().par_chunks(len));
        blocks.enumerate().for_each(|(i, (target, values))| {
            map(i, copied(target, values));
        });
        // SAFETY: the blocks of the values cover the output, which is as long.
        Self::new(unsafe { output.into_values() }, self.dims())
    }

    /// The map after a change, in place where nothing else holds it.
    pub(super) fn changed(mut self, change: impl FnOnce(&mut [f32])) -> Self {
        change(self.tensor.storage_mut());
        self
    }

    /// n, c, h, w
    pub(super) fn dims(&self) -> [usize; 4] {
        dims(&self.tensor)
    }

    /// The tensor `[n, c, h, w]`.
    pub(super) fn into_tensor(self) -> FlexTensor {
        self.tensor
    }

    /// A map of values `[n, h, w, c]`.
    pub(super) fn new(values: Vec<f32>, dims: [usize; 4]) -> Self {
        Self { tensor: FlexTensor::new(Bytes::from_elems(values), layout_of(dims), DType::F32) }
    }
}

/// The layout of a map of n, c, h, w.
fn layout_of([n, c, h, w]: [usize; 4]) -> Layout {
    let strides = [h * w * c, 1, w * c, c].map(|stride| stride as isize);
    Layout::new(Shape::from([n, c, h, w]), strides.to_vec(), 0)
}

fn is_channels_last(tensor: &FlexTensor) -> bool {
    let dims = dims(tensor);
    let expected = layout_of(dims);
    // The stride of a dimension of one element says nothing.
    let strides = tensor.layout().strides().iter().zip(expected.strides()).zip(dims);
    tensor.layout().start_offset() == 0
        && tensor.storage::<f32>().len() == dims.iter().product::<usize>()
        && strides.into_iter().all(|((stride, expected), size)| size == 1 || stride == expected)
}
