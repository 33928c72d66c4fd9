//! Safetensors files from anywhere: their header is checked before it is believed.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use safetensors::SafeTensors;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::state_dict::RawTensor;

/// Longest header in bytes. With the next three bounds it keeps a small file from filling the memory.
const MAX_HEADER: usize = 16 << 20;

/// Most tensors; the largest model with its optimiser has some thousand.
const MAX_TENSORS: usize = 1 << 13;

/// Most axes of a tensor.
const MAX_RANK: usize = 8;

/// Most texts in the metadata.
const MAX_TEXTS: usize = 1 << 10;

/// What a file holds.
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, RawTensor>,
    /// Texts of the header.
    pub(super) metadata: BTreeMap<String, String>,
}

/// # Errors
/// A file that is incomplete, contradicts itself, or names a tensor twice.
pub(super) fn read(file: &[u8]) -> Result<Contents, String> {
    check_header(file)?;
    let (len, header) = SafeTensors::read_metadata(file).map_err(incomplete)?;
    let data = &file[8 + len..];
    let raw = |(name, info): (String, &TensorInfo)| {
        let (from, to) = info.data_offsets;
        let bytes = data[from..to].to_vec();
        (name, RawTensor { dtype: info.dtype, shape: info.shape.clone(), bytes })
    };
    Ok(Contents {
        tensors: header.tensors().into_iter().map(raw).collect(),
        metadata: header.metadata().clone().into_iter().flatten().collect(),
    })
}

fn incomplete(reason: impl fmt::Display) -> String {
    format!("is not a complete safetensors file ({reason}); copy or download it again")
}

fn check_header(file: &[u8]) -> Result<(), String> {
    let (len, rest) = file.split_first_chunk().ok_or_else(|| incomplete("it has no header"))?;
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let header = rest.get(..len).ok_or_else(|| incomplete("its header is cut"))?;
    if len > MAX_HEADER {
        return Err("has a longer table of contents than any model's weights".to_owned());
    }
    let mut json = serde_json::Deserializer::from_slice(header);
    json.deserialize_map(Names).map_err(incomplete)
}

/// Goes through the names of a header.
struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<Texts>()?;
            } else {
                map.next_value::<Place>()?;
            }
            if seen.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
            if let Some(twice) = seen.replace(name) {
                return Err(A::Error::custom(format!("`{}` stands twice", twice.escape_debug())));
            }
        }
        Ok(())
    }
}

/// All that may be said of a tensor, with a shape of few axes.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    #[serde(rename = "dtype")]
    _dtype: String,
    #[serde(rename = "shape")]
    _shape: Axes,
    #[serde(rename = "data_offsets")]
    _data_offsets: [u64; 2],
}

/// Few texts.
struct Texts;

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        deserializer.deserialize_map(Texts)
    }
}

impl<'de> Visitor<'de> for Texts {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = 0;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            texts += 1;
            if texts > MAX_TEXTS {
                return Err(A::Error::custom(format!("more than {MAX_TEXTS} texts of metadata")));
            }
        }
        Ok(Texts)
    }
}

struct Axes;

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Axes, D::Error> {
        deserializer.deserialize_seq(Axes)
    }
}

impl<'de> Visitor<'de> for Axes {
    type Value = Axes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sizes of a tensor")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut axes: A) -> Result<Axes, A::Error> {
        let mut rank = 0;
        while axes.next_element::<u64>()?.is_some() {
            rank += 1;
            if rank > MAX_RANK {
                return Err(A::Error::custom(format!("a tensor of more than {MAX_RANK} axes")));
            }
        }
        Ok(Axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![7; data]].concat()
    }

    fn reason(header: &str, data: usize) -> String {
        read(&file(header, data)).err().unwrap()
    }

    fn entry(name: &str, shape: &str, from: usize, to: usize) -> String {
        format!(r#""{name}":{{"dtype":"U8","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    }

    #[test]
    fn tensors_and_metadata_are_read() {
        let header = format!(r#"{{"__metadata__":{{"format":"x"}},{}}}"#, entry("w", "[2]", 0, 2));
        let contents = read(&file(&header, 2)).unwrap();
        assert_eq!((contents.tensors.len(), &contents.tensors["w"].bytes[..]), (1, &[7, 7][..]));
        assert_eq!(contents.metadata["format"], "x");
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let twice = [entry("w", "[2]", 0, 2), entry("w", "[2]", 0, 2)].join(",");
        let error = reason(&format!("{{{twice}}}"), 2);
        assert!(error.contains("`w` stands twice"), "{error}");
        let metadata =
            format!(r#"{{"__metadata__":{{}},"__metadata__":{{}},{}}}"#, entry("w", "[2]", 0, 2));
        assert!(reason(&metadata, 2).contains("twice"));
    }

    #[test]
    fn headers_that_would_fill_the_memory_are_refused() {
        let ones = format!("[{}1]", "1,".repeat(100));
        let deep = format!("{{{}}}", entry("w", &ones, 0, 1));
        assert!(reason(&deep, 1).contains("8 axes"));
        let empty: Vec<String> =
            (0..=MAX_TENSORS).map(|i| entry(&i.to_string(), "[0]", 0, 0)).collect();
        let many = format!("{{{}}}", empty.join(","));
        assert!(reason(&many, 0).contains("more than 8192 tensors"));
        let texts: Vec<String> = (0..=MAX_TEXTS).map(|i| format!(r#""{i}":"""#)).collect();
        let texts = format!(r#"{{"__metadata__":{{{}}}}}"#, texts.join(","));
        assert!(reason(&texts, 0).contains("more than 1024 texts"));
        let junk = r#"{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"junk":[1,1]}}"#;
        assert!(reason(junk, 0).contains("unknown field `junk`"));
        let long = " ".repeat(MAX_HEADER + 1);
        assert!(reason(&long, 0).contains("longer table of contents"));
    }
}
