//! The zip container: `<root>/data.pkl`, and an entry `<root>/data/<key>` for each storage.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};

use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use super::view::Storage;

/// Largest table of contents, inflated.
const MAX_PICKLE: usize = 8 << 20;

/// A zip archive of `torch.save`.
pub(super) struct Archive<'a> {
    zip: ZipSliceArchive<&'a [u8]>,
    entries: HashMap<String, (CompressionMethod, ZipArchiveEntryWayfinder)>,
    /// Folder of everything, with its slash.
    root: String,
}

impl<'a> Archive<'a> {
    /// # Errors
    /// A broken archive, or one without the one folder PyTorch makes.
    pub(super) fn open(file: &'a [u8]) -> Result<Archive<'a>, String> {
        let zip = ZipArchive::from_slice(file).map_err(broken)?;
        let mut entries = HashMap::new();
        let mut directory = zip.entries();
        while let Some(entry) = directory.next_entry().map_err(broken)? {
            let name = String::from_utf8(entry.file_path().as_ref().to_vec())
                .map_err(|_| "has an entry whose name is not UTF-8".to_owned())?;
            let method = entry.compression_method();
            if entries.insert(name, (method, entry.wayfinder())).is_some() {
                return Err("has two entries of the same name".to_owned());
            }
        }
        let folder = |name: &String| name.strip_suffix("data.pkl").map(str::to_owned);
        let is_root = |folder: &String| matches!(folder.split_once('/'), None | Some((_, "")));
        let mut roots = entries.keys().filter_map(folder).filter(is_root);
        let (Some(root), None) = (roots.next(), roots.next()) else {
            return Err("is a zip archive, but not a file of torch.save: it has no data.pkl, or \
                        several"
                .to_owned());
        };
        let archive = Archive { zip, entries, root };
        match archive.entries.contains_key(&archive.path("byteorder")) {
            true if &*archive.read("byteorder", 16)? != b"little" => {
                Err("was not written on a little-endian machine; save it on one".into())
            }
            _ => Ok(archive),
        }
    }

    /// The pickle that describes the tensors.
    pub(super) fn contents(&self) -> Result<Cow<'_, [u8]>, String> {
        self.read("data.pkl", MAX_PICKLE)
    }

    /// The bytes of a storage; a deflated one of at most `most`.
    pub(super) fn storage(
        &self,
        storage: &Storage<'_>,
        most: usize,
    ) -> Result<Cow<'_, [u8]>, String> {
        let name = format!("data/{}", storage.key);
        let entry = self.entries.get(&self.path(&name));
        let stored = entry.is_some_and(|(method, _)| *method == CompressionMethod::STORE);
        let wanted = storage.bytes().filter(|bytes| stored || *bytes <= most);
        self.read(&name, wanted.ok_or("its storage is larger than the file can hold")?)
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    /// At most `most` bytes of an entry, checked against its check sum.
    fn read(&self, name: &str, most: usize) -> Result<Cow<'_, [u8]>, String> {
        let inside = |error: &dyn std::fmt::Display| {
            format!("entry `{}` {error}; copy or download it again", name.escape_debug())
        };
        let found = self.entries.get(&self.path(name));
        let (method, place) = *found.ok_or_else(|| inside(&"is missing"))?;
        let entry = self.zip.get_entry(place).map_err(|error| inside(&error))?;
        match method {
            CompressionMethod::STORE if entry.data().len() > most => Err(inside(&"is too long")),
            CompressionMethod::STORE => {
                let mut reader = entry.verifying_reader(entry.data());
                io::copy(&mut reader, &mut io::sink()).map_err(|error| inside(&error))?;
                Ok(Cow::Borrowed(entry.data()))
            }
            CompressionMethod::DEFLATE => {
                let inflated = entry.verifying_reader(DeflateDecoder::new(entry.data()));
                let mut bytes = Vec::new();
                let mut reader = inflated.take(most as u64 + 1);
                reader.read_to_end(&mut bytes).map_err(|error| inside(&error))?;
                if bytes.len() > most { Err(inside(&"is too long")) } else { Ok(bytes.into()) }
            }
            other => Err(inside(&format!("is compressed by method {}", other.as_u16()))),
        }
    }
}

fn broken(error: rawzip::Error) -> String {
    format!("is no complete zip archive ({error}); copy or download it again")
}
