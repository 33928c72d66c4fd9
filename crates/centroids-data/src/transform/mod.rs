//! Decoded picture → the numbers a network sees.
//!
//! Training: resize, flip, pad, random crop, normalise, erase. Evaluation: resize, normalise.
//! [`TrainTransform`] and [`EvalTransform`] say what is done; the resize makes only the rows that
//! are seen, and everything up to the normalisation is one write into the batch.

mod columns;
#[cfg(test)]
mod definition;
mod filter;
mod pipeline;
pub mod random_erasing;
pub mod resize;
mod rows;
mod window;

pub use pipeline::{Augmentation, EvalTransform, InputSpec, TrainTransform};
pub use resize::Resizer;
