//! A procedural catalogue: a dataset made out of nothing, for demos and tests.
//!
//! A [`Product`] is composed of parts (body, trim, emblems), each with a shape, a texture and
//! colours of one of a few palettes that many products share. A [`Camera`] has its own light, white
//! balance, viewpoint, backdrop, blur and noise. A *shot* of a product by a camera adds chance:
//! pose, clutter, something in the way. So a product is recognised by how it is composed, neither
//! by its colours alone nor by what surrounds it.
//!
//! [`synthesize`] writes train and test identities (disjoint) in the layout of Market-1501;
//! [`render`] makes one picture. Everything follows from the seed.

mod backdrop;
mod camera;
mod canvas;
mod catalogue;
mod colour;
mod lens;
mod occluder;
mod painter;
mod pose;
mod product;
mod shape;
mod texture;

pub use camera::Camera;
pub use catalogue::{SynthConfig, synthesize};
pub use painter::render;
pub use product::Product;
