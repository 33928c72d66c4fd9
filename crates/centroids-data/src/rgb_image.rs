//! A decoded picture.

/// An 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RgbImage {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width × 3` values: rows from the top, pixels from the left, channels R, G, B.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// A black picture.
    pub fn black(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height * 3] }
    }

    /// The bytes of one row, `3 × width` of them.
    ///
    /// # Panics
    /// When `y` is not below the height.
    pub fn row(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.width * 3..][..self.width * 3]
    }
}
