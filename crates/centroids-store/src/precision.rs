//! Vectors as bytes, and the two widths of a number in them.

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use serde::{Deserialize, Serialize};

/// Width of the numbers of a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, three significant digits, at most 65504.
    F16,
}

impl Precision {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// A vector as it is kept, little-endian.
    pub(crate) fn encode(self, vector: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => vector.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16 => narrow(vector).iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// The vector that was kept; `None` if the bytes are not `dim` finite numbers.
    pub(crate) fn decode(self, bytes: &[u8], dim: usize) -> Option<Vec<f32>> {
        if bytes.len() != dim * self.bytes() {
            return None;
        }
        let vector: Vec<f32> = match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Self::F16 => {
                let narrow = bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b));
                narrow.collect::<Vec<_>>().to_f32_vec()
            }
        };
        all_finite(&vector).then_some(vector)
    }
}

/// Whether every number is finite, without a branch per number.
fn all_finite(vector: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let largest = vector.iter().fold(0, |most: u32, value| most.max(value.to_bits() & EXPONENT));
    largest < EXPONENT
}

/// The nearest numbers of 16 bits.
pub(crate) fn narrow(vector: &[f32]) -> Vec<f16> {
    let mut narrow = vec![f16::ZERO; vector.len()];
    narrow.convert_from_f32_slice(vector);
    narrow
}

/// Sums as bytes, little-endian.
pub(crate) fn encode_f64(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The sums that were kept; `None` if the bytes are not `dim` finite numbers.
pub(crate) fn decode_f64(bytes: &[u8], dim: usize) -> Option<Vec<f64>> {
    if bytes.len() != dim * 8 {
        return None;
    }
    let values: Vec<f64> = bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect();
    values.iter().all(|value| value.is_finite()).then_some(values)
}

/// Adds sums that were kept; `false` if the bytes are not as many finite numbers.
pub(crate) fn add_f64(sums: &mut [f64], bytes: &[u8]) -> bool {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    if bytes.len() != sums.len() * 8 {
        return false;
    }
    let mut largest = 0;
    for (sum, &bytes) in sums.iter_mut().zip(bytes.as_chunks().0) {
        let value = f64::from_le_bytes(bytes);
        largest = largest.max(value.to_bits() & EXPONENT);
        *sum += value;
    }
    largest < EXPONENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back() {
        let vector = [1.0, -0.5, 65504.0];
        for precision in [Precision::F32, Precision::F16] {
            let bytes = precision.encode(&vector);
            assert_eq!(bytes.len(), 3 * precision.bytes());
            assert_eq!(precision.decode(&bytes, 3).unwrap(), vector);
            assert_eq!(precision.decode(&bytes, 2), None);
        }
        let too_large = Precision::F16.encode(&[1e6]);
        assert_eq!(Precision::F16.decode(&too_large, 1), None);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(all_finite(&[0.0, -1.0, f32::MAX]) && !all_finite(&[0.0, bad, 1.0]));
        }
        assert_eq!(decode_f64(&encode_f64(&[0.1, 2.0]), 2).unwrap(), [0.1, 2.0]);
        assert_eq!(decode_f64(&encode_f64(&[f64::NAN]), 1), None);
        let mut sums = [1.0, 2.0];
        assert!(add_f64(&mut sums, &encode_f64(&[0.1, -2.0])) && sums == [1.1, 0.0]);
        assert!(!add_f64(&mut sums, &encode_f64(&[0.1])));
        assert!(!add_f64(&mut sums, &encode_f64(&[0.0, f64::INFINITY])));
    }
}
