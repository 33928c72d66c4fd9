//! Tar archives of images as WebDataset packs them, read where they lie.
//!
//! A sample is the members with one key, their name up to the first dot of its last part: pictures
//! (`shop/17.jpg`), and what is known of them. The identity is `pid` in `<key>.json`, else the text of
//! `<key>.cls`, else that of `<key>.txt`; the camera is `camid` in the JSON. Without any of these in
//! the whole archive every picture is an identity of its own.
//!
//! Names of members are only names: nothing is ever unpacked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use centroids_core::Pid;
use serde::Deserialize;
use tar::{Archive, EntryType};

use crate::error::Error;
use crate::image_bytes::MAX_IMAGE_BYTES;
use crate::layout::named::{NamedImage, NumberOrText, number};
use crate::listing::{has_image_extension, is_hidden};
use crate::record::ImageRecord;

/// Largest member that describes a sample: 1 MiB.
const MAX_LABEL_BYTES: u64 = 1 << 20;
/// Headers and contents of tar archives fill whole blocks of this many bytes.
const BLOCK: u64 = 512;

/// The images of one archive, by the order of its members. The path of an image is
/// `<archive>/<member>`.
#[derive(Debug, Default)]
pub struct ArchivedImages {
    /// The images.
    pub records: Vec<ImageRecord>,
    /// Names of identities that are not numbers.
    pub pid_names: BTreeMap<Pid, String>,
    /// Members that are neither images nor describe one.
    pub left_out: Vec<PathBuf>,
    /// Where the images' bytes are, by path.
    pub(crate) members: HashMap<OsString, Member>,
}

/// The place of a member's content.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    archive: Arc<Path>,
    start: u64,
    size: u64,
}

impl Member {
    pub(crate) fn read(&self, path: &Path, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let mut read = || {
            let mut archive = File::open(&self.archive)?;
            archive.seek(SeekFrom::Start(self.start))?;
            archive.take(self.size).read_to_end(bytes)
        };
        match read().map_err(|source| Error::io(&self.archive, source))? as u64 {
            read if read == self.size => Ok(()),
            _ => Err(Error::layout(path, "the archive has become shorter: copy it again")),
        }
    }
}

/// What is said of a sample.
#[derive(Default)]
struct Sample {
    json: SampleJson,
    class: Option<String>,
    text: Option<String>,
}

#[derive(Default, Deserialize)]
struct SampleJson {
    #[serde(default)]
    pid: Option<NumberOrText>,
    #[serde(default)]
    camid: Option<NumberOrText>,
}

/// Lists the images of a tar archive without reading them.
///
/// # Errors
/// An archive that is missing, broken, cut off or has no images, a member that is there twice or
/// larger than can be, labels that cannot be read or that only some of the samples have.
pub fn read_archive(archive: &Path) -> Result<ArchivedImages, Error> {
    let mut contents = Contents::of(archive)?;
    let named = contents.images.iter().filter(|(_, key)| contents.identity(key).is_some()).count();
    let names = match named {
        0 => contents.images.iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect(),
        _ => contents.identities(archive)?,
    };
    let images = std::mem::take(&mut contents.images).into_iter().zip(names);
    let named = images.map(|((path, key), pid)| {
        let camera = contents.samples.get(&key).and_then(|sample| sample.json.camid.clone());
        NamedImage { path, pid, camera: camera.map(String::from) }
    });
    let (records, pid_names) = number(named.collect());
    let Contents { left_out, members, .. } = contents;
    Ok(ArchivedImages { records, pid_names, left_out, members })
}

/// The members of an archive, by what they are.
#[derive(Default)]
struct Contents {
    /// Paths with the keys of their samples.
    images: Vec<(PathBuf, String)>,
    samples: HashMap<String, Sample>,
    left_out: Vec<PathBuf>,
    members: HashMap<OsString, Member>,
}

