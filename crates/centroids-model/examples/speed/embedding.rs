//! A batch of embeddings.

use centroids_model::weights::{Array, Tensors};
use centroids_model::{Device, Embedder, Error};

use crate::Timed;
use crate::case::Case;

pub struct Embedding {
    embedder: Embedder,
    images: Vec<f32>,
    shape: [usize; 4],
    embeddings: Vec<f32>,
}

impl Embedding {
    /// # Errors
    /// Weights that are missing or of another shape.
    pub fn new(mut case: Case) -> Result<Embedding, Error> {
        let (images, shape) = (std::mem::take(&mut case.images), case.shape);
        let embedder = Embedder::from_checkpoint(&case.into_checkpoint(), &Device::flex())?;
        Ok(Embedding { embedder, images, shape, embeddings: Vec::new() })
    }
}

impl Timed for Embedding {
    fn run(&mut self) {
        self.embeddings = self.embedder.embed_batch(self.images.clone(), self.shape);
    }

    /// `embeddings`, `[n, dim]`
    fn outputs(&self) -> Tensors {
        let shape = vec![self.shape[0], self.embedder.dim()];
        let embeddings = Array { shape, values: self.embeddings.clone() };
        Tensors::from([("embeddings".to_owned(), embeddings)])
    }
}
