//! What optics and electronics do to a picture.

use rand::{Rng, RngExt as _};

use super::camera::Camera;
use super::canvas::Canvas;

/// Pictures of this size have the blur that cameras are described with.
const REFERENCE_SIZE: f32 = 64.0;

/// Blur, response and noise of a camera, in place.
pub(super) fn expose(canvas: &mut Canvas, camera: &Camera, rng: &mut impl Rng) {
    let scale = canvas.width.min(canvas.height) as f32 / REFERENCE_SIZE;
    blur(canvas, camera.blur * scale * rng.random_range(0.8..1.2));
    let exposure = rng.random_range(0.88..1.12);
    for pixel in &mut canvas.pixels {
        *pixel = camera.response(*pixel, exposure).map(|value| value + camera.noise * normal(rng));
    }
}

/// Gaussian blur with standard deviation `sigma` pixels, along rows and then along columns.
fn blur(canvas: &mut Canvas, sigma: f32) {
    let reach = (2.5 * sigma).ceil() as isize;
    let weight = |d: isize| (-0.5 * (d as f32 / sigma).powi(2)).exp();
    let total: f32 = (-reach..=reach).map(weight).sum();
    let weights: Vec<f32> = (-reach..=reach).map(|d| weight(d) / total).collect();
    for [along_x, along_y] in [[1, 0], [0, 1]] {
        let source = canvas.clone();
        for (index, pixel) in canvas.pixels.iter_mut().enumerate() {
            let [x, y] = [index % source.width, index / source.width].map(|i| i as isize);
            *pixel = [0.0; 3];
            for (d, weight) in (-reach..=reach).zip(&weights) {
                let neighbour = source.clamped(x + d * along_x, y + d * along_y);
                *pixel = std::array::from_fn(|c| pixel[c] + neighbour[c] * weight);
            }
        }
    }
}

impl Canvas {
    /// The pixel at a position, or the nearest one inside.
    fn clamped(&self, x: isize, y: isize) -> [f32; 3] {
        let inside = |position: isize, size: usize| position.clamp(0, size as isize - 1) as usize;
        self.pixels[inside(y, self.height) * self.width + inside(x, self.width)]
    }
}

/// Nearly normal: the sum of four uniform numbers, with mean 0 and variance 1.
fn normal(rng: &mut impl Rng) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.random::<f32>()).sum();
    (sum - 2.0) * 3.0_f32.sqrt()
}
