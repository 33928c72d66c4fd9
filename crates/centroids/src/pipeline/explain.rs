//! Why a picture is found to be like a class: what of it speaks for the class, over the picture.

use centroids_core::Metric;
use centroids_data::{EvalTransform, RgbImage, encode_png, shrink};
use centroids_model::Embedder;

use crate::Error;

/// Longer side of the picture that is made, in pixels.
const SIDE: u32 = 512;
/// Of a location that speaks for the class, and of one that speaks against it: the ends of
/// ColorBrewer's RdBu, which most colour-blind people can tell apart.
const FOR: [f64; 3] = [178.0, 24.0, 43.0];
const AGAINST: [f64; 3] = [33.0, 102.0, 172.0];
/// How much of the picture the strongest location covers.
const COVER: f64 = 0.75;
/// How much of the picture's own colours is taken away, so that they are not mistaken for the map's.
const FADED: f64 = 0.7;

/// A similarity and where in the picture it comes from.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Dot product of the prepared embedding and the prepared centroid: the cosine, where the metric
    /// normalises. The map's contributions sum to it.
    pub similarity: f64,
    /// The bytes of a PNG file: the picture, paled, at most 512 pixels wide and high, with red where it
    /// speaks for the class and blue where against, as strong as the contribution.
    pub png: Vec<u8>,
}

/// Explains the similarity of a picture to a centroid, `[dim]`, as the metric sees it.
///
/// # Errors
/// A centroid of another dimension, a picture without pixels.
pub fn explain(
    embedder: &Embedder,
    picture: &RgbImage,
    centroid: &[f64],
    metric: &Metric,
) -> Result<Explanation, Error> {
    if centroid.len() != embedder.dim() {
        let (found, expected) = (embedder.dim(), centroid.len());
        let what = "the picture".to_owned();
        return Err(centroids_store::Error::Dimension { what, found, expected }.into());
    }
    let located = embedder.embed_located(EvalTransform(*embedder.input()).apply(picture));
    let mut direction = centroid.to_vec();
    metric.prepare(&mut direction);
    // Preparing multiplies the embedding by a number, and its locations with it.
    let mut embedding = located.mean();
    let before = length(&embedding);
    metric.prepare(&mut embedding);
    let scale = if before > 0.0 { length(&embedding) / before } else { 0.0 };
    let contributions: Vec<f64> =
        located.contributions(&direction).into_iter().map(|value| value * scale).collect();
    let png = encode_png(&overlay(shrink(picture, SIDE), &contributions, located.size));
    let png = png.map_err(|source| Error::Read { path: "the picture".into(), source })?;
    Ok(Explanation { similarity: contributions.iter().sum(), png })
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// Colours a picture by a map, `height × width` = `size`, that is stretched over it.
fn overlay(mut picture: RgbImage, map: &[f64], size: [usize; 2]) -> RgbImage {
    let strongest = map.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let columns = taps(size[1], picture.width);
    let rows = taps(size[0], picture.height);
    for (y, line) in picture.pixels.chunks_exact_mut(picture.width * 3).enumerate() {
        for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
            let ((top, bottom, down), (left, right, along)) = (rows[y], columns[x]);
            let at = |row: usize| {
                let row = &map[row * size[1]..][..size[1]];
                row[left] + (row[right] - row[left]) * along
            };
            let value = at(top) + (at(bottom) - at(top)) * down;
            paint(pixel, if strongest > 0.0 { value / strongest } else { 0.0 });
        }
    }
    picture
}

/// For each of `pixels` the two neighbours among `values` and how far it is from the first to the
/// second; beyond the outer centres the outer values go on.
fn taps(values: usize, pixels: usize) -> Vec<(usize, usize, f64)> {
    let tap = |pixel: usize| {
        let centre = (pixel as f64 + 0.5) * values as f64 / pixels as f64 - 0.5;
        let centre = centre.clamp(0.0, (values - 1) as f64);
        let first = centre.floor();
        (first as usize, (first as usize + 1).min(values - 1), centre - first)
    };
    (0..pixels).map(tap).collect()
}

