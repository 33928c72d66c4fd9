//! 8-bit pixels → normalised planes.

use crate::rgb_image::RgbImage;

/// Turns pixels into planes: `(value / 255 − mean) / std`, in f32 as torchvision does.
///
/// # Shapes
/// Input `height × width × 3` bytes; returned `[3, height, width]` f32.
pub fn normalize(image: &RgbImage, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let plane = image.width * image.height;
    let mut planes = vec![0.0; 3 * plane];
    let (pixels, _) = image.pixels.as_chunks::<3>();
    for (channel, values) in planes.chunks_exact_mut(plane.max(1)).enumerate() {
        let table = table(mean[channel], std[channel]);
        for (value, pixel) in values.iter_mut().zip(pixels) {
            *value = table[usize::from(pixel[channel])];
        }
    }
    planes
}

/// All 256 results: a look-up instead of two divisions a value.
fn table(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_become_planes() {
        let image = RgbImage { width: 2, height: 1, pixels: vec![0, 51, 255, 255, 102, 0] };
        let planes = normalize(&image, [0.5, 0.0, 0.0], [0.5, 1.0, 2.0]);
        assert_eq!(planes, [-1.0, 1.0, 0.2, 0.4, 0.5, 0.0]);
    }
}
