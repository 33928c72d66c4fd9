//! The steps of the pipelines as one would write them down, for the tests.

use proptest::prelude::*;

use super::pipeline::InputSpec;
use crate::rgb_image::RgbImage;

/// A random picture with sides from 1 to below `limit`.
pub(super) fn picture(limit: usize) -> impl Strategy<Value = RgbImage> {
    (1..limit, 1..limit).prop_flat_map(|(width, height)| {
        proptest::collection::vec(any::<u8>(), width * height * 3)
            .prop_map(move |pixels| RgbImage { width, height, pixels })
    })
}

/// A grey picture.
pub(super) fn grey(width: usize, values: &[u8]) -> RgbImage {
    let pixels = values.iter().flat_map(|&v| [v; 3]).collect();
    RgbImage { width, height: values.len() / width, pixels }
}

fn draw(width: usize, height: usize, value: impl Fn(usize, usize, usize) -> u8) -> RgbImage {
    let at = |i: usize| value(i / (width * 3), i / 3 % width, i % 3);
    RgbImage { width, height, pixels: (0..width * height * 3).map(at).collect() }
}

fn triangle(target: usize, source: usize, from: usize, to: usize) -> f64 {
    let scale = from as f64 / to as f64;
    let center = (target as f64 + 0.5) * scale;
    let distance = (source as f64 - center + 0.5) * (1.0 / scale.max(1.0));
    (1.0 - distance.abs()).max(0.0)
}

/// Output `target` of `to` from `from` values in real numbers.
fn real(from: usize, to: usize, target: usize, value: impl Fn(usize) -> u8) -> u8 {
    let weight = |source| triangle(target, source, from, to);
    let sum: f64 = (0..from).map(|source| weight(source) * f64::from(value(source))).sum();
    (sum / (0..from).map(weight).sum::<f64>()).round() as u8
}

pub(super) fn real_columns(image: &RgbImage, width: usize) -> RgbImage {
    draw(width, image.height, |y, x, c| real(image.width, width, x, |i| image.row(y)[i * 3 + c]))
}

pub(super) fn real_rows(image: &RgbImage, height: usize) -> RgbImage {
    draw(image.width, height, |y, x, c| real(image.height, height, y, |i| image.row(i)[x * 3 + c]))
}

/// The weights of output `target`, rounded to 22 bits of fraction.
fn fixed_weights(from: usize, to: usize, target: usize) -> Vec<i64> {
    let weights: Vec<f64> = (0..from).map(|source| triangle(target, source, from, to)).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| (0.5 + weight / total * f64::from(1 << 22)) as i64).collect()
}

fn fixed(weights: &[i64], value: impl Fn(usize) -> u8) -> u8 {
    let sum: i64 = weights.iter().enumerate().map(|(i, w)| w * i64::from(value(i))).sum();
    ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8
}

/// Columns, then rows, every value from the whole axis.
pub(super) fn resize(image: &RgbImage, size: [usize; 2]) -> RgbImage {
    let weights = |from, to| (0..to).map(|i| fixed_weights(from, to, i)).collect::<Vec<_>>();
    let columns = weights(image.width, size[1]);
    let narrow = draw(size[1], image.height, |y, x, c| {
        fixed(&columns[x], |source| image.row(y)[source * 3 + c])
    });
    let rows = weights(image.height, size[0]);
    draw(size[1], size[0], |y, x, c| fixed(&rows[y], |source| narrow.row(source)[x * 3 + c]))
}

/// Left becomes right.
pub(super) fn flip(image: &RgbImage) -> RgbImage {
    draw(image.width, image.height, |y, x, c| image.row(y)[(image.width - 1 - x) * 3 + c])
}

/// The picture with `padding` black pixels on each side, and from that a window of the picture's
/// size with its corner at `top`, `left`.
pub(super) fn pad_crop(image: &RgbImage, padding: usize, top: usize, left: usize) -> RgbImage {
    let (width, height) = (image.width + 2 * padding, image.height + 2 * padding);
    let padded =
        draw(width, height, |y, x, c| match (y.checked_sub(padding), x.checked_sub(padding)) {
            (Some(y), Some(x)) if y < image.height && x < image.width => image.row(y)[x * 3 + c],
            _ => 0,
        });
    draw(image.width, image.height, |y, x, c| padded.row(y + top)[(x + left) * 3 + c])
}

/// Planes of `(value / 255 − mean) / std`.
pub(super) fn normalize(image: &RgbImage, input: &InputSpec) -> Vec<f32> {
    let plane = |c: usize| {
        let value = move |&byte: &u8| (f32::from(byte) / 255.0 - input.mean[c]) / input.std[c];
        image.pixels.iter().skip(c).step_by(3).map(value)
    };
    (0..3).flat_map(plane).collect()
}
