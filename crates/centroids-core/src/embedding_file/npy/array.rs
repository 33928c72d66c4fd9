//! One NumPy array in a file: header, numbers, texts.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::super::{Failure, FileFault, numbers, write_atomically};
use crate::error::Error;
use crate::values::Values;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Values of an array in row-major order. NumPy reads all of them without `allow_pickle`.
#[derive(Clone, Copy, Debug)]
pub enum NpyValues<'a> {
    /// `float32`.
    F32(&'a [f32]),
    /// `int64`.
    I64(&'a [i64]),
    /// Unicode strings (`<U…`), all as wide as the longest.
    Text(&'a [&'a str]),
}

/// Writes one `.npy` array of the given shape by [`write_atomically`].
///
/// # Errors
/// [`Error::Write`].
///
/// # Panics
/// If the shape does not hold exactly the values.
pub fn write_npy(path: &Path, values: NpyValues<'_>, shape: &[usize]) -> Result<(), Error> {
    write_atomically(path, |out| write_array(out, values, shape))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// [`write_npy`] to anything.
pub(super) fn write_array(
    out: &mut dyn Write,
    values: NpyValues<'_>,
    shape: &[usize],
) -> io::Result<()> {
    let (len, descr) = match values {
        NpyValues::F32(values) => (values.len(), "<f4".to_owned()),
        NpyValues::I64(values) => (values.len(), "<i8".to_owned()),
        NpyValues::Text(texts) => (texts.len(), format!("<U{}", width(texts))),
    };
    assert_eq!(shape.iter().product::<usize>(), len, "the shape {shape:?} holds other values");
    write_header(out, &descr, shape)?;
    match values {
        NpyValues::F32(values) => numbers::write(out, values, f32::to_le_bytes),
        NpyValues::I64(values) => numbers::write(out, values, i64::to_le_bytes),
        NpyValues::Text(texts) => write_texts(out, texts),
    }
}

/// Characters of the longest text; NumPy has no type for strings of none.
fn width(texts: &[&str]) -> usize {
    texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1)
}

fn write_texts(out: &mut dyn Write, texts: &[&str]) -> io::Result<()> {
    let width = width(texts);
    for text in texts {
        let codes = text.chars().map(u32::from).chain(std::iter::repeat(0));
        numbers::write(out, &codes.take(width).collect::<Vec<_>>(), u32::to_le_bytes)?;
    }
    Ok(())
}

/// A version 1.0 header, padded so that the data begins at a multiple of 64.
fn write_header(out: &mut dyn Write, descr: &str, shape: &[usize]) -> io::Result<()> {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A comma more after a single size, as Python writes such tuples.
    let shape = format!("({}{})", sizes.join(", "), if shape.len() == 1 { "," } else { "" });
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let fixed = MAGIC.len() + 4;
    while !(fixed + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    // Shapes and types take far fewer than the 65,535 bytes there is room for.
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())
}

/// Shape and row-major values.
pub(super) fn read_matrix(path: &Path) -> Result<([usize; 2], Values), Failure> {
    let mut array = NpyFile::open(path)?;
    if array.descr != "<f4" {
        return Err(array.wrong_type("embeddings", "'<f4' (float32)"));
    }
    let [n, dim] = *array.shape else {
        return Err(array.wrong_shape("embeddings", "[n, d]"));
    };
    array.check_length(4)?;
    Ok(([n, dim], Values::of_file(&mut array.file, array.start, n * dim)?))
}

pub(super) fn read_strings(path: &Path) -> Result<Vec<String>, Failure> {
    let mut array = NpyFile::open(path)?;
    let width = array.descr.strip_prefix("<U").and_then(|width| width.parse::<usize>().ok());
    // Without characters, any number of strings would fit into an empty file.
    let Some(width) = width.filter(|width| *width > 0) else {
        return Err(array.wrong_type("paths", "'<U…' (Unicode strings)"));
    };
    let [n] = *array.shape else {
        return Err(array.wrong_shape("paths", "[n]"));
    };
    array.check_length(width.saturating_mul(4))?;
    let codes = numbers::read(&mut array.file, n * width, u32::from_le_bytes)?;
    let string = |entry: usize| text(entry, &codes[entry * width..(entry + 1) * width]);
    Ok((0..n).map(string).collect::<Result<_, _>>()?)
}

/// Code points padded with zeros at the end.
fn text(entry: usize, codes: &[u32]) -> Result<String, FileFault> {
    let length = codes.iter().rposition(|code| *code != 0).map_or(0, |last| last + 1);
    let character = |&code: &u32| char::from_u32(code).ok_or(FileFault::NotText { entry, code });
    codes[..length].iter().map(character).collect()
}

