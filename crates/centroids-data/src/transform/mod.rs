//! Decoded picture → the numbers a network sees.
//!
//! Training: resize, flip, pad, random crop, normalise, erase. Evaluation: resize, normalise. Each
//! step is a function of its own; [`TrainTransform`] and [`EvalTransform`] put them in order.

pub mod flip;
pub mod normalize;
pub mod pad_crop;
mod pipeline;
pub mod random_erasing;
pub mod resize;

pub use pipeline::{EvalTransform, InputSpec, TrainTransform};
