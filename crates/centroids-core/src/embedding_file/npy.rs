//! The reference's pair of `.npy` files (`inference/create_embeddings.py`).
//!
//! Only float32 matrices and Unicode strings (`<U…`) are read, never pickled objects. Format:
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Failure, FileFault, numbers, write_atomically};
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::ids::pids_from_names;

const MAGIC: &[u8] = b"\x93NUMPY";

pub(super) fn read_pair(path: &Path) -> Result<Embeddings, Failure> {
    let ([rows, dim], values) = read_matrix(path)?;
    let paths_file = find_paths_file(path)?;
    let paths = read_strings(&paths_file).map_err(|failure| match failure {
        Failure::System(source) => Failure::Elsewhere(Error::Read { path: paths_file, source }),
        Failure::Fault(fault) => Failure::Elsewhere(Error::BadFile { path: paths_file, fault }),
        elsewhere => elsewhere,
    })?;
    if paths.len() != rows {
        let list_length = Error::ListLength { list: "paths", found: paths.len(), rows };
        return Err(FileFault::Content(Box::new(list_length)).into());
    }
    let names: Vec<&str> = paths.iter().map(|path| pid_name(path)).collect();
    let (pids, pid_names) = pids_from_names(&names);
    let camids = vec![None; pids.len()];
    let embeddings = Embeddings::new(dim, values, pids, camids, paths)
        .map_err(|error| FileFault::Content(Box::new(error)))?;
    Ok(embeddings.with_pid_names(pid_names))
}

/// Writes both files and only then puts them in place, so that a full disk changes neither.
pub(super) fn write_pair(embeddings: &Embeddings, path: &Path) -> Result<(), Failure> {
    let paths_file = paths_files(path).swap_remove(0);
    for file in [path, &paths_file] {
        if file.is_dir() {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(Failure::Elsewhere(Error::Write { path: file.into(), source }));
        }
    }
    write_atomically(path, |out: &mut dyn Write| {
        let shape = format!("({}, {})", embeddings.len(), embeddings.dim());
        write_header(out, "<f4", &shape)?;
        numbers::write(out, embeddings.values(), f32::to_le_bytes)?;
        out.flush()?;
        write_atomically(&paths_file, |out| write_strings(out, embeddings.paths())).map_err(
            |error| io::Error::new(error.kind(), format!("{}: {error}", paths_file.display())),
        )
    })?;
    Ok(())
}

/// The identity of an image: the name of its folder, or all of it where there is none.
fn pid_name(path: &str) -> &str {
    match path.rsplit('/').nth(1) {
        Some(folder) => folder,
        None => path,
    }
}

/// Where the paths may be, the name we write first: `paths.npy` for `embeddings.npy`, so that the
/// reference finds it; `<name>_paths.npy` for others, so that several pairs share a folder.
fn paths_files(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default();
    let mut own = stem.to_owned();
    own.push("_paths.npy");
    let mut files = vec![path.with_file_name(own), path.with_file_name("paths.npy")];
    if stem == "embeddings" {
        files.reverse();
    }
    files
}

fn find_paths_file(path: &Path) -> Result<PathBuf, FileFault> {
    let files = paths_files(path);
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let found = files.into_iter().find(|file| file.exists());
    found.ok_or_else(|| FileFault::NoPaths(names.join(" nor in ")))
}

/// Shape and row-major values.
fn read_matrix(path: &Path) -> Result<([usize; 2], Vec<f32>), Failure> {
    let mut array = NpyFile::open(path)?;
    if array.descr != "<f4" {
        return Err(array.wrong_type("embeddings", "'<f4' (float32)"));
    }
    let [n, dim] = *array.shape else {
        return Err(array.wrong_shape("embeddings", "[n, d]"));
    };
    array.check_length(4)?;
    Ok(([n, dim], numbers::read(&mut array.file, n * dim, f32::from_le_bytes)?))
}

fn read_strings(path: &Path) -> Result<Vec<String>, Failure> {
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

fn write_strings(out: &mut dyn Write, strings: &[String]) -> std::io::Result<()> {
    let width = strings.iter().map(|string| string.chars().count()).max().unwrap_or(0).max(1);
    write_header(out, &format!("<U{width}"), &format!("({},)", strings.len()))?;
    for string in strings {
        let codes = string.chars().map(u32::from).chain(std::iter::repeat(0));
        numbers::write(out, &codes.take(width).collect::<Vec<_>>(), u32::to_le_bytes)?;
    }
    Ok(())
}

/// A version 1.0 header, padded so that the data begins at a multiple of 64.
fn write_header(out: &mut dyn Write, descr: &str, shape: &str) -> std::io::Result<()> {
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
    fn the_pid_is_the_folder_or_the_whole_entry() {
        assert_eq!(pid_name("gallery/alice_001/al_00.png"), "alice_001");
        assert_eq!(pid_name("alice_001"), "alice_001");
    }

    #[test]
    fn text_ends_before_the_padding() {
        assert_eq!(text(0, &[0x61, 0xe9, 0x1f600, 0, 0]).unwrap(), "aé😀");
        assert_eq!(text(0, &[0, 0]).unwrap(), "");
        assert!(text(3, &[0xd800]).unwrap_err().to_string().contains("entry 3"));
    }
}
