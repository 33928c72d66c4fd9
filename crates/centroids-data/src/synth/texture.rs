//! Two-coloured patterns.

use rand::{Rng, RngExt as _};

/// Where the second colour shows on a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Texture {
    Plain,
    /// Bands across a direction, `count` to a unit of length.
    Stripes {
        direction: [f32; 2],
        count: f32,
    },
    Checks {
        count: f32,
    },
    Dots {
        count: f32,
    },
    Rings {
        count: f32,
    },
    Zigzag {
        count: f32,
    },
    /// Two fields, divided by a line across a direction.
    Halves {
        direction: [f32; 2],
    },
}

impl Texture {
    /// A random pattern, coarse enough to survive a 64-pixel picture.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let count = rng.random_range(1.2..2.4);
        let direction = eighth_turn(rng);
        match rng.random_range(0..7) {
            0 => Self::Plain,
            1 => Self::Stripes { direction, count },
            2 => Self::Checks { count },
            3 => Self::Dots { count },
            4 => Self::Rings { count },
            5 => Self::Zigzag { count },
            _ => Self::Halves { direction },
        }
    }

    /// Whether the second colour shows at a point of the part.
    pub(super) fn is_second(self, u: f32, v: f32) -> bool {
        let odd = |position: f32| position.floor().rem_euclid(2.0) >= 1.0;
        match self {
            Self::Plain => false,
            Self::Stripes { direction, count } => odd(2.0 * count * along(u, v, direction)),
            Self::Checks { count } => odd(1.6 * count * u) != odd(1.6 * count * v),
            Self::Dots { count } => {
                let cell = |position: f32| (position * 1.4 * count).rem_euclid(1.0) - 0.5;
                cell(u).hypot(cell(v)) < 0.33
            }
            Self::Rings { count } => odd(2.0 * count * u.hypot(v)),
            Self::Zigzag { count } => {
                let tooth = (u * count).rem_euclid(1.0) - 0.5;
                odd(2.0 * count * v + 1.5 * tooth.abs())
            }
            Self::Halves { direction } => along(u, v, direction) > 0.0,
        }
    }
}

fn along(u: f32, v: f32, [x, y]: [f32; 2]) -> f32 {
    u * x + v * y
}

/// Cosine and sine of a multiple of 45°.
pub(super) fn eighth_turn(rng: &mut impl Rng) -> [f32; 2] {
    let angle = rng.random_range(0..8) as f32 * std::f32::consts::FRAC_PI_4;
    [angle.cos(), angle.sin()]
}