/// An open `.npy` file after its header.
struct NpyFile {
    file: BufReader<File>,
    /// Bytes before the data, and in the whole file.
    start: u64,
    bytes: u64,
    descr: String,
    shape: Vec<usize>,
}

impl NpyFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let mut beginning = Vec::new();
        file.by_ref().take(12).read_to_end(&mut beginning)?;
        let rest = beginning.strip_prefix(MAGIC).ok_or_else(|| not_npy("no NumPy signature"))?;
        let (length, start) = match *rest {
            [1, _, a, b, ..] => (u32::from(u16::from_le_bytes([a, b])), 10),
            [2 | 3, _, a, b, c, d] => (u32::from_le_bytes([a, b, c, d]), 12),
            _ => return Err(not_npy("unknown version").into()),
        };
        let data_start = start + u64::from(length);
        if bytes < data_start {
            return Err(FileFault::Length { expected: data_start, found: bytes }.into());
        }
        let mut header = vec![0; length as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut header)?;
        let header = String::from_utf8(header).map_err(|_| not_npy("header is not text"))?;
        let (descr, shape) = parse_header(&header)?;
        Ok(Self { file, start: data_start, bytes, descr, shape })
    }

    /// Checks that the file holds exactly the array, `width` bytes an element, so that nothing is
    /// allocated for bytes that are not there.
    fn check_length(&self, width: usize) -> Result<(), FileFault> {
        let sizes = self.shape.iter().chain([&width]);
        let data = sizes.fold(1_u64, |product, &size| product.saturating_mul(size as u64));
        let expected = self.start.saturating_add(data);
        if expected != self.bytes {
            return Err(FileFault::Length { expected, found: self.bytes });
        }
        Ok(())
    }

    fn wrong_type(&self, tensor: &'static str, expected: &'static str) -> Failure {
        if self.descr.contains('O') {
            return FileFault::Pickled.into();
        }
        FileFault::WrongType { tensor, found: format!("'{}'", self.descr), expected }.into()
    }

    fn wrong_shape(&self, tensor: &'static str, expected: &str) -> Failure {
        let (found, expected) = (self.shape.clone(), expected.to_owned());
        FileFault::WrongShape { tensor, found, expected }.into()
    }
}

/// Type and shape from a header such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (12, 512), }`.
fn parse_header(header: &str) -> Result<(String, Vec<usize>), FileFault> {
    let value = |key: &str| {
        let start = header.find(key).ok_or_else(|| not_npy(&format!("header without {key}")))?;
        Ok(header[start + key.len()..].trim_start_matches([':', ' ']))
    };
    let descr = value("'descr'")?;
    let descr = descr.strip_prefix('\'').and_then(|text| text.split_once('\''));
    let (descr, _) = descr.ok_or_else(|| not_npy("an array of records"))?;
    if value("'fortran_order'")?.starts_with("True") {
        return Err(FileFault::FortranOrder);
    }
    let shape = value("'shape'")?.strip_prefix('(').and_then(|text| text.split_once(')'));
    let (shape, _) = shape.ok_or_else(|| not_npy("header without a shape"))?;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let sizes: Result<Vec<usize>, _> = sizes.map(str::parse).collect();
    Ok((descr.to_owned(), sizes.map_err(|_| not_npy("a shape that is not numbers"))?))
}

fn not_npy(problem: &str) -> FileFault {
    FileFault::NotNpy(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_understood_whatever_their_order() {
        let header = "{'shape': (12, 512), 'fortran_order': False, 'descr': '<f4'}   \n";
        assert_eq!(parse_header(header).unwrap(), ("<f4".to_owned(), vec![12, 512]));
        let header = "{'descr': '<U27', 'fortran_order': False, 'shape': (12,), }";
        assert_eq!(parse_header(header).unwrap(), ("<U27".to_owned(), vec![12]));
    }

    #[test]
    fn other_arrays_are_refused() {
        let error = |header: &str| parse_header(header).unwrap_err().to_string();
        assert!(error("{'descr': [('a', '<f4')], 'fortran_order': False}").contains("records"));
        assert!(error("{'descr': '<f4', 'fortran_order': True, 'shape': ()}").contains("Fortran"));
        assert!(
            error("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}").contains("shape")
        );
        assert!(error("{}").contains("'descr'"));
    }

    #[test]
    fn text_ends_before_the_padding() {
        assert_eq!(text(0, &[0x61, 0xe9, 0x1f600, 0, 0]).unwrap(), "aé😀");
        assert_eq!(text(0, &[0, 0]).unwrap(), "");
        assert!(text(3, &[0xd800]).unwrap_err().to_string().contains("entry 3"));
    }
}
