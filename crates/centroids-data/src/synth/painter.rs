//! A shot: one product before one camera.

use rand::RngExt as _;

use super::backdrop::Backdrop;
use super::camera::Camera;
use super::canvas::Canvas;
use super::colour::scale;
use super::lens::expose;
use super::occluder::Occluder;
use super::product::Product;
use crate::random_stream::{Purpose, random_stream};
use crate::rgb_image::RgbImage;

/// How far the shadow falls and how dark it is.
const SHADOW: ([f32; 2], f32) = ([0.08, 0.1], 0.65);

/// The picture that `camera` takes of `product`, or of its place alone. `size` = height, width;
/// `shot` numbers the pictures of one `seed`, each with its own chance.
pub fn render(
    product: Option<&Product>,
    camera: &Camera,
    size: [usize; 2],
    seed: u64,
    shot: [u64; 2],
) -> RgbImage {
    let rng = &mut random_stream(seed, Purpose::Shot, shot[0], shot[1]);
    let pose = camera.pose(rng);
    let backdrop = Backdrop::draw(camera, rng);
    let occluder = rng.random_bool(camera.occlusion).then(|| Occluder::draw(rng));
    let product_at = |x: f32, y: f32| {
        let [u, v] = pose.plane_from_picture(x, y)?;
        product?.colour_at(u, v)
    };
    let colour_at = |x: f32, y: f32| {
        let seen = occluder.as_ref().and_then(|occluder| occluder.colour_at(x, y));
        let seen = seen.or_else(|| product_at(x, y)).unwrap_or_else(|| {
            let ([dx, dy], darkness) = SHADOW;
            let shadowed = product_at(x - dx, y - dy).is_some();
            scale(backdrop.colour_at(x, y), if shadowed { darkness } else { 1.0 })
        });
        scale(seen, camera.shade(x, y))
    };
    let mut canvas = Canvas::paint(size, colour_at);
    expose(&mut canvas, camera, rng);
    canvas.to_image()
}
