//! Where the pictures are.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::prepare::crop::DrawnOn;

/// The longer side of all pictures in `img`, in whose pixels the boxes are; so says the dataset's
/// readme.
const LONG_SIDE: u32 = 300;

/// The two folders of pictures, of which one is enough.
#[derive(Debug)]
pub(super) struct Tree {
    high: Option<PathBuf>,
    low: Option<PathBuf>,
}

impl Tree {
    /// Looks for `img_highres` and `img`, in `root` or in its folder `Img`.
    ///
    /// # Errors
    /// When there is neither.
    pub(super) fn find(root: &Path) -> Result<Self, Error> {
        let folder = |name: &str| {
            let places = [root.join(name), root.join("Img").join(name)];
            places.into_iter().find(|place| place.is_dir())
        };
        match (folder("img_highres"), folder("img")) {
            (None, None) => {
                let problem = "has neither img_highres nor img: unpack img_highres.zip or img.zip \
                               of the dataset here";
                Err(Error::layout(root, problem))
            }
            (high, low) => Ok(Self { high, low }),
        }
    }

    /// Which folders there are.
    pub(super) fn name(&self) -> &'static str {
        match (&self.high, &self.low) {
            (Some(_), Some(_)) => "img_highres and img",
            (Some(_), None) => "img_highres",
            _ => "img",
        }
    }

    /// The file to crop `folder/file` from, and the one its box was drawn on.
    pub(super) fn find_picture(&self, folder: &str, file: &str) -> (PathBuf, DrawnOn) {
        let place = |tree: &PathBuf| existing(tree, folder).join(file);
        match (&self.high, &self.low) {
            (Some(high), low) => {
                let file = low.as_ref().map(place);
                (place(high), DrawnOn::Copy { long_side: LONG_SIDE, file })
            }
            (None, low) => (low.as_ref().map(place).unwrap_or_default(), DrawnOn::Source),
        }
    }
}

/// `img_highres` calls one folder `Summer_Suit` that is `Summer_Wear` in the lists and in `img`. The
/// reference renames it on the disk.
fn existing(tree: &Path, folder: &str) -> PathBuf {
    const LISTED: &str = "CLOTHING/Summer_Wear";
    const PACKED: &str = "CLOTHING/Summer_Suit";
    match folder.strip_prefix(LISTED) {
        Some(inner) if !tree.join(LISTED).is_dir() && tree.join(PACKED).is_dir() => {
            tree.join(PACKED).join(inner.trim_start_matches('/'))
        }
        _ => tree.join(folder),
    }
}
