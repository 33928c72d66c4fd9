//! Outlines of parts.

use std::f32::consts::TAU;

use rand::Rng;
use rand::seq::IndexedRandom as _;

/// An outline in the square from −1 to 1; `v` points down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Disc,
    Square,
    Triangle,
    Diamond,
    Hexagon,
    Star,
    Heart,
    Ring,
    Cross,
    Flower,
    Crescent,
    Pill,
    Trapezoid,
    Bottle,
    Shirt,
}

impl Shape {
    /// Shapes large enough to carry others.
    const BODIES: [Self; 10] = [
        Self::Disc,
        Self::Square,
        Self::Triangle,
        Self::Diamond,
        Self::Hexagon,
        Self::Heart,
        Self::Flower,
        Self::Trapezoid,
        Self::Bottle,
        Self::Shirt,
    ];

    /// Shapes that are told apart when small.
    const EMBLEMS: [Self; 9] = [
        Self::Disc,
        Self::Square,
        Self::Triangle,
        Self::Star,
        Self::Heart,
        Self::Ring,
        Self::Cross,
        Self::Crescent,
        Self::Pill,
    ];

    pub(super) fn body(rng: &mut impl Rng) -> Self {
        *Self::BODIES.choose(rng).unwrap_or(&Self::Disc)
    }

    pub(super) fn emblem(rng: &mut impl Rng) -> Self {
        *Self::EMBLEMS.choose(rng).unwrap_or(&Self::Disc)
    }

    pub(super) fn contains(self, u: f32, v: f32) -> bool {
        let (across, along) = (u.abs(), v.abs());
        let radius = u.hypot(v);
        match self {
            Self::Disc => radius < 1.0,
            Self::Square => across.max(along) < 0.88,
            Self::Triangle => along < 0.9 && across < 0.5 * (v + 0.95),
            Self::Diamond => across + along < 1.0,
            Self::Hexagon => across < 0.87 && along + 0.577 * across < 1.0,
            Self::Star => radius < 0.62 + 0.38 * wave(u, v, 5.0),
            Self::Heart => heart(across, -v),
            Self::Ring => (0.5..1.0).contains(&radius),
            Self::Cross => across.max(along) < 1.0 && across.min(along) < 0.32,
            Self::Flower => radius < 0.82 + 0.18 * wave(u, v, 6.0),
            Self::Crescent => radius < 1.0 && (u - 0.5).hypot(v) > 0.8,
            Self::Pill => (across - 0.55).max(0.0).hypot(v) < 0.45,
            Self::Trapezoid => along < 0.85 && across < 0.7 + 0.3 * v,
            Self::Bottle => along < 1.0 && across < if v < -0.35 { 0.28 } else { 0.62 },
            Self::Shirt => shirt(across, v),
        }
    }
}

/// One lobe per turn's `lobes`-th part, the first pointing up.
fn wave(u: f32, v: f32, lobes: f32) -> f32 {
    (u.atan2(-v).rem_euclid(TAU) * lobes).cos()
}

/// The classic implicit curve (x² + y² − 1)³ < x²y³, scaled into the square.
fn heart(across: f32, up: f32) -> bool {
    let (x, y) = (across * 1.2, up * 1.2 + 0.1);
    let inner = x * x + y * y - 1.0;
    inner.powi(3) < x * x * y.powi(3)
}

fn shirt(across: f32, v: f32) -> bool {
    let trunk = across < 0.58 && v.abs() < 0.95;
    let sleeves = across < 1.0 && (-0.95 + 0.35 * across..-0.3 + 0.2 * across).contains(&v);
    let neck = across.hypot(v + 1.0) < 0.26;
    (trunk || sleeves) && !neck
}
