use std::collections::HashMap;
use std::fs;

use centroids_data::transform::random_erasing::{Rectangle, erase, erased_size};
use centroids_data::transform::resize::resize;
use centroids_data::{
    Augmentation, DEFAULT_MAX_PIXELS, EvalTransform, InputSpec, Resizer, RgbImage, TrainTransform,
    decode_file,
};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{golden, list, manifest, number, real};

/// Mean and greatest difference.
struct Differences {
    mean: f64,
    worst: u8,
    share: f64,
}

fn differences(ours: &RgbImage, theirs: &RgbImage) -> Differences {
    assert_eq!((ours.width, ours.height), (theirs.width, theirs.height));
    let off: Vec<u8> =
        ours.pixels.iter().zip(&theirs.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
    let count = off.len() as f64;
    Differences {
        mean: off.iter().map(|&d| f64::from(d)).sum::<f64>() / count,
        worst: off.iter().copied().max().unwrap_or(0),
        share: off.iter().filter(|&&d| d > 0).count() as f64 / count,
    }
}

struct Tensors(HashMap<String, (Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn read(path: &std::path::Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let copy = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            (name, (view.shape().to_vec(), view.data().to_vec()))
        };
        Self(tensors.tensors().into_iter().map(copy).collect())
    }

    fn pixels(&self, name: &str) -> RgbImage {
        let (shape, pixels) = &self.0[name];
        RgbImage { height: shape[0], width: shape[1], pixels: pixels.clone() }
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let (words, _) = self.0[name].1.as_chunks::<4>();
        words.iter().map(|word| f32::from_le_bytes(*word)).collect()
    }
}

fn assert_near(ours: &[f32], theirs: &[f32], tolerance: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: off by {worst}");
}

fn sizes(entry: &Value) -> [usize; 2] {
    [0, 1].map(|i| entry["hw"][i].as_u64().unwrap() as usize)
}

#[test]
fn decoding_resizing_and_normalising_match() {
    let Some(folder) = golden("transforms") else {
        return;
    };
    let manifest = manifest(&folder);
    let tensors = Tensors::read(&folder.join(manifest["file"].as_str().unwrap()));
    for entry in list(&manifest, "entries") {
        let name = entry["name"].as_str().unwrap();
        let is_jpeg = entry["jpeg"].as_bool().unwrap_or(false);
        let ours =
            decode_file(&folder.join(entry["file"].as_str().unwrap()), DEFAULT_MAX_PIXELS).unwrap();
        let theirs = tensors.pixels(entry["pixels_tensor"].as_str().unwrap());
        let off = differences(&ours, &theirs);
        let allowed = if is_jpeg { (1.0, 12) } else { (0.0, 0) };
        assert!(
            off.mean <= allowed.0 && off.worst <= allowed.1,
            "{name}: mean {} worst {}",
            off.mean,
            off.worst
        );
        println!("{name}: decoded, mean difference {:.3}, worst {}", off.mean, off.worst);

        for case in list(entry, "resized") {
            let (size, tensor) = (sizes(case), case["tensor"].as_str().unwrap());
            let wanted = tensors.pixels(tensor);
            assert_eq!(resize(&theirs, size), wanted, "{tensor}: from the reference's pixels");
            let off = differences(&resize(&ours, size), &wanted);
            assert!(is_jpeg && off.mean <= 1.0 || off.share == 0.0, "{tensor}: mean {}", off.mean);
            check_normalised(&theirs, size, case, &tensors);
        }
    }
}

fn check_normalised(image: &RgbImage, size: [usize; 2], case: &Value, tensors: &Tensors) {
    let tensor = case["tensor"].as_str().unwrap();
    let values = EvalTransform(InputSpec { size, ..InputSpec::default() }).apply(image);
    let first: Vec<f32> =
        list(case, "normalised_first4").iter().map(|v| v.as_f64().unwrap() as f32).collect();
    assert_near(&values[..first.len()], &first, 1e-6, tensor);
    assert_near(&values[values.len() - 1..], &[real(case, "normalised_last") as f32], 1e-6, tensor);
    let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
    assert!(
        (sum - real(case, "normalised_sum_float64")).abs() <= 1e-6 * values.len() as f64,
        "{tensor}"
    );
    let stored = format!("{tensor}_normalised");
    if tensors.0.contains_key(&stored) {
        assert_near(&values, &tensors.values(&stored), 1e-6, &stored);
    }
}

/// The picture after flip, padding and crop, read back from values that are its bytes.
fn augmented(image: &RgbImage, padding: usize, flip: bool, corner: [usize; 2]) -> RgbImage {
    let (width, height) = (image.width, image.height);
    let input = InputSpec { size: [height, width], mean: [0.0; 3], std: [1.0 / 255.0; 3] };
    let transform = TrainTransform { input, flip: 0.0, padding, erasing: 0.0 };
    let augmentation = Augmentation { flip, corner, erased: None };
    let mut values = Vec::new();
    transform.append(image, &augmentation, &mut Resizer::default(), &mut values);
    let byte = |i: usize| values[i % 3 * width * height + i / 3].round() as u8;
    RgbImage { width, height, pixels: (0..values.len()).map(byte).collect() }
}

#[test]
fn flip_and_crops_match() {
    let Some(folder) = golden("transforms") else {
        return;
    };
    let manifest = manifest(&folder);
    let tensors = Tensors::read(&folder.join(manifest["file"].as_str().unwrap()));
    let augmentation = &manifest["augmentation"];
    let resized = tensors.pixels("aug.resized");

    assert_eq!(augmented(&resized, 0, true, [0, 0]), tensors.pixels("aug.flipped"));

    let padded_height = augmentation["padded_hw"][0].as_u64().unwrap() as usize;
    let padding = (padded_height - resized.height) / 2;
    for corner in list(augmentation, "crops_top_left") {
        let [top, left] = [0, 1].map(|i| corner[i].as_u64().unwrap() as usize);
        let wanted = tensors.pixels(&format!("aug.padcrop_{top}_{left}"));
        let ours = augmented(&resized, padding, false, [top, left]);
        assert_eq!(ours, wanted, "crop at {top}, {left}");
    }
}

#[test]
fn erasing_matches() {
    let Some(folder) = golden("transforms") else {
        return;
    };
    let manifest = manifest(&folder);
    let tensors = Tensors::read(&folder.join(manifest["file"].as_str().unwrap()));
    let InputSpec { mean, .. } = InputSpec::default();
    let normalised = tensors.values("aug.normalised");
    let [_, height, width] = tensors.0["aug.normalised"].0[..] else { panic!("want three axes") };
    let input = InputSpec { size: [height, width], ..InputSpec::default() };
    let ours = EvalTransform(input).apply(&tensors.pixels("aug.resized"));
    assert_near(&ours, &normalised, 1e-6, "aug.normalised");

    for case in list(&manifest["augmentation"]["erasing"], "cases") {
        for rejected in list(case, "rejected_tries") {
            let size = erased_size(
                [height, width],
                real(rejected, "area_fraction"),
                real(rejected, "aspect"),
            );
            assert_eq!(size, None, "{rejected}");
        }
        if !case["applied"].as_bool().unwrap() {
            continue;
        }
        let rectangle = Rectangle {
            top: number(case, "top"),
            left: number(case, "left"),
            height: number(case, "h"),
            width: number(case, "w"),
        };
        let size = erased_size([height, width], real(case, "area_fraction"), real(case, "aspect"));
        assert_eq!(size, Some([rectangle.height, rectangle.width]), "{case}");
        if let Some(tensor) = case["tensor"].as_str() {
            let mut values = normalised.clone();
            erase(&mut values, [height, width], rectangle, mean);
            assert_near(&values, &tensors.values(tensor), 1e-7, tensor);
        }
    }
}
