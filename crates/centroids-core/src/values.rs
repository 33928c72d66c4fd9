//! The numbers of embeddings: in memory, or in a file that is mapped into it.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::ops::Deref;
use std::sync::Arc;

use memmap2::Mmap;

use crate::embedding_file::numbers;

/// Files with fewer bytes of numbers than this are read: 16 MiB.
const MAP_FROM: usize = 16 << 20;

/// Single-precision numbers that are only read.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    Memory(Vec<f32>),
    /// `count` numbers from byte `start`, which is aligned. Pages come into memory when used and
    /// leave it when it is short, so a set may be larger than memory.
    File {
        map: Arc<Mmap>,
        start: usize,
        count: usize,
    },
}

impl Values {
    /// The `count` little-endian numbers from byte `start` of a file, which must reach that far.
    pub(crate) fn of_file(
        file: &mut BufReader<File>,
        start: u64,
        count: usize,
    ) -> io::Result<Self> {
        let bytes = count * size_of::<f32>();
        if cfg!(target_endian = "little") && start.is_multiple_of(4) && bytes >= MAP_FROM {
            // SAFETY: the bytes are only read, and any bytes are numbers. This program never writes
            // into a file, it replaces it, so the mapped one stays as it is; that another program
            // cuts a file off while it is used is outside of what can be borne.
            let map = Arc::new(unsafe { Mmap::map(file.get_ref()) }?);
            return Ok(Self::File { map, start: start as usize, count });
        }
        file.seek(SeekFrom::Start(start))?;
        Ok(Self::Memory(numbers::read(file, count, f32::from_le_bytes)?))
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Memory(values) => values,
            Self::File { map, start, count } => {
                bytemuck::cast_slice(&map[*start..start + count * size_of::<f32>()])
            }
        }
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn large_files_are_mapped_and_small_ones_read() {
        let mut file = tempfile::tempfile().unwrap();
        let numbers: Vec<f32> = (0..MAP_FROM / 4 + 1).map(|number| number as f32).collect();
        file.write_all(&[9; 8]).unwrap();
        file.write_all(bytemuck::cast_slice(&numbers)).unwrap();
        let mut file = BufReader::new(file);
        let large = Values::of_file(&mut file, 8, numbers.len()).unwrap();
        assert!(matches!(large, Values::File { .. }));
        assert_eq!(*large, numbers[..]);
        let small = Values::of_file(&mut file, 12, 5).unwrap();
        assert_eq!(small, Values::Memory(vec![1.0, 2.0, 3.0, 4.0, 5.0]));
    }
}
