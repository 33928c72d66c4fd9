//! Public datasets and folders of pictures, made ready for training: what the reference's
//! `scripts/` do, with the same files as result.
//!
//! ```text
//! a folder of any images ──convert_to_jpg──▶ RGB JPEGs, one per stem
//! Street2Shop            ──prepare_street2shop──┐
//! DeepFashion            ──prepare_deepfashion──┴▶ boxes cut out, W×H on white, and COCO-style lists
//!                                                  with `pair_id` and `source`
//! ```
//!
//! All of them work on threads, one picture each at a time, and can be broken off: every file is
//! written whole or not at all, and a second run keeps what is there, so that its result is that of
//! an uninterrupted one. Pictures that are missing or broken are counted and left out, or refused
//! (`strict`).
//!
//! JPEGs are written at quality 75, Pillow's default, with full colour resolution (4:4:4; Pillow
//! halves it). Like everywhere in this crate alpha is dropped, not blended, the high byte of 16-bit
//! samples kept, the EXIF orientation ignored, and a file that is cut off is broken; the reference
//! takes its half for the whole.

pub mod boxes;

mod coco;
mod crop;
pub(crate) mod picture;
mod report;
mod target_folder;
mod work;

mod deepfashion;
mod jpg;
mod street2shop;

pub use deepfashion::prepare_deepfashion;
pub use jpg::{JpgOptions, JpgReport, convert_to_jpg};
pub use report::{CropReport, Failure, SetCount};
pub use street2shop::{Street2ShopOptions, prepare_street2shop};
pub use work::Progress;

/// How pictures are cut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropOptions {
    /// Width and height of the results in pixels.
    pub size: [u32; 2],
    /// Threads that decode, shrink and encode.
    pub threads: usize,
    /// Whether missing or broken pictures are an error instead of being left out.
    pub strict: bool,
}

impl CropOptions {
    /// The reference's size, 320×320.
    pub const SIZE: [u32; 2] = [320, 320];
    /// Longest side allowed, so that a typing error does not fill the disk.
    pub const MAX_SIDE: u32 = 8192;

    /// `W_H`, as folders and lists are named.
    fn size_name(&self) -> String {
        let [width, height] = self.size;
        format!("{width}_{height}")
    }
}
