//! Mirror, shift and normalise in the one write that makes a network's input.

use std::ops::Range;

use super::pipeline::InputSpec;
use super::resize::Resizer;
use crate::rgb_image::RgbImage;

/// What is seen of the resized picture: a window of its own size, laid over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Window {
    /// Whether the picture is mirrored left to right first.
    pub(super) flip: bool,
    /// The window's first row in the picture; rows outside it are black.
    pub(super) top: isize,
    /// The window's first column in the (mirrored) picture; columns outside it are black.
    pub(super) left: isize,
}

impl Window {
    /// Appends the planes `[3, height, width]` of the picture, `(value / 255 − mean) / std` in f32
    /// as torchvision does.
    pub(super) fn append(
        &self,
        image: &RgbImage,
        input: &InputSpec,
        resizer: &mut Resizer,
        values: &mut Vec<f32>,
    ) {
        let [height, width] = input.size;
        let (rows, columns) = (visible(self.top, height), self.columns(width));
        let resized = resizer.rows(image, input.size, rows.clone());
        let (pixels, _) = resized.as_chunks::<3>();
        let [above, before] = [self.top, self.left].map(|start| start.min(0).unsigned_abs());
        for channel in 0..3 {
            let table = table(input.mean[channel], input.std[channel]);
            let plane = values.len();
            values.resize(plane + above.min(height) * width, table[0]);
            for row in pixels.chunks_exact(width.max(1)) {
                let start = values.len();
                values.resize(start + before.min(width), table[0]);
                let row = row[columns.clone()].iter();
                let value = |pixel: &[u8; 3]| table[usize::from(pixel[channel])];
                match self.flip {
                    true => values.extend(row.rev().map(value)),
                    false => values.extend(row.map(value)),
                }
                values.resize(start + width, table[0]);
            }
            values.resize(plane + height * width, table[0]);
        }
    }

    /// The columns of the picture as it was that are seen.
    fn columns(&self, width: usize) -> Range<usize> {
        let mirrored = visible(self.left, width);
        match self.flip {
            true => width - mirrored.end..width - mirrored.start,
            false => mirrored,
        }
    }
}

/// The part of `0..len` that a window as long, moved by `start`, shows.
fn visible(start: isize, len: usize) -> Range<usize> {
    let cut = start.unsigned_abs().min(len);
    match start >= 0 {
        true => cut..len,
        false => 0..len - cut,
    }
}

/// All 256 results: a look-up instead of two divisions a value.
fn table(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transform::definition::{flip, grey, normalize, pad_crop, picture, resize};

    fn planes(image: &RgbImage, window: Window) -> Vec<f32> {
        let size = [image.height, image.width];
        let input = InputSpec { size, mean: [0.0; 3], std: [1.0 / 255.0; 3] };
        let mut values = Vec::new();
        window.append(image, &input, &mut Resizer::default(), &mut values);
        values
    }

    #[test]
    fn channels_become_planes() {
        let image = RgbImage { width: 2, height: 1, pixels: vec![0, 51, 255, 255, 102, 0] };
        let input = InputSpec { size: [1, 2], mean: [0.5, 0.0, 0.0], std: [0.5, 1.0, 2.0] };
        let mut values = vec![9.0];
        Window::default().append(&image, &input, &mut Resizer::default(), &mut values);
        assert_eq!(values, [9.0, -1.0, 1.0, 0.2, 0.4, 0.5, 0.0]);
    }

    #[test]
    fn the_window_shows_black_where_there_is_no_picture() {
        let image = grey(2, &[1, 2, 3, 4]);
        let plane = |flip, top, left| planes(&image, Window { flip, top, left })[..4].to_vec();
        let levels = |values: Vec<f32>| values.iter().map(|v| v.round()).collect::<Vec<_>>();
        assert_eq!(levels(plane(false, -1, -1)), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(levels(plane(true, 1, 0)), [4.0, 3.0, 0.0, 0.0]);
        assert_eq!(levels(plane(false, -9, 9)), [0.0; 4]);
    }

    proptest! {
        #[test]
        fn agrees_with_one_step_after_the_other(
            image in picture(12), height in 1_usize..14, width in 1_usize..14, mirror: bool,
            padding in 0_usize..17, top in 0_usize..33, left in 0_usize..33,
        ) {
            let input = InputSpec { size: [height, width], ..InputSpec::default() };
            let (top, left) = (top.min(2 * padding), left.min(2 * padding));
            let start = |corner: usize| corner as isize - padding as isize;
            let window = Window { flip: mirror, top: start(top), left: start(left) };
            let mut ours = Vec::new();
            window.append(&image, &input, &mut Resizer::default(), &mut ours);

            let resized = resize(&image, input.size);
            let flipped = if mirror { flip(&resized) } else { resized };
            let wanted = normalize(&pad_crop(&flipped, padding, top, left), &input);
            prop_assert_eq!(ours, wanted);
        }
    }
}
