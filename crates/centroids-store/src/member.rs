//! An image in the gallery, before and after it was added.

use std::fmt::{self, Write as _};

use centroids_core::{CamId, Pid};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// SHA-256 of an image file's bytes: the same picture under another name is the same member. What
/// `sha256sum` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The hash of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads what is displayed: 64 hexadecimal digits.
    #[cfg(any(feature = "milvus", feature = "parquet", test))]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(64);
        let _ = write!(text, "{self}"); // writing to a string cannot fail
        serializer.serialize_str(&text)
    }
}

/// Number of a member within its gallery; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MemberId(pub i64);

/// An identity as the caller knows it.
///
/// Numbers and names are one space: in a gallery that names its classes the number 7 means the class
/// named `7`, and a name nobody bears yet is a new class.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClassRef {
    /// By number.
    Pid(Pid),
    /// By name.
    Name(String),
}

impl ClassRef {
    /// Whether it is nobody (pid −1).
    pub fn is_junk(&self) -> bool {
        *self == Self::Pid(Pid::JUNK)
    }
}

impl From<Pid> for ClassRef {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

/// A member to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMember {
    /// Path of the image, or another name for it; one member bears it.
    pub key: String,
    /// Hash of the image file; `None` where only the vector is known.
    pub hash: Option<ContentHash>,
    /// Its identity. Junk (pid −1) is left out.
    pub class: ClassRef,
    /// Its camera.
    pub camid: Option<CamId>,
    /// When it was taken, seconds since 1970; a gallery with a half-life needs it.
    pub time: Option<f64>,
    /// Quality of the image: its share in the centroid, above 0.
    pub weight: f64,
    /// What filters look at.
    pub attributes: Map<String, Value>,
    /// `[dim]`, as the model gives it.
    pub embedding: Vec<f32>,
}

impl NewMember {
    /// A member of weight 1 without time, hash and attributes.
    pub fn new(
        key: impl Into<String>,
        class: impl Into<ClassRef>,
        camid: Option<CamId>,
        embedding: Vec<f32>,
    ) -> Self {
        Self {
            key: key.into(),
            hash: None,
            class: class.into(),
            camid,
            time: None,
            weight: 1.0,
            attributes: Map::new(),
            embedding,
        }
    }
}

/// What became of a member to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Added {
    /// It is in now.
    Added {
        /// Its number.
        id: MemberId,
    },
    /// It took the place of a member of the same key.
    Replaced {
        /// Its number.
        id: MemberId,
    },
    /// It was in before: the same image, or the same key with the same embedding.
    AlreadyThere {
        /// Number of the member that was there.
        id: MemberId,
        /// That member's identity, which may be another than the one given.
        pid: Pid,
    },
    /// Junk (pid −1) is nobody's image.
    Junk,
}

/// A member as the gallery keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// Its number.
    pub id: MemberId,
    /// Path of the image, or another name for it.
    pub key: String,
    /// Hash of the image file, if known.
    pub hash: Option<ContentHash>,
    /// Its identity.
    pub pid: Pid,
    /// Name of the identity, if it has one.
    pub name: Option<String>,
    /// Its camera.
    pub camid: Option<CamId>,
    /// When it was taken, seconds since 1970.
    pub time: Option<f64>,
    /// Its share in the centroid.
    pub weight: f64,
    /// Whether it is kept but does not count.
    pub quarantined: bool,
    /// What filters look at.
    pub attributes: Map<String, Value>,
    /// `[dim]`, in the precision of the gallery.
    #[serde(skip)]
    pub embedding: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_sha256sum_prints() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(ContentHash::of(b"").to_string(), empty);
        assert_eq!(ContentHash::parse(empty), Some(ContentHash::of(b"")));
        assert_eq!(ContentHash::parse(&empty[1..]), None);
    }
}
