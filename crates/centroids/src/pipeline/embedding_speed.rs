//! How fast a model embeds, images in memory to vectors in memory.

use std::time::Instant;

use centroids_model::Embedder;

/// A shorter run is done again and again until it fills this time.
const REPEAT_SECONDS: f64 = 0.5;
const WARM_UPS: usize = 2;

/// Times of one batch size.
#[derive(Clone, Debug)]
pub struct EmbeddingSpeed {
    /// Images of a batch.
    pub batch: usize,
    /// Seconds of one batch, for every repeat.
    pub seconds: Vec<f64>,
}

impl EmbeddingSpeed {
    /// Images per second: the median over the repeats, the slowest and the fastest.
    pub fn images_per_second(&self) -> [f64; 3] {
        let mut rates: Vec<f64> =
            self.seconds.iter().map(|seconds| self.batch as f64 / seconds).collect();
        rates.sort_by(f64::total_cmp);
        let (below, above) = ((rates.len() - 1) / 2, rates.len() / 2);
        [(rates[below] + rates[above]) / 2.0, rates[0], rates[rates.len() - 1]]
    }

    /// Milliseconds of a batch at the median rate.
    pub fn milliseconds(&self) -> f64 {
        1e3 * self.batch as f64 / self.images_per_second()[0]
    }
}

/// Embeds made-up images, always the same, `repeats` times after two warm-ups. A repeat is one batch, or
/// as many as fill half a second.
///
/// # Panics
/// When `batch` or `repeats` is 0.
pub fn time_embedding(embedder: &Embedder, batch: usize, repeats: usize) -> EmbeddingSpeed {
    assert!(batch > 0 && repeats > 0, "{batch} images, {repeats} times");
    let [height, width] = embedder.input().size;
    let shape = [batch, 3, height, width];
    let images = noise(shape.iter().product());
    let seconds_of = |times: u32| {
        let start = Instant::now();
        for _ in 0..times {
            std::hint::black_box(embedder.embed_batch(images.clone(), shape));
        }
        start.elapsed().as_secs_f64() / f64::from(times)
    };
    let warm = (0..WARM_UPS).map(|_| seconds_of(1)).fold(f64::INFINITY, f64::min);
    let times = (REPEAT_SECONDS / warm).ceil().clamp(1.0, 1e6) as u32;
    EmbeddingSpeed { batch, seconds: (0..repeats).map(|_| seconds_of(times)).collect() }
}

/// Values in −2..2 that look random: normalised pixels.
fn noise(len: usize) -> Vec<f32> {
    let mix = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40; // 24 bits
    (1..=len as u64).map(|index| mix(index) as f32 / (1 << 22) as f32 - 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_median_least_and_most() {
        let speed = |seconds: &[f64]| EmbeddingSpeed { batch: 8, seconds: seconds.to_vec() };
        assert_eq!(speed(&[2.0, 1.0, 4.0]).images_per_second(), [4.0, 2.0, 8.0]);
        assert_eq!(speed(&[2.0, 1.0]).images_per_second(), [6.0, 4.0, 8.0]);
        assert_eq!(speed(&[0.5]).images_per_second(), [16.0; 3]);
        assert_eq!(speed(&[2.0, 1.0, 4.0]).milliseconds(), 2000.0);
    }

    #[test]
    fn made_up_images_look_like_normalised_ones() {
        let values = noise(10_000);
        let mean = values.iter().sum::<f32>() / 1e4;
        assert!(values.iter().all(|value| value.abs() <= 2.0) && mean.abs() < 0.05, "{mean}");
        assert_eq!(noise(3), values[..3]);
    }
}
