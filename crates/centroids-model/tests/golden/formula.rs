//! The weights formula of the golden set, checked bit for bit against its own check values.

use centroids_model::weights::Array;

use crate::support::section;

const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

fn fnv1a(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// Uniform in [−1, 1) with 24 bits: splitmix64 of (name, seed, index).
pub fn uniform(name: &str, seed: u64, index: u64) -> f32 {
    let state =
        fnv1a(name).wrapping_add(seed.wrapping_mul(0xD1B5_4A32_D192_ED03)).wrapping_add(index);
    let mut z = state.wrapping_add(GOLDEN_RATIO);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    ((z >> 40) as i64 - (1 << 23)) as f32 / 8_388_608.0
}

/// The formula's values for a tensor under its plain (torchvision) name.
pub fn tensor(name: &str, shape: &[usize], seed: u64) -> Array {
    let sqrt3 = 3f64.sqrt();
    let value: Box<dyn Fn(f32) -> f32> = match (name, shape.len()) {
        ("center_loss.centers", _) => Box::new(move |u| u * sqrt3 as f32),
        (_, 4) => {
            let fan_in = (shape[1] * shape[2] * shape[3]) as f64;
            let scale = (6.0 / fan_in).sqrt() as f32;
            Box::new(move |u| u * scale)
        }
        (_, 2) => Box::new(move |u| u * (sqrt3 * 0.001) as f32),
        _ if name.ends_with("running_var") => Box::new(|u| 1.0 + 0.5 * u.abs()),
        _ if name.ends_with("weight") => Box::new(|u| 1.0 + 0.1 * u),
        _ => Box::new(|u| 0.1 * u),
    };
    let count: usize = shape.iter().product();
    let values = (0..count as u64).map(|i| value(uniform(name, seed, i))).collect();
    Array { shape: shape.to_vec(), values }
}

/// Name in our state dict → name the formula hashes.
pub fn plain_name(name: &str) -> &str {
    name.strip_prefix("backbone.base.").unwrap_or(name)
}

#[test]
fn equals_its_check_values_bit_for_bit() {
    let Some(section) = section("backbones") else {
        return;
    };
    let text = std::fs::read_to_string(section.dir.join("weights_formula.json")).unwrap();
    let formula: serde_json::Value = serde_json::from_str(&text).unwrap();
    let seed = formula["seed"].as_u64().unwrap();
    for (name, check) in formula["check_values"].as_object().unwrap() {
        let ours = match serde_json::from_value::<Vec<usize>>(check["shape"].clone()) {
            Ok(shape) => tensor(name, &shape, seed).values,
            Err(_) => (0..4).map(|i| uniform(name, seed, i)).collect(), // raw uniforms
        };
        let bits =
            |hex: &serde_json::Value| u32::from_str_radix(hex.as_str().unwrap(), 16).unwrap();
        for (value, hex) in ours.iter().zip(check["first4_bits_hex"].as_array().unwrap()) {
            assert_eq!(value.to_bits(), bits(hex), "{name}");
        }
        if let Some(hex) = check.get("last_bits_hex") {
            assert_eq!(ours.last().unwrap().to_bits(), bits(hex), "{name}");
        }
    }
}
