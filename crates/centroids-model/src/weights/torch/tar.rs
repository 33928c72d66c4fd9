//! The container before PyTorch 0.1.10, torchvision's first ResNets among them: a tar archive of
//! `sys_info`, `storages`, `tensors` and the `pickle`, which refers to the tensors by their keys.

use std::borrow::Cow;
use std::collections::HashMap;

use super::object::Object;
use super::pickle::{Pickle, ends_early};
use super::stream::check_machine;
use super::view::{MAX_RANK, Storage, View};

/// Headers and contents of a tar archive are padded to this many bytes.
const BLOCK: usize = 512;

/// A tar archive of `torch.save`.
pub(super) struct Tar<'a> {
    pub(super) pickle: Pickle<'a>,
    storages: HashMap<String, (Storage<'a>, &'a [u8])>,
}

impl<'a> Tar<'a> {
    /// # Errors
    /// Another archive, an incomplete or contradictory file.
    pub(super) fn open(file: &'a [u8]) -> Result<Tar<'a>, String> {
        let members = members(file)?;
        let member = |name: &str| {
            let found = members.get(name).copied();
            found.ok_or_else(|| format!("is a tar archive without `{name}`, not of torch.save"))
        };
        check_machine(&Pickle::read(&mut member("sys_info")?)?)?;
        let storages = storages(member("storages")?)?;
        let tensors = tensors(member("tensors")?, &storages)?;
        let pickle = Pickle::read_with(&mut member("pickle")?, &tensors)?;
        Ok(Tar { pickle, storages })
    }

    /// The bytes of a storage.
    pub(super) fn storage(&self, storage: &Storage<'_>) -> Result<Cow<'a, [u8]>, String> {
        let found = self.storages.get(storage.key.as_ref());
        found.map(|(_, bytes)| Cow::Borrowed(*bytes)).ok_or_else(|| "has no storage".to_owned())
    }
}

/// Is there a tar header at the beginning?
pub(super) fn is_tar(file: &[u8]) -> bool {
    file.get(257..262) == Some(b"ustar")
}

/// Contents of the ordinary files by name.
fn members(mut file: &[u8]) -> Result<HashMap<&str, &[u8]>, String> {
    let mut members = HashMap::new();
    while let Some((header, rest)) = file.split_first_chunk::<BLOCK>() {
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        // The check sum is taken with blanks in its own place.
        let plain = header[..148].iter().chain(&header[156..]).map(|&byte| u64::from(byte));
        if octal(&header[148..156]) != Some(plain.sum::<u64>() + 8 * u64::from(b' ')) {
            return Err("is a broken tar archive; copy or download it again".to_owned());
        }
        let size = octal(&header[124..136]).and_then(|size| usize::try_from(size).ok());
        let parts = size.and_then(|size| rest.split_at_checked(size));
        let (content, rest) = parts.ok_or_else(ends_early)?;
        let name = header[..100].split(|&byte| byte == 0).next().unwrap_or_default();
        if let (b'0' | 0, Ok(name)) = (header[156], std::str::from_utf8(name)) {
            members.insert(name, content);
        }
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        file = rest.get(padding..).unwrap_or_default();
    }
    Ok(members)
}

/// Octal digits between blanks or zeros.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
}

/// For each: a pickle of key, device and type; its length; its elements. Then a list of storages
/// inside others.
fn storages(mut part: &[u8]) -> Result<HashMap<String, (Storage<'_>, &[u8])>, String> {
    let mut storages = HashMap::new();
    for _ in 0..count(&mut part)? {
        let about = Pickle::read(&mut part)?;
        let [key, _, kind] = fields(&about)?;
        let Object::ElementType(dtype) = kind else {
            return Err(format!("has a storage of type {kind}"));
        };
        let (len, rest) = part.split_first_chunk().ok_or_else(ends_early)?;
        let len = usize::try_from(i64::from_le_bytes(*len));
        let len = len.map_err(|_| "has a storage of negative length".to_owned())?;
        let key = name(key)?;
        let storage = Storage { key: Cow::Owned(key.clone()), dtype: *dtype, len };
        let bytes = storage.bytes().and_then(|bytes| rest.split_at_checked(bytes));
        let (bytes, rest) = bytes.ok_or_else(ends_early)?;
        storages.insert(key, (storage, bytes));
        part = rest;
    }
    let views = Pickle::read(&mut part)?;
    match views.get(views.root()) {
        Object::List(views) if views.is_empty() => Ok(storages),
        _ => Err("has storages inside storages; load and save it with a newer PyTorch".to_owned()),
    }
}

/// For each: a pickle of key, storage and type; rank, sizes, strides and offset in binary.
fn tensors<'a>(
    mut part: &'a [u8],
    storages: &HashMap<String, (Storage<'a>, &'a [u8])>,
) -> Result<HashMap<String, View<'a>>, String> {
    let mut tensors = HashMap::new();
    for _ in 0..count(&mut part)? {
        let about = Pickle::read(&mut part)?;
        let [key, storage, _] = fields(&about)?;
        let storage = storages.get(&name(storage)?).ok_or("has a tensor without storage")?;
        // Four bytes follow that were once half of the rank.
        let (rank, rest) = part.split_first_chunk::<8>().ok_or_else(ends_early)?;
        let rank = u32::from_le_bytes([rank[0], rank[1], rank[2], rank[3]]) as usize;
        if rank > MAX_RANK {
            return Err(format!("has a tensor of {rank} axes"));
        }
        let sizes = rest.split_at_checked(8 * (2 * rank + 1)).ok_or_else(ends_early)?;
        let numbers = sizes.0.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        let numbers = numbers.map(usize::try_from).collect::<Result<Vec<usize>, _>>();
        let numbers = numbers.map_err(|_| "has a tensor with a negative size".to_owned())?;
        let (shape, strides) = (numbers[..rank].to_vec(), numbers[rank..2 * rank].to_vec());
        let view = View::new(storage.0.clone(), numbers[2 * rank], shape, strides)?;
        tensors.insert(name(key)?, view);
        part = sizes.1;
    }
    Ok(tensors)
}

fn count(part: &mut &[u8]) -> Result<usize, String> {
    let count = Pickle::read(part)?;
    match count.get(count.root()) {
        Object::Int(count) => {
            usize::try_from(*count).map_err(|_| "has a negative count".to_owned())
        }
        other => Err(format!("has {other} where a count should be")),
    }
}

fn fields<'p, 'a>(about: &'p Pickle<'a>) -> Result<[&'p Object<'a>; 3], String> {
    match about.get(about.root()) {
        Object::Tuple(fields) if fields.len() == 3 => {
            Ok([fields[0], fields[1], fields[2]].map(|id| about.get(id)))
        }
        other => Err(format!("describes a tensor or storage by {other}")),
    }
}

/// A key, which is a number or its digits.
fn name(key: &Object<'_>) -> Result<String, String> {
    match key {
        Object::Int(key) => Ok(key.to_string()),
        Object::Text(key) => Ok((*key).to_owned()),
        other => Err(format!("has a key that is {other}")),
    }
}
