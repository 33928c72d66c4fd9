//! What identities look like.

use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng, RngExt as _};

use super::colour::{Colour, PALETTES};
use super::shape::Shape;
use super::texture::{Texture, eighth_turn};
use crate::random_stream::{Purpose, random_stream};

/// Places of emblems on a body: middle, and a step up, down, left and right.
const SLOTS: [[f32; 2]; 5] = [[0.0, 0.0], [0.0, -0.45], [0.0, 0.5], [-0.42, 0.05], [0.42, 0.05]];

/// One product: parts from the uppermost to the lowest, in the square from −1 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    shape: Shape,
    texture: Texture,
    colours: [Colour; 2],
    centre: [f32; 2],
    /// Half width and half height.
    size: [f32; 2],
    /// Cosine and sine of the angle it is turned by.
    turn: [f32; 2],
}

impl Product {
    /// The product of an identity.
    pub fn of(seed: u64, identity: u64) -> Self {
        let rng = &mut random_stream(seed, Purpose::Product, identity, 0);
        let mut colours = *PALETTES.choose(rng).unwrap_or(&PALETTES[0]);
        colours.shuffle(rng);
        let [main, second, mark, trim] = colours;

        let body = body(rng, [main, second]);
        let rim = Part {
            texture: Texture::Plain,
            colours: [trim; 2],
            size: body.size.map(|half| half + 0.09),
            ..body.clone()
        };
        let mut parts = emblems(rng, &body, [mark, trim]);
        parts.push(body);
        if rng.random_bool(0.5) {
            parts.push(rim);
        }
        Self { parts }
    }

    /// The colour at a point, `None` beside the product.
    pub(super) fn colour_at(&self, u: f32, v: f32) -> Option<Colour> {
        self.parts.iter().find_map(|part| part.colour_at(u, v))
    }
}

impl Part {
    fn colour_at(&self, u: f32, v: f32) -> Option<Colour> {
        let (x, y) = (u - self.centre[0], v - self.centre[1]);
        let [cos, sin] = self.turn;
        let (x, y) = ((x * cos + y * sin) / self.size[0], (y * cos - x * sin) / self.size[1]);
        let hit = x.abs().max(y.abs()) <= 1.0 && self.shape.contains(x, y);
        hit.then(|| self.colours[usize::from(self.texture.is_second(x, y))])
    }
}

fn body(rng: &mut impl Rng, colours: [Colour; 2]) -> Part {
    let narrow = rng.random_range(0.68..0.92);
    let size = *[[narrow, 0.9], [0.9, narrow], [0.9, 0.9]].choose(rng).unwrap_or(&[0.9, 0.9]);
    let shape = Shape::body(rng);
    Part { shape, texture: Texture::draw(rng), colours, centre: [0.0, 0.0], size, turn: [1.0, 0.0] }
}

/// One to three small parts on the body.
fn emblems(rng: &mut impl Rng, body: &Part, colours: [Colour; 2]) -> Vec<Part> {
    let count = rng.random_range(1..=3);
    let slots: Vec<[f32; 2]> = SLOTS.sample(rng, count).copied().collect();
    let shape = Shape::emblem(rng);
    let mut emblem = |[u, v]: [f32; 2]| {
        let half = rng.random_range(0.2..0.34);
        Part {
            shape: if rng.random_bool(0.6) { shape } else { Shape::emblem(rng) },
            texture: if rng.random_bool(0.7) { Texture::Plain } else { Texture::draw(rng) },
            colours: if rng.random_bool(0.7) { colours } else { [colours[1], colours[0]] },
            centre: [u * body.size[0], v * body.size[1]],
            size: [half; 2],
            turn: eighth_turn(rng),
        }
    };
    slots.into_iter().map(&mut emblem).collect()
}
