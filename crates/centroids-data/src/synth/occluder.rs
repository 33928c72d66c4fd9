//! Something in the way.

use std::f32::consts::TAU;

use rand::{Rng, RngExt as _};

use super::colour::{Colour, muted};

/// A band or a blob that reaches in from one side.
#[derive(Debug, Clone)]
pub(super) struct Occluder {
    colour: Colour,
    /// Direction from the centre towards the side it comes from.
    side: [f32; 2],
    /// Where it begins along that direction.
    edge: f32,
    /// Half its width across; wide ones cover the whole side.
    half_width: f32,
    /// Where its middle lies across.
    offset: f32,
}

impl Occluder {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let angle = rng.random_range(0.0..TAU);
        Self {
            colour: muted(rng),
            side: [angle.cos(), angle.sin()],
            edge: rng.random_range(0.05..0.5),
            half_width: rng.random_range(0.15..0.6),
            offset: rng.random_range(-0.4..0.4),
        }
    }

    pub(super) fn colour_at(&self, x: f32, y: f32) -> Option<Colour> {
        let along = x * self.side[0] + y * self.side[1];
        let across = y * self.side[0] - x * self.side[1] - self.offset;
        (along > self.edge && across.abs() < self.half_width).then_some(self.colour)
    }
}
