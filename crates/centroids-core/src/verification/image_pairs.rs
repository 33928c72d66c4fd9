//! Every query image beside every gallery image, by matrix products in double precision.

use rayon::prelude::*;

use crate::candidates::Candidates;
use crate::comparison::Comparison;
use crate::distance::Distance;
use crate::protocol::Metric;
use crate::roc::ImpostorCounter;

/// Gallery images that are multiplied together: 16 MB at 2048 dimensions.
const BLOCK: usize = 1024;

/// Queries that are multiplied together, per thread.
const TILE: usize = 64;

/// Unit roundoff of `f64`.
const ROUNDOFF: f64 = f64::EPSILON / 2.0;

/// Counts all impostor pairs of images. Their order among genuine distances is that of
/// [`Candidates::distance`], which is asked where a product's rounding leaves it open.
pub(super) fn count(comparison: &Comparison<'_>, queries: &[usize], counter: &ImpostorCounter) {
    let Comparison { query, gallery, metric, .. } = *comparison;
    let images = Candidates::images(gallery, metric, |_| true);
    for start in (0..images.len()).step_by(BLOCK) {
        let rows: Vec<usize> =
            (start..images.len().min(start + BLOCK)).map(|image| images.rows(image)[0]).collect();
        let block = Panel::new(rows.iter().map(|&row| gallery.row(row)), query.dim(), metric);
        queries.par_chunks(TILE).for_each(|queries| {
            let vectors = queries.iter().map(|&i| query.row(i));
            let tile = Panel::new(vectors, query.dim(), metric);
            let products = tile.products(&block); // [queries, block]
            for (place, products) in products.chunks_exact(rows.len()).enumerate() {
                let of_query = queries[place];
                let own = query.pids()[of_query];
                for (other, &product) in products.iter().enumerate() {
                    let row = rows[other];
                    if gallery.pids()[row] == own || !comparison.counts(of_query, row) {
                        continue;
                    }
                    let (near, error) = tile.distance(place, &block, other, product, metric);
                    counter
                        .add_near(near, error, || images.distance_to_mean(tile.row(place), &[row]));
                }
            }
        });
    }
}

/// Vectors ready to be compared.
struct Panel {
    dim: usize,
    /// `[n, dim]`
    values: Vec<f64>,
    /// `[n]`: squared lengths.
    squares: Vec<f64>,
}

impl Panel {
    fn new<'v>(vectors: impl Iterator<Item = &'v [f32]>, dim: usize, metric: &Metric) -> Self {
        let (mut values, mut squares) = (Vec::new(), Vec::new());
        for vector in vectors {
            let vector = metric.prepared(vector);
            squares.push(vector.iter().map(|value| value * value).sum());
            values.extend(vector);
        }
        Self { dim, values, squares }
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.dim..][..self.dim]
    }

    /// Distance of a vector of this panel to one of another, about, given their product, and how far
    /// it may be from the one that is summed term by term: both are sums of `dim` terms, of which
    /// none is larger than the vectors' lengths allow.
    fn distance(
        &self,
        mine: usize,
        others: &Self,
        other: usize,
        product: f64,
        metric: &Metric,
    ) -> (f64, f64) {
        let squares = self.squares[mine] + others.squares[other];
        let error = 8.0 * (self.dim + 16) as f64 * ROUNDOFF * squares;
        match metric.distance {
            Distance::SquaredEuclidean => (squares - 2.0 * product, error),
            Distance::Cosine => ((1.0 - product).abs(), error + 8.0 * ROUNDOFF + 1e-12),
        }
    }

    /// The products of each of these vectors with each of the others: `[n, others]`.
    fn products(&self, others: &Self) -> Vec<f64> {
        let (n, columns, dim) = (self.squares.len(), others.squares.len(), self.dim);
        assert!(self.values.len() == n * dim && others.values.len() == columns * dim);
        let mut products = vec![0.0; n * columns];
        let stride = |count: usize| count.cast_signed();
        // SAFETY: `self.values` is `[n, dim]`, `others.values` `[columns, dim]` and `products`
        // `[n, columns]`, all row-major, as the strides say.
        unsafe {
            gemm::gemm(
                n,
                columns,
                dim,
                products.as_mut_ptr(),
                1,
                stride(columns),
                false,
                self.values.as_ptr(),
                1,
                stride(dim),
                others.values.as_ptr(),
                stride(dim),
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        products
    }
}
