//! Batches: plain numbers with a shape, for whatever computes with them.

use centroids_core::{CamId, Pid};

/// Images to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainBatch {
    /// Normalised values, `[n, 3, height, width]`; zeros where `is_real` is false.
    pub images: Vec<f32>,
    /// `[n, 3, height, width]`.
    pub shape: [usize; 4],
    /// Training class of each image, `[n]`.
    pub labels: Vec<usize>,
    /// Identity of each image, `[n]`.
    pub pids: Vec<Pid>,
    /// Camera of each image, `[n]`.
    pub camids: Vec<Option<CamId>>,
    /// Whether there is an image, `[n]`; the others only fill up an identity.
    pub is_real: Vec<bool>,
}

/// Images to embed.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedBatch {
    /// Normalised values, `[n, 3, height, width]`.
    pub images: Vec<f32>,
    /// `[n, 3, height, width]`; n is 0 when no image of the batch could be read.
    pub shape: [usize; 4],
    /// Which entry of the list given each image is, `[n]`, ascending.
    pub rows: Vec<usize>,
}
