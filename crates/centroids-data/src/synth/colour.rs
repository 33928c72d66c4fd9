//! Colours and the palettes that products share.

use rand::{Rng, RngExt as _};

/// Red, green and blue, 0 to 1.
pub(super) type Colour = [f32; 3];

/// Few palettes of four colours: many products have the same colours, differently arranged.
pub(super) const PALETTES: [[Colour; 4]; 5] = [
    [hex(0xD7263D), hex(0xF4D35E), hex(0x1B998B), hex(0x2E294E)],
    [hex(0x3A86FF), hex(0xFFBE0B), hex(0xFB5607), hex(0xF7F7F2)],
    [hex(0x264653), hex(0x2A9D8F), hex(0xE9C46A), hex(0xE76F51)],
    [hex(0xFF99C8), hex(0x5E60CE), hex(0xFCF6BD), hex(0x38A3A5)],
    [hex(0x111D4A), hex(0xFFF8F0), hex(0xC1121F), hex(0x669BBC)],
];

const fn hex(rgb: u32) -> Colour {
    let [_, red, green, blue] = rgb.to_be_bytes();
    [red as f32 / 255.0, green as f32 / 255.0, blue as f32 / 255.0]
}

/// `from` at 0, `to` at 1.
pub(super) fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| from[c] + (to[c] - from[c]) * share)
}

/// Each channel times a factor.
pub(super) fn scale(colour: Colour, factor: f32) -> Colour {
    colour.map(|value| value * factor)
}

/// A colour of any hue, dull enough not to outshine the products.
pub(super) fn muted(rng: &mut impl Rng) -> Colour {
    let grey = rng.random_range(0.2..0.85);
    let vivid: Colour = std::array::from_fn(|_| rng.random_range(0.0..1.0));
    mix([grey; 3], vivid, rng.random_range(0.2..0.6))
}
