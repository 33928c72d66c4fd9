//! Files of `torch.save`, read without Python and without running anything: a pickle is walked by
//! a machine that knows the few words a dictionary of tensors is written in and refuses the rest.
//!
//! Three containers: a zip archive (PyTorch 1.6 and later), a stream of pickles (0.1.10 and later),
//! and a tar archive before it.

mod archive;
mod extra;
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

use super::state_dict::{Container, RawTensor};

/// Room for expanded views, beyond the size of the file.
const VIEWS: usize = 24 << 20;

/// Room for a storage that has to be inflated before its views are taken out of it.
const INFLATED: usize = 8 << 20;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) container: Container,
    /// Row-major.
    pub(super) tensors: BTreeMap<String, RawTensor>,
    /// What a trainer wrote beside them, as far as it is plain values.
    pub(super) extra: serde_json::Map<String, serde_json::Value>,
}

/// The contents of the file. `None` if `file` is not of `torch.save`.
pub(super) fn read(file: &[u8]) -> Option<Result<Contents, String>> {
    match file {
        [b'P', b'K', 3, 4, ..] => Some(read_archive(file)),
        [0x80, ..] => Some(read_stream(file)),
        _ if is_tar(file) => Some(read_tar(file)),
        _ => None,
    }
}

fn read_archive(file: &[u8]) -> Result<Contents, String> {
    let archive = Archive::open(file)?;
    let pickle = archive.contents()?;
    let pickle = Pickle::read(&mut &pickle[..])?;
    contents(Container::TorchZip, &pickle, file, |storage, most| archive.storage(storage, most))
}

fn read_stream(file: &[u8]) -> Result<Contents, String> {
    let stream = Stream::open(file)?;
    contents(Container::TorchStream, &stream.pickle, file, |storage, _| stream.storage(storage))
}

fn read_tar(file: &[u8]) -> Result<Contents, String> {
    let tar = Tar::open(file)?;
    contents(Container::TorchTar, &tar.pickle, file, |storage, _| tar.storage(storage))
}

fn contents<'f>(
    container: Container,
    pickle: &Pickle<'_>,
    file: &[u8],
    bytes_of: impl Fn(&Storage<'_>, usize) -> Result<Cow<'f, [u8]>, String>,
) -> Result<Contents, String> {
    let root = entries(pickle, pickle.root()).ok_or_else(|| no_dictionary(pickle))?;
    let (dict, extra) = match entry(pickle, root, "state_dict").and_then(|id| entries(pickle, id)) {
        Some(inner) => (inner, extra::of(pickle, root)),
        None => (root, serde_json::Map::new()),
    };
    let tensors = tensors(views(pickle, dict)?, file.len() + VIEWS, bytes_of)?;
    Ok(Contents { container, tensors, extra })
}

/// Copies every view out of its storage; views of one storage together, so that a deflated one is
/// inflated once and not kept.
fn tensors<'f>(
    views: BTreeMap<&str, &View<'_>>,
    limit: usize,
    bytes_of: impl Fn(&Storage<'_>, usize) -> Result<Cow<'f, [u8]>, String>,
) -> Result<BTreeMap<String, RawTensor>, String> {
    let total = views.values().try_fold(0usize, |sum, view| sum.checked_add(view.bytes()));
    let total = total.filter(|total| *total <= limit);
    let total = total.ok_or("describes more tensors than a file of its size can hold")?;
    let mut by_storage: Vec<_> = views.into_iter().collect();
    by_storage.sort_by(|(_, a), (_, b)| a.storage().key.cmp(&b.storage().key));
    let mut tensors = BTreeMap::new();
    for of_storage in by_storage.chunk_by(|(_, a), (_, b)| a.storage().key == b.storage().key) {
        let inside = |name: &str, error| format!("tensor `{}`: {error}", name.escape_debug());
        let (name, first) = &of_storage[0];
        // The one view of a whole storage becomes a tensor without a copy.
        let moved = of_storage.len() == 1 && first.is_whole();
        let most = if moved { limit } else { limit - total + INFLATED };
        let mut bytes = bytes_of(first.storage(), most).map_err(|error| inside(name, error))?;
        for (name, view) in of_storage {
            let (dtype, shape) = (view.storage().dtype, view.shape().to_vec());
            let bytes = match &mut bytes {
                Cow::Owned(bytes) if moved => view.check(bytes).map(|()| std::mem::take(bytes)),
                bytes => view.gather(bytes),
            };
            let bytes = bytes.map_err(|error| inside(name, error))?;
            tensors.insert((*name).to_owned(), RawTensor { dtype, shape, bytes });
        }
    }
    Ok(tensors)
}

fn entries<'p>(pickle: &'p Pickle<'_>, id: Id) -> Option<&'p [(Id, Id)]> {
    match pickle.get(id) {
        Object::Dict(entries) => Some(entries),
        _ => None,
    }
}

fn key<'a>(pickle: &Pickle<'a>, id: Id) -> Option<&'a str> {
    match pickle.get(id) {
        Object::Text(key) => Some(*key),
        _ => None,
    }
}

/// The value of a key. As in Python, the last of two equal keys counts.
fn entry(pickle: &Pickle<'_>, entries: &[(Id, Id)], name: &str) -> Option<Id> {
    let found = entries.iter().rev().find(|(id, _)| key(pickle, *id) == Some(name));
    found.map(|(_, value)| *value)
}

fn no_dictionary(pickle: &Pickle<'_>) -> String {
    match pickle.get(pickle.root()) {
        Object::Instance(instance) => format!(
            "holds a whole model or another object of {}; nothing was run. Save the model's \
             state_dict() instead",
            pickle.get(instance.class)
        ),
        Object::Foreign(name) => format!("holds {name}, no weights; nothing was run"),
        _ => "holds no dictionary of tensors; save the model's state_dict()".to_owned(),
    }
}

/// The tensors of a dictionary, which holds nothing else.
fn views<'p, 'a>(
    pickle: &'p Pickle<'a>,
    dict: &[(Id, Id)],
) -> Result<BTreeMap<&'a str, &'p View<'a>>, String> {
    let mut views = BTreeMap::new();
    for (name, value) in dict {
        let name = key(pickle, *name).ok_or("has a tensor whose name is no text")?;
        let shown = name.escape_debug();
        match pickle.get(*value) {
            Object::Tensor(view) => views.insert(name, view.as_ref()),
            Object::Instance(instance) => {
                let class = pickle.get(instance.class);
                return Err(format!("`{shown}` is made of {class}, no tensor; nothing was run"));
            }
            Object::Foreign(other) => {
                return Err(format!("`{shown}` is {other}, no tensor; nothing was run"));
            }
            other => return Err(format!("`{shown}` is {other}, no tensor")),
        };
    }
    Ok(views)
}
