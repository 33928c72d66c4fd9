//! Storage of Flex tensors: contiguous reading, and outputs that several threads fill at once.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

/// Elements per parallel task of an elementwise pass (256 KiB): small enough to balance, large
/// enough that scheduling costs nothing.
pub(super) const CHUNK: usize = 1 << 16;

/// `len`, or a little more: an odd number of cache lines.
///
/// Arrays this far apart fall into different cache sets. At a power of two, as channels make it,
/// neighbours would drive each other out.
pub(super) fn odd_lines(len: usize) -> usize {
    const LINE: usize = 16;
    (len.div_ceil(LINE) | 1) * LINE
}

/// Makes a contiguous f32 tensor of `values`.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    let layout = Layout::contiguous(shape.into());
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// The tensor in contiguous order, and still the only handle of its storage if it was.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let contiguous = tensor.to_contiguous();
    drop(tensor);
    contiguous
}

/// The dimensions of a tensor of known rank.
///
/// # Panics
/// If the rank is not `D`; ranks are fixed by the `Tensor<D>` the operations start from.
pub(super) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape: &[usize] = tensor.layout().shape();
    shape.try_into().expect("rank checked by the tensor type")
}

/// A buffer whose elements are written for the first time by the tasks of a parallel loop.
///
/// Not zeroing it first saves a full, single-threaded pass over every output.
pub(super) struct Output(Vec<MaybeUninit<f32>>);

impl Output {
    pub(super) fn new(len: usize) -> Self {
        let mut elements = Vec::with_capacity(len);
        // SAFETY: the capacity is `len`, and `MaybeUninit` elements need no initialisation.
        unsafe { elements.set_len(len) };
        Self(elements)
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [MaybeUninit<f32>] {
        &mut self.0
    }

    /// A handle that the tasks of a parallel loop copy to reach their own parts of the buffer.
    pub(super) fn share(&mut self) -> SharedOutput<'_> {
        SharedOutput { start: self.0.as_mut_ptr().cast(), len: self.0.len(), buffer: PhantomData }
    }

    /// Zeros what lies between arrays of `len` elements, each [`odd_lines`] from the one before.
    pub(super) fn clear_gaps(&mut self, len: usize) {
        for array in self.0.chunks_exact_mut(odd_lines(len)) {
            array[len..].fill(MaybeUninit::new(0.0));
        }
    }

    /// The values so far.
    ///
    /// # Safety
    /// Every element that is read must have been written.
    pub(super) unsafe fn values(&self) -> &[f32] {
        // SAFETY: `MaybeUninit<f32>` has the layout of `f32`; passed on to the caller.
        unsafe { &*(std::ptr::from_ref(&*self.0) as *const [f32]) }
    }

    /// The finished values.
    ///
    /// # Safety
    /// Every element must have been written.
    pub(super) unsafe fn into_values(self) -> Vec<f32> {
        let mut elements = ManuallyDrop::new(self.0);
        let (start, len, capacity) = (elements.as_mut_ptr(), elements.len(), elements.capacity());
        // SAFETY: pointer, length and capacity are those of the vector taken apart above, the
        // element types have the same layout, and the caller has written every element.
        unsafe { Vec::from_raw_parts(start.cast(), len, capacity) }
    }
}

/// Access to an [`Output`] from the tasks of a parallel loop, each to elements of its own.
#[derive(Clone, Copy)]
pub(super) struct SharedOutput<'a> {
    start: *mut f32,
    len: usize,
    buffer: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: the handle is only a pointer; `slice` and `pointer` leave it to their callers that no
// element is reached from two tasks.
unsafe impl Send for SharedOutput<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedOutput<'_> {}

impl<'a> SharedOutput<'a> {
    /// Access to values that are changed in place.
    pub(super) fn of(values: &'a mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), buffer: PhantomData }
    }

    /// Elements `start..start + len`.
    ///
    /// # Safety
    /// No other reference to any of them may be alive.
    pub(super) unsafe fn slice(self, start: usize, len: usize) -> &'a mut [MaybeUninit<f32>] {
        assert!(start <= self.len && len <= self.len - start, "part lies outside the output");
        // SAFETY: the range is inside the buffer, which outlives 'a, and the caller has it alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start).cast(), len) }
    }

    /// Pointer to element `start`, for the strided writes of a matrix product.
    pub(super) fn pointer(self, start: usize) -> *mut f32 {
        assert!(start <= self.len, "part lies outside the output");
        // SAFETY: `start` is inside the buffer or one past its end.
        unsafe { self.start.add(start) }
    }
}

/// Fills `part` with a value and returns it as initialised.
pub(super) fn filled(part: &mut [MaybeUninit<f32>], value: f32) -> &mut [f32] {
    part.fill(MaybeUninit::new(value));
    // SAFETY: every element was written above.
    unsafe { written(part) }
}

/// A part whose elements have been written before.
///
/// # Safety
/// They must have been.
pub(super) unsafe fn written(part: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    // SAFETY: passed on to the caller; `MaybeUninit<f32>` has the layout of `f32`.
    unsafe { &mut *(std::ptr::from_mut(part) as *mut [f32]) }
}

/// Copies values into `part` and returns it as initialised.
pub(super) fn copied<'a>(part: &'a mut [MaybeUninit<f32>], values: &[f32]) -> &'a mut [f32] {
    assert_eq!(part.len(), values.len(), "length of a copy");
    part.iter_mut().zip(values).for_each(|(target, value)| _ = target.write(*value));
    // SAFETY: every element was written above.
    unsafe { written(part) }
}

thread_local! {
    /// Scratch buffers, kept from layer to layer: allocating them anew costs page faults.
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Runs `work`, which must not call this again, with two scratch buffers of the given lengths and unknown contents.
pub(super) fn with_scratch<R>(
    lens: [usize; 2],
    work: impl FnOnce(&mut [f32], &mut [f32]) -> R,
) -> R {
    SCRATCH.with_borrow_mut(|[first, second]| {
        for (buffer, len) in [(&mut *first, lens[0]), (&mut *second, lens[1])] {
            if buffer.len() < len {
                buffer.resize(len, 0.0);
            }
        }
        work(&mut first[..lens[0]], &mut second[..lens[1]])
    })
}