impl Contents {
    fn of(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::io(path, source);
        let broken =
            |source| Error::layout(path, format!("broken tar archive ({source}): pack it again"));
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let shared: Arc<Path> = path.into();
        let (mut contents, mut seen, mut end) = (Self::default(), HashSet::new(), 0);
        let mut archive = Archive::new(file);
        for entry in archive.entries_with_seek().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let (start, size) = (entry.raw_file_position(), entry.size());
            end = start.saturating_add(size).div_ceil(BLOCK).saturating_mul(BLOCK);
            if end > length {
                return Err(cut_off(path, &format!("in `{name}`")));
            }
            let kind = entry.header().entry_type();
            if matches!(kind, EntryType::Directory | EntryType::XGlobalHeader) {
                continue;
            }
            if !seen.insert(name.clone()) {
                return Err(Error::layout(path, format!("holds `{name}` twice: pack it again")));
            }
            let plain = matches!(kind, EntryType::Regular | EntryType::Continuous);
            let member = Member { archive: shared.clone(), start, size };
            contents.take(path, &name, plain.then_some(member), &mut entry)?;
        }
        if length < end + BLOCK {
            return Err(cut_off(path, "before its end mark"));
        }
        match contents.images.is_empty() {
            true => Err(Error::layout(path, "holds no images: give an archive that does")),
            false => Ok(contents),
        }
    }

    /// Files one member; links and the like, having no content of their own, are left out.
    fn take(
        &mut self,
        archive: &Path,
        name: &str,
        member: Option<Member>,
        content: &mut impl Read,
    ) -> Result<(), Error> {
        let path = inside(archive, name);
        let Some(member) = member.filter(|_| !is_hidden(Path::new(name))) else {
            self.left_out.push(path);
            return Ok(());
        };
        let (key, extension) = split(name);
        if has_image_extension(&path) {
            if member.size > MAX_IMAGE_BYTES {
                let problem = format!("{} bytes are more than a picture's: remove it", member.size);
                return Err(Error::layout(&path, problem));
            }
            self.images.push((path.clone(), key.to_owned()));
            self.members.insert(path.into(), member);
        } else if matches!(extension, "json" | "cls" | "txt") {
            let text = label(&path, member.size, content)?;
            let sample = self.samples.entry(key.to_owned()).or_default();
            match extension {
                "json" => sample.json = parse(&path, &text)?,
                "cls" => sample.class = first_line(&text),
                _ => sample.text = first_line(&text),
            }
        } else {
            self.left_out.push(path);
        }
        Ok(())
    }

    fn identity(&self, key: &str) -> Option<String> {
        let Sample { json, class, text } = self.samples.get(key)?;
        let pid = json.pid.clone().map(String::from);
        pid.or_else(|| class.clone()).or_else(|| text.clone())
    }

    fn identities(&self, archive: &Path) -> Result<Vec<String>, Error> {
        let identity = |(path, key): &(PathBuf, String)| {
            let without = || {
                let problem = format!(
                    "`{}` has no identity, unlike others: add `pid` to `{key}.json`, or `{key}.cls`",
                    path.display()
                );
                Error::layout(archive, problem)
            };
            self.identity(key).ok_or_else(without)
        };
        self.images.iter().map(identity).collect()
    }
}

/// Not [`Path::join`], which a member called `/etc/x` would replace the archive with.
fn inside(archive: &Path, name: &str) -> PathBuf {
    let mut path = archive.as_os_str().to_owned();
    path.push("/");
    path.push(name);
    path.into()
}

/// Key and extension: a name is cut at the first dot of its last part.
fn split(name: &str) -> (&str, &str) {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[last..].find('.') {
        Some(dot) => (&name[..last + dot], &name[last + dot + 1..]),
        None => (name, ""),
    }
}

fn label(path: &Path, size: u64, content: &mut impl Read) -> Result<String, Error> {
    if size > MAX_LABEL_BYTES {
        let problem = format!("{size} bytes are more than a label's: shorten or remove it");
        return Err(Error::layout(path, problem));
    }
    let mut text = String::new();
    match content.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(Error::Io { path: path.into(), source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<SampleJson, Error> {
    serde_json::from_str(text).map_err(|error| {
        Error::layout(path, format!("{error}: want an object, `pid` and `camid` being its labels"))
    })
}

fn first_line(text: &str) -> Option<String> {
    let line = text.trim_start_matches('\u{feff}').lines().map(str::trim).next();
    line.filter(|line| !line.is_empty()).map(str::to_owned)
}

fn cut_off(archive: &Path, place: &str) -> Error {
    Error::layout(archive, format!("the archive is cut off {place}: copy it again"))
}
