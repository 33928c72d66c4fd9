//! A tensor as PyTorch saves it: a strided view of a storage.

use std::borrow::Cow;

use safetensors::Dtype;

/// Most axes of a tensor; weights have four or five.
pub(super) const MAX_RANK: usize = 8;

/// A flat array that tensors look into.
#[derive(Clone, Debug)]
pub(super) struct Storage<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) dtype: Dtype,
    /// Elements.
    pub(super) len: usize,
}

impl Storage<'_> {
    /// Its size in bytes, if a file can hold it.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.len.checked_mul(self.element())
    }

    /// Bytes of an element.
    fn element(&self) -> usize {
        self.dtype.bitsize() / 8
    }
}

/// Shape, strides and offset into a storage, all in elements; known to lie inside it.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> View<'a> {
    /// # Errors
    /// A view that leaves its storage, has more axes than [`MAX_RANK`], or is beyond every memory.
    pub(super) fn new(
        storage: Storage<'a>,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<View<'a>, String> {
        let (rank, steps) = (shape.len(), strides.len());
        if rank != steps || rank > MAX_RANK {
            return Err(format!("has a tensor of {rank} sizes and {steps} strides"));
        }
        let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        let bytes = count.and_then(|count| count.checked_mul(storage.element()));
        let steps = shape.iter().zip(&strides);
        let last = steps.filter(|(size, _)| **size > 0).try_fold(offset, |last, (size, stride)| {
            last.checked_add((size - 1).checked_mul(*stride)?)
        });
        match (bytes, last) {
            (Some(0), _) => {}
            (Some(_), Some(last)) if last < storage.len => {}
            _ => {
                return Err(format!(
                    "has a tensor of shape {shape:?}, strides {strides:?} and offset {offset} in a \
                     storage of {} elements",
                    storage.len
                ));
            }
        }
        Ok(View { storage, offset, shape, strides })
    }

    pub(super) fn storage(&self) -> &Storage<'a> {
        &self.storage
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of the elements that are seen.
    pub(super) fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.storage.element()
    }

    /// Whether the storage is the tensor, element by element.
    pub(super) fn is_whole(&self) -> bool {
        self.offset == 0 && self.is_contiguous() && Some(self.bytes()) == self.storage.bytes()
    }

    /// # Errors
    /// When the storage holds more or less than it declared.
    pub(super) fn check(&self, storage: &[u8]) -> Result<(), String> {
        let (found, len) = (storage.len(), self.storage.len);
        match self.storage.bytes() {
            Some(declared) if declared == found => Ok(()),
            _ => Err(format!("its storage has {found} bytes instead of {len} elements")),
        }
    }

    /// The elements in row-major order, out of the storage's bytes.
    ///
    /// # Errors
    /// When the storage holds more or less than it declared.
    pub(super) fn gather(&self, storage: &[u8]) -> Result<Vec<u8>, String> {
        self.check(storage)?;
        let (element, total) = (self.storage.element(), self.bytes());
        if total == 0 {
            return Ok(Vec::new());
        }
        if self.is_contiguous() {
            return Ok(storage[self.offset * element..][..total].to_vec());
        }
        let mut gathered = Vec::with_capacity(total);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        while gathered.len() < total {
            gathered.extend_from_slice(&storage[at * element..][..element]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= index[axis] * self.strides[axis];
                index[axis] = 0;
            }
        }
        Ok(gathered)
    }

    fn is_contiguous(&self) -> bool {
        let axes = self.shape.iter().zip(&self.strides).rev();
        let mut expected = 1;
        axes.filter(|(size, _)| **size != 1).all(|(size, stride)| {
            let fits = *stride == expected;
            expected *= size;
            fits
        })
    }
}
