//! Where a product is in the picture and from which side it is seen.

use rand::{Rng, RngExt as _};

/// Distance of the viewer in half widths of the picture: near enough for visible perspective.
const DISTANCE: f32 = 3.2;

/// A plane turned and shifted in front of a pinhole camera.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// First two columns of the rotation, times the size: where the plane's axes point.
    axes: [[f32; 3]; 2],
    shift: [f32; 2],
}

/// Angles in radians about the vertical, the horizontal and the viewing axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) yaw: f32,
    pub(super) pitch: f32,
    pub(super) roll: f32,
}

impl Turn {
    /// Each angle changed by up to `jitter`.
    pub(super) fn jittered(self, jitter: f32, rng: &mut impl Rng) -> Self {
        let mut near = |angle: f32| angle + rng.random_range(-jitter..jitter);
        Self { yaw: near(self.yaw), pitch: near(self.pitch), roll: near(self.roll) }
    }
}

impl Pose {
    pub(super) fn new(turn: Turn, size: f32, shift: [f32; 2]) -> Self {
        let (sy, cy) = turn.yaw.sin_cos();
        let (sp, cp) = turn.pitch.sin_cos();
        let (sr, cr) = turn.roll.sin_cos();
        // Columns of Rz(roll) · Ry(yaw) · Rx(pitch).
        let u = [cr * cy, sr * cy, -sy];
        let v = [cr * sy * sp - sr * cp, sr * sy * sp + cr * cp, cy * sp];
        Self { axes: [u, v].map(|axis| axis.map(|part| part * size)), shift }
    }

    /// The point of the plane seen at a point of the picture; `None` when the plane is seen from
    /// its edge.
    pub(super) fn plane_from_picture(&self, x: f32, y: f32) -> Option<[f32; 2]> {
        // x·z = u₀p + v₀q with depth z = 1 + (u₂p + v₂q)/d, likewise y: two linear equations in p
        // and q.
        let [u, v] = self.axes;
        let (x, y) = (x - self.shift[0], y - self.shift[1]);
        let (xd, yd) = (x / DISTANCE, y / DISTANCE);
        let (a, b) = (u[0] - xd * u[2], v[0] - xd * v[2]);
        let (c, d) = (u[1] - yd * u[2], v[1] - yd * v[2]);
        let determinant = a * d - b * c;
        (determinant.abs() > 1e-6)
            .then(|| [(x * d - b * y) / determinant, (a * y - x * c) / determinant])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_on_only_size_and_shift_matter() {
        let straight = Turn { yaw: 0.0, pitch: 0.0, roll: 0.0 };
        let pose = Pose::new(straight, 0.5, [0.1, 0.0]);
        let [p, q] = pose.plane_from_picture(0.6, 0.25).unwrap();
        assert!((p - 1.0).abs() < 1e-6 && (q - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_projection_is_inverted() {
        let pose = Pose::new(Turn { yaw: 0.5, pitch: -0.3, roll: 0.2 }, 0.7, [0.1, -0.2]);
        let [p, q] = [0.4, -0.8];
        let at = |i: usize| pose.axes[0][i] * p + pose.axes[1][i] * q;
        let depth = 1.0 + at(2) / DISTANCE;
        let picture = [at(0) / depth + 0.1, at(1) / depth - 0.2];
        let found = pose.plane_from_picture(picture[0], picture[1]).unwrap();
        assert!((found[0] - p).abs() < 1e-5 && (found[1] - q).abs() < 1e-5, "{found:?}");
    }
}
