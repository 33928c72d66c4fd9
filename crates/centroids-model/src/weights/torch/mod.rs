//! Files of `torch.save`, read without Python and without running anything: a pickle is walked by
//! a machine that knows the few words a dictionary of tensors is written in and refuses the rest.
//!
//! Three containers: a zip archive (PyTorch 1.6 and later), a stream of pickles (0.1.10 and later),
//! and a tar archive before it.

mod archive;
mod object;
mod pickle;
mod stream;
mod tar;
#[cfg(test)]
mod tests;
mod view;

use std::borrow::Cow;
use std::collections::BTreeMap;

use archive::Archive;
use object::{Id, Object};
use pickle::Pickle;
use stream::Stream;
use tar::{Tar, is_tar};
use view::{Storage, View};

use super::state_dict::RawTensor;

/// Room for expanded views and deflated storages, beyond the size of the file.
const ALLOWANCE: usize = 64 << 20;

/// Every tensor of the file, row-major. `None` if `file` is not of `torch.save`.
pub(super) fn read(file: &[u8]) -> Option<Result<BTreeMap<String, RawTensor>, String>> {
    match file {
        [b'P', b'K', 3, 4, ..] => Some(read_archive(file)),
        [0x80, ..] => Some(read_stream(file)),
        _ if is_tar(file) => Some(read_tar(file)),
        _ => None,
    }
}

fn read_archive(file: &[u8]) -> Result<BTreeMap<String, RawTensor>, String> {
    let archive = Archive::open(file)?;
    let contents = archive.contents()?;
    let pickle = Pickle::read(&mut &contents[..])?;
    let limit = file.len() + ALLOWANCE;
    tensors(&pickle, limit, |storage| archive.storage(storage, limit))
}

fn read_stream(file: &[u8]) -> Result<BTreeMap<String, RawTensor>, String> {
    let stream = Stream::open(file)?;
    tensors(&stream.pickle, file.len() + ALLOWANCE, |storage| stream.storage(storage))
}

fn read_tar(file: &[u8]) -> Result<BTreeMap<String, RawTensor>, String> {
    let tar = Tar::open(file)?;
    tensors(&tar.pickle, file.len() + ALLOWANCE, |storage| tar.storage(storage))
}

/// Copies every view out of its storage; views of one storage together, so that a deflated one is
/// inflated once and not kept.
fn tensors<'f>(
    pickle: &Pickle<'_>,
    limit: usize,
    bytes_of: impl Fn(&Storage<'_>) -> Result<Cow<'f, [u8]>, String>,
) -> Result<BTreeMap<String, RawTensor>, String> {
    let views = views(pickle)?;
    let total = views.values().try_fold(0usize, |sum, view| sum.checked_add(view.bytes()));
    if total.is_none_or(|total| total > limit) {
        return Err("describes more tensors than a file of its size can hold".to_owned());
    }
    let mut by_storage: Vec<_> = views.into_iter().collect();
    by_storage.sort_by(|(_, a), (_, b)| a.storage().key.cmp(&b.storage().key));
    let mut tensors = BTreeMap::new();
    for of_storage in by_storage.chunk_by(|(_, a), (_, b)| a.storage().key == b.storage().key) {
        let inside = |name: &str, error| format!("tensor `{}`: {error}", name.escape_debug());
        let (name, view) = &of_storage[0];
        let bytes = bytes_of(view.storage()).map_err(|error| inside(name, error))?;
        for (name, view) in of_storage {
            let (dtype, shape) = (view.storage().dtype, view.shape().to_vec());
            let bytes = view.gather(&bytes).map_err(|error| inside(name, error))?;
            tensors.insert((*name).to_owned(), RawTensor { dtype, shape, bytes });
        }
    }
    Ok(tensors)
}

/// The dictionary at the root, or the one called `state_dict` in it. As in Python, the last of two
/// equal keys counts.
fn views<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<BTreeMap<&'a str, &'p View<'a>>, String> {
    let entries = |id: Id| match pickle.get(id) {
        Object::Dict(entries) => Some(entries),
        _ => None,
    };
    let key = |id: Id| match pickle.get(id) {
        Object::Text(key) => Some(*key),
        _ => None,
    };
    let no_dictionary = "holds no dictionary of tensors; save the model's state_dict()";
    let mut dict = entries(pickle.root()).ok_or(no_dictionary)?;
    let inner = dict.iter().rev().find(|(name, _)| key(*name) == Some("state_dict"));
    if let Some(inner) = inner.and_then(|(_, value)| entries(*value)) {
        dict = inner;
    }
    let mut views = BTreeMap::new();
    for (name, value) in dict {
        let name = key(*name).ok_or("has a tensor whose name is no text")?;
        match pickle.get(*value) {
            Object::Tensor(view) => views.insert(name, view.as_ref()),
            other => return Err(format!("`{}` is {other}, no tensor", name.escape_debug())),
        };
    }
    Ok(views)
}
