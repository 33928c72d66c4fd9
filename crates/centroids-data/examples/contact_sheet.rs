//! Draws a contact sheet of the synthetic catalogue: one row per product, each camera's shots side
//! by side.
//!
//! `cargo run --release -p centroids-data --example contact_sheet -- sheet.png [SEED]`

use centroids_data::RgbImage;
use centroids_data::synth::{Camera, Product, SynthConfig, render};

const PRODUCTS: u64 = 16;
const SHOTS: u64 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("give the PNG file to write")?;
    let seed = arguments.next().map_or(Ok(0), |seed| seed.parse())?;
    let sheet = contact_sheet(seed);
    let (width, height) = (sheet.width as u32, sheet.height as u32);
    image::save_buffer(path, &sheet.pixels, width, height, image::ColorType::Rgb8)?;
    Ok(())
}

fn contact_sheet(seed: u64) -> RgbImage {
    let SynthConfig { size, cameras, .. } = SynthConfig::default();
    let columns = cameras as u64 * SHOTS;
    let mut sheet = RgbImage::black(columns as usize * size[1], PRODUCTS as usize * size[0]);
    for (row, identity) in (1..=PRODUCTS).enumerate() {
        let product = Product::of(seed, identity);
        for column in 0..columns {
            let (camera, shot) = (column / SHOTS, column % SHOTS);
            let number = [identity, camera << 32 | shot];
            let image = render(Some(&product), &Camera::of(seed, camera), size, seed, number);
            paste(&mut sheet, &image, column as usize * size[1], row * size[0]);
        }
    }
    sheet
}

fn paste(sheet: &mut RgbImage, image: &RgbImage, left: usize, top: usize) {
    for y in 0..image.height {
        let start = ((top + y) * sheet.width + left) * 3;
        sheet.pixels[start..start + image.width * 3].copy_from_slice(image.row(y));
    }
}
