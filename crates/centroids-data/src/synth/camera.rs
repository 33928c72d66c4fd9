//! Cameras: each sees everything in its own way.

use std::f32::consts::TAU;

use rand::{Rng, RngExt as _};

use super::colour::{Colour, mix, muted};
use super::pose::{Pose, Turn};
use crate::random_stream::{Purpose, random_stream};

/// One camera: where it looks from, its light, its place and its optics.
#[derive(Debug, Clone)]
pub struct Camera {
    /// Mean direction of view.
    turn: Turn,
    /// White balance: a factor per channel.
    gains: Colour,
    /// How much of each channel is the next one's: turns hues.
    crosstalk: f32,
    /// Exponent of the response: below 1 brighter, above 1 darker shadows.
    gamma: f32,
    /// Direction of the light in the picture and how much it fades across.
    light: [f32; 2],
    /// Wall and floor of the place.
    pub(super) place: [Colour; 2],
    /// Height of the line between them, −1 to 1.
    pub(super) horizon: f32,
    /// Things standing around in a shot, at most.
    pub(super) clutter: usize,
    /// Probability that something is in the way.
    pub(super) occlusion: f64,
    /// Standard deviation of the blur in a picture of 64 pixels.
    pub(super) blur: f32,
    /// Standard deviation of the noise.
    pub(super) noise: f32,
}

impl Camera {
    /// Camera number `index`, from 0.
    pub fn of(seed: u64, index: u64) -> Self {
        let rng = &mut random_stream(seed, Purpose::Camera, index, 0);
        // Steps of the golden ratio keep neighbouring cameras far apart in side and tint.
        let step = (index as f32 * 0.618_034).fract();
        let tint = TAU * (step + rng.random_range(-0.1..0.1));
        let light = rng.random_range(0.0..TAU);
        let fading = rng.random_range(0.1..0.3);
        let base = muted(rng);
        Self {
            turn: Turn {
                yaw: (step - 0.5) * 1.1 + rng.random_range(-0.1..0.1),
                pitch: rng.random_range(-0.35..0.35),
                roll: rng.random_range(-0.15..0.15),
            },
            gains: std::array::from_fn(|c| 1.0 + 0.2 * (tint + c as f32 * TAU / 3.0).cos()),
            crosstalk: rng.random_range(0.0..0.4),
            gamma: rng.random_range(0.75..1.35),
            light: [light.cos() * fading, light.sin() * fading],
            place: [base, mix(base, muted(rng), 0.8)],
            horizon: rng.random_range(0.2..0.8),
            clutter: rng.random_range(2..7),
            occlusion: rng.random_range(0.2..0.45),
            blur: rng.random_range(0.35..0.95),
            noise: rng.random_range(0.01..0.045),
        }
    }

    /// How a product happens to stand before this camera.
    pub(super) fn pose(&self, rng: &mut impl Rng) -> Pose {
        let turn = self.turn.jittered(0.18, rng);
        let size = rng.random_range(0.68..0.92);
        let shift = [rng.random_range(-0.14..0.14), rng.random_range(-0.14..0.14)];
        Pose::new(turn, size, shift)
    }

    /// What becomes of a colour seen, exposed by a factor.
    pub(super) fn response(&self, seen: Colour, exposure: f32) -> Colour {
        std::array::from_fn(|c| {
            let mixed = seen[c] + (seen[(c + 1) % 3] - seen[c]) * self.crosstalk;
            (mixed * self.gains[c] * exposure).max(0.0).powf(self.gamma)
        })
    }

    /// Brightness of a point by the light.
    pub(super) fn shade(&self, x: f32, y: f32) -> f32 {
        1.0 - self.light[0] * x - self.light[1] * y
    }
}
