//! The container before PyTorch 1.6: five pickles (a magic number, a version, the machine, the
//! object, the keys of its storages), then each storage: its length and its elements.

use std::borrow::Cow;
use std::collections::HashMap;

use super::object::{Id, Object};
use super::pickle::Pickle;
use super::view::Storage;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// A stream of `torch.save`.
pub(super) struct Stream<'a> {
    pub(super) pickle: Pickle<'a>,
    storages: HashMap<&'a str, &'a [u8]>,
}

impl<'a> Stream<'a> {
    /// # Errors
    /// Another kind of pickle, an incomplete or contradictory file.
    pub(super) fn open(mut file: &'a [u8]) -> Result<Stream<'a>, String> {
        let (magic, version) = (Pickle::read(&mut file)?, Pickle::read(&mut file)?);
        let is = |pickle: &Pickle<'_>, number: i128| matches!(pickle.get(pickle.root()), Object::Int(found) if *found == number);
        if !is(&magic, MAGIC) || !is(&version, VERSION) {
            return Err("is a pickle, but not a file of torch.save".to_owned());
        }
        check_machine(&Pickle::read(&mut file)?)?;
        let pickle = Pickle::read(&mut file)?;
        let keys = Pickle::read(&mut file)?;
        let storages = storages(&pickle, &keys, file)?;
        Ok(Stream { pickle, storages })
    }

    /// The bytes of a storage.
    pub(super) fn storage(&self, storage: &Storage<'_>) -> Result<Cow<'a, [u8]>, String> {
        let bytes = self.storages.get(&*storage.key).ok_or("its storage is not in the file")?;
        Ok(Cow::Borrowed(bytes))
    }
}

/// # Errors
/// Unless the dictionary says that the file was written on a little-endian machine.
pub(super) fn check_machine(machine: &Pickle<'_>) -> Result<(), String> {
    let is_order = |id: Id| matches!(machine.get(id), Object::Text("little_endian"));
    let entries = match machine.get(machine.root()) {
        Object::Dict(entries) => entries.as_slice(),
        _ => &[],
    };
    let little = |(key, value): &(Id, Id)| {
        is_order(*key) && matches!(machine.get(*value), Object::Bool(true))
    };
    if entries.iter().any(little) {
        Ok(())
    } else {
        Err("was not written on a little-endian machine; save it on one".to_owned())
    }
}

fn storages<'a>(
    pickle: &Pickle<'a>,
    keys: &Pickle<'a>,
    mut file: &'a [u8],
) -> Result<HashMap<&'a str, &'a [u8]>, String> {
    let declared: HashMap<&str, &Storage<'a>> =
        pickle.objects().iter().filter_map(storage).collect();
    let Object::List(order) = keys.get(keys.root()) else {
        return Err("lacks the list of its storages".to_owned());
    };
    let mut storages = HashMap::new();
    for id in order {
        let Object::Text(key) = keys.get(*id) else {
            return Err("has a storage whose key is no text".to_owned());
        };
        let storage = declared.get(*key).ok_or("has a storage that no tensor uses")?;
        let wrong = || format!("storage `{}` is incomplete", key.escape_debug());
        let (len, rest) = file.split_first_chunk::<8>().ok_or_else(wrong)?;
        if usize::try_from(i64::from_le_bytes(*len)) != Ok(storage.len) {
            return Err(format!("storage `{}` has another length than said", key.escape_debug()));
        }
        let bytes = storage.bytes().and_then(|bytes| rest.split_at_checked(bytes));
        let (bytes, rest) = bytes.ok_or_else(wrong)?;
        storages.insert(*key, bytes);
        file = rest;
    }
    if file.is_empty() {
        Ok(storages)
    } else {
        Err(format!("goes on for {} bytes after its last storage", file.len()))
    }
}

fn storage<'o, 'a>(object: &'o Object<'a>) -> Option<(&'o str, &'o Storage<'a>)> {
    match object {
        Object::Storage(storage) => Some((&storage.key, storage)),
        _ => None,
    }
}
