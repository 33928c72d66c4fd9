//! Arrays of little-endian numbers, in pieces so that no second copy of a big file is held.

use std::io::{self, Read, Write};

/// Numbers converted at a time.
const PIECE: usize = 16 * 1024;

/// Reads `count` numbers of `WIDTH` bytes. The caller has checked `count` against the file's size.
pub(crate) fn read<T, const WIDTH: usize>(
    source: &mut impl Read,
    count: usize,
    from_bytes: impl Fn([u8; WIDTH]) -> T,
) -> io::Result<Vec<T>> {
    let mut numbers = Vec::with_capacity(count);
    let mut buffer = vec![0; PIECE * WIDTH];
    while numbers.len() < count {
        let piece = &mut buffer[..PIECE.min(count - numbers.len()) * WIDTH];
        source.read_exact(piece)?;
        numbers.extend(piece.as_chunks::<WIDTH>().0.iter().map(|bytes| from_bytes(*bytes)));
    }
    Ok(numbers)
}

/// Writes numbers of `WIDTH` bytes.
pub(super) fn write<T: Copy, const WIDTH: usize>(
    out: &mut dyn Write,
    numbers: &[T],
    to_bytes: impl Fn(T) -> [u8; WIDTH],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(PIECE * WIDTH);
    for piece in numbers.chunks(PIECE) {
        buffer.clear();
        buffer.extend(piece.iter().flat_map(|&number| to_bytes(number)));
        out.write_all(&buffer)?;
    }
    Ok(())
}
