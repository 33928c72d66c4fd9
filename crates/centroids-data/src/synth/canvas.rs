//! A picture in floating point.

use super::colour::Colour;
use crate::rgb_image::RgbImage;

/// Colours, row by row from the top.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<Colour>,
}

impl Canvas {
    /// Paints each pixel with the mean of 2×2 points of a picture; the shorter side runs from −1 to
    /// 1.
    pub(super) fn paint(
        [height, width]: [usize; 2],
        colour_at: impl Fn(f32, f32) -> Colour,
    ) -> Self {
        let half = width.min(height) as f32 / 2.0;
        let unit = |position: f32, size: usize| (position - size as f32 / 2.0) / half;
        let pixel = |index: usize| {
            let (x, y) = ((index % width) as f32, (index / width) as f32);
            let mut sum = [0.0; 3];
            for [dx, dy] in [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]] {
                let point = colour_at(unit(x + dx, width), unit(y + dy, height));
                sum = std::array::from_fn(|c| sum[c] + point[c] / 4.0);
            }
            sum
        };
        Self { width, height, pixels: (0..width * height).map(pixel).collect() }
    }

    /// Rounds to bytes, clipping what is out of 0..1.
    pub(super) fn to_image(&self) -> RgbImage {
        let byte = |value: &f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        let pixels = self.pixels.iter().flatten().map(byte).collect();
        RgbImage { width: self.width, height: self.height, pixels }
    }
}
