//! What stands behind the products.

use rand::{Rng, RngExt as _};

use super::camera::Camera;
use super::colour::{Colour, mix, muted};
use super::shape::Shape;
use super::texture::Texture;

/// The camera's place with the clutter of one shot.
#[derive(Debug, Clone)]
pub(super) struct Backdrop {
    place: [Colour; 2],
    horizon: f32,
    clutter: Vec<Thing>,
}

#[derive(Debug, Clone)]
struct Thing {
    shape: Shape,
    texture: Texture,
    colours: [Colour; 2],
    centre: [f32; 2],
    size: f32,
}

impl Backdrop {
    pub(super) fn draw(camera: &Camera, rng: &mut impl Rng) -> Self {
        let count = rng.random_range(1..=camera.clutter);
        let clutter = (0..count).map(|_| Thing::draw(camera, rng)).collect();
        let horizon = camera.horizon + rng.random_range(-0.1..0.1);
        Self { place: camera.place, horizon, clutter }
    }

    pub(super) fn colour_at(&self, x: f32, y: f32) -> Colour {
        let thing = self.clutter.iter().find_map(|thing| thing.colour_at(x, y));
        thing.unwrap_or_else(|| self.place[usize::from(y > self.horizon)])
    }
}

impl Thing {
    fn draw(camera: &Camera, rng: &mut impl Rng) -> Self {
        let tone = |rng: &mut _| mix(camera.place[0], muted(rng), 0.7);
        Self {
            shape: Shape::body(rng),
            texture: Texture::draw(rng),
            colours: [tone(rng), tone(rng)],
            centre: [rng.random_range(-1.1..1.1), rng.random_range(-1.1..1.1)],
            size: rng.random_range(0.15..0.5),
        }
    }

    fn colour_at(&self, x: f32, y: f32) -> Option<Colour> {
        let (u, v) = ((x - self.centre[0]) / self.size, (y - self.centre[1]) / self.size);
        let hit = u.abs().max(v.abs()) <= 1.0 && self.shape.contains(u, v);
        hit.then(|| self.colours[usize::from(self.texture.is_second(u, v))])
    }
}