/// Colours a pixel by a value in −1..=1.
fn paint(pixel: &mut [u8], value: f64) {
    let [r, g, b] = [0, 1, 2].map(|channel| f64::from(pixel[channel]));
    let grey = 0.299 * r + 0.587 * g + 0.114 * b; // Rec. 601
    let colour = if value > 0.0 { FOR } else { AGAINST };
    let cover = COVER * value.abs();
    for (channel, own) in [r, g, b].into_iter().enumerate() {
        let pale = own + (grey - own) * FADED;
        pixel[channel] = (pale + (colour[channel] - pale) * cover).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use centroids_core::{CentroidOf, Distance};
    use centroids_data::{DEFAULT_MAX_PIXELS, InputSpec, decode_bytes};
    use centroids_model::{Backbone, BackboneOptions, Device};

    use super::*;

    #[test]
    fn a_map_is_stretched_between_its_centres() {
        // Centres of two values over four pixels lie at 1 and 3: pixel centres .5 1.5 2.5 3.5.
        let shares: Vec<f64> = taps(2, 4).into_iter().map(|(_, _, share)| share).collect();
        assert_eq!(shares, [0.0, 0.25, 0.75, 0.0]);
        assert_eq!(taps(2, 4)[3], (1, 1, 0.0));
        assert_eq!(taps(1, 2), [(0, 0, 0.0); 2]);
    }

    #[test]
    fn red_speaks_for_and_blue_against() {
        let grey = RgbImage { width: 3, height: 1, pixels: vec![128; 9] };
        let painted = overlay(grey, &[2.0, 0.0, -1.0], [1, 3]).pixels;
        assert!(painted[0] > painted[2], "{painted:?}");
        assert_eq!(painted[3..6], [128; 3]);
        assert!(painted[8] > painted[6], "{painted:?}");
        // 128 + (178 − 128) · 0.75 = 165.5; half as strong against: 128 + (33 − 128) · 0.375 = 92.4
        assert_eq!((painted[0], painted[6]), (166, 92));
    }

    #[test]
    fn the_similarity_is_that_of_the_metric() {
        let backbone =
            BackboneOptions { backbone: Backbone::ResNet18, last_stride: 1, stem_relu: false };
        let input = InputSpec { size: [32, 32], ..InputSpec::default() };
        let embedder = Embedder::random(backbone, input, 3, &Device::default()).unwrap();
        let pixels = (0..700 * 40 * 3).map(|i| (i * 7 % 251) as u8).collect();
        let picture = RgbImage { width: 700, height: 40, pixels };
        let prepared = EvalTransform(input).apply(&picture);
        let embedding = embedder.embed_batch(prepared, [1, 3, 32, 32]);
        let centroid: Vec<f64> =
            (0..embedder.dim()).map(|i| f64::from(i as u32 % 5) - 1.0).collect();
        for normalize in [true, false] {
            let metric = Metric {
                distance: Distance::SquaredEuclidean,
                normalize,
                centroid_of: CentroidOf::Raw,
            };
            let mut along = centroid.clone();
            metric.prepare(&mut along);
            let wanted: f64 =
                metric.prepared(&embedding).iter().zip(&along).map(|(a, b)| a * b).sum();
            let explanation = explain(&embedder, &picture, &centroid, &metric).unwrap();
            let off = (explanation.similarity - wanted).abs();
            assert!(off <= 1e-4 * wanted.abs().max(1.0), "{} {wanted}", explanation.similarity);
            let drawn = decode_bytes(&explanation.png, "map", DEFAULT_MAX_PIXELS).unwrap();
            assert_eq!([drawn.width, drawn.height], [512, 29]);
        }
        let error = explain(&embedder, &picture, &centroid[1..], &Metric::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("the picture has 512 dimensions, but the gallery 511"),
            "{error}"
        );
    }
}
