//! Boxes in the five forms that fashion datasets and detectors use, and the ways between them.
//!
//! ```text
//! Street2ShopBox ──▶ CocoBox ◀──▶ CornerBox ──clip──▶ PixelBox
//!  left, top,         x, y,  ╲     x1, y1, x2, y2
//!  width, height      w, h    ◀──▶ CenterBox ◀──▶ YoloBox
//! ```
//!
//! All but [`YoloBox`] and [`PixelBox`] are in pixels as real numbers: x to the right and y down from
//! the top left corner of the picture, right and bottom edges exclusive.

use serde::{Deserialize, Serialize};

/// As Street2Shop's metadata have it: `{"left": …, "top": …, "width": …, "height": …}`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Street2ShopBox {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// As COCO has it: `[x, y, width, height]`, x and y being the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "[f64; 4]")]
pub struct CocoBox {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// As DeepFashion has it: upper left and lower right corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CornerBox {
    /// Left edge.
    pub x1: f64,
    /// Upper edge.
    pub y1: f64,
    /// Right edge.
    pub x2: f64,
    /// Lower edge.
    pub y2: f64,
}

/// The middle and the size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CenterBox {
    /// Middle, from the left.
    pub x: f64,
    /// Middle, from above.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// As YOLO has it: a [`CenterBox`] in fractions of the picture's width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct YoloBox {
    /// Middle, from the left: 0..1.
    pub x: f64,
    /// Middle, from above: 0..1.
    pub y: f64,
    /// Width: 0..1.
    pub width: f64,
    /// Height: 0..1.
    pub height: f64,
}

/// Whole pixels of a picture, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelBox {
    /// Columns before it.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl From<Street2ShopBox> for CocoBox {
    fn from(street: Street2ShopBox) -> Self {
        let Street2ShopBox { left, top, width, height } = street;
        Self { x: left, y: top, width, height }
    }
}

impl From<CornerBox> for CocoBox {
    fn from(CornerBox { x1, y1, x2, y2 }: CornerBox) -> Self {
        Self { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }
    }
}

impl From<CenterBox> for CocoBox {
    fn from(CenterBox { x, y, width, height }: CenterBox) -> Self {
        Self { x: x - width / 2.0, y: y - height / 2.0, width, height }
    }
}

impl From<CocoBox> for [f64; 4] {
    fn from(CocoBox { x, y, width, height }: CocoBox) -> Self {
        [x, y, width, height]
    }
}

impl From<CocoBox> for CornerBox {
    fn from(CocoBox { x, y, width, height }: CocoBox) -> Self {
        Self { x1: x, y1: y, x2: x + width, y2: y + height }
    }
}

impl From<CocoBox> for CenterBox {
    fn from(CocoBox { x, y, width, height }: CocoBox) -> Self {
        Self { x: x + width / 2.0, y: y + height / 2.0, width, height }
    }
}

impl CocoBox {
    /// Covered pixels, rounded up as the reference does; 0 for a box inside out.
    pub fn area(&self) -> u64 {
        (self.width.max(0.0) * self.height.max(0.0)).ceil() as u64
    }
}

impl CenterBox {
    /// In fractions of a picture of `size` = width, height (both above 0).
    pub fn to_yolo(self, size: [f64; 2]) -> YoloBox {
        let ([w, h], Self { x, y, width, height }) = (size, self);
        YoloBox { x: x / w, y: y / h, width: width / w, height: height / h }
    }
}

impl YoloBox {
    /// In pixels of a picture of `size` = width, height.
    pub fn to_center(self, size: [f64; 2]) -> CenterBox {
        let ([w, h], Self { x, y, width, height }) = (size, self);
        CenterBox { x: x * w, y: y * h, width: width * w, height: height * h }
    }
}

impl CornerBox {
    /// The same box in a picture that is `factors` = (wider, higher) times as large.
    pub fn scaled(self, [wider, higher]: [f64; 2]) -> Self {
        let Self { x1, y1, x2, y2 } = self;
        Self { x1: x1 * wider, y1: y1 * higher, x2: x2 * wider, y2: y2 * higher }
    }

    /// The part within a picture of `size` = width, height, rounded to whole pixels; `None` when
    /// nothing of it is there.
    pub fn clip(self, [width, height]: [u32; 2]) -> Option<PixelBox> {
        let inside = |edge: f64, side: u32| edge.round().clamp(0.0, f64::from(side)) as u32;
        let [left, right] = [self.x1, self.x2].map(|edge| inside(edge, width));
        let [top, bottom] = [self.y1, self.y2].map(|edge| inside(edge, height));
        (left < right && top < bottom).then(|| PixelBox {
            left,
            top,
            width: right - left,
            height: bottom - top,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture of 200×100 with a box from (20, 10) to (60, 90).
    const SIZE: [f64; 2] = [200.0, 100.0];
    const COCO: CocoBox = CocoBox { x: 20.0, y: 10.0, width: 40.0, height: 80.0 };
    const CORNERS: CornerBox = CornerBox { x1: 20.0, y1: 10.0, x2: 60.0, y2: 90.0 };

    #[test]
    fn one_box_in_all_its_forms() {
        let street = r#"{"width": 40, "top": 10, "height": 80, "left": 20}"#;
        let street: Street2ShopBox = serde_json::from_str(street).unwrap();
        assert_eq!(CocoBox::from(street), COCO);
        assert_eq!(CornerBox::from(COCO), CORNERS);
        let center = CenterBox { x: 40.0, y: 50.0, width: 40.0, height: 80.0 };
        assert_eq!(CenterBox::from(COCO), center);
        let yolo = YoloBox { x: 0.2, y: 0.5, width: 0.2, height: 0.8 };
        assert_eq!(center.to_yolo(SIZE), yolo);
        assert_eq!(serde_json::to_string(&COCO).unwrap(), "[20.0,10.0,40.0,80.0]");
        assert_eq!(COCO.area(), 3200);
    }

    #[test]
    fn a_clipped_box_is_rounded_and_within_the_picture() {
        let clip = |x1, y1, x2, y2| CornerBox { x1, y1, x2, y2 }.clip([200, 100]);
        let pixels = |left, top, width, height| Some(PixelBox { left, top, width, height });
        assert_eq!(clip(19.6, 10.4, 60.4, 89.5), pixels(20, 10, 40, 80));
        assert_eq!(clip(-5.0, -5.0, 1e300, 1e300), pixels(0, 0, 200, 100));
        assert_eq!(clip(199.0, 99.0, 500.0, 500.0), pixels(199, 99, 1, 1));
        let nothing = [
            (200.0, 0.0, 300.0, 50.0),
            (-9.0, 0.0, -1.0, 50.0),
            (60.0, 10.0, 20.0, 90.0),
            (5.0, 5.0, 5.4, 9.0),
        ];
        for (x1, y1, x2, y2) in nothing {
            assert_eq!(clip(x1, y1, x2, y2), None, "{x1} {y1} {x2} {y2}");
        }
    }

    #[test]
    fn the_area_of_a_part_of_a_pixel_is_one_and_of_a_box_inside_out_none() {
        assert_eq!(CocoBox { width: 0.5, height: 0.5, ..COCO }.area(), 1);
        assert_eq!(CocoBox { width: -4.0, height: -5.0, ..COCO }.area(), 0);
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_box(
            x in 0_u32..1000, y in 0_u32..1000, width in 1_u32..1000, height in 1_u32..1000,
        ) {
            let [x, y, width, height] = [x, y, width, height].map(f64::from);
            let coco = CocoBox { x, y, width, height };
            prop_assert_eq!(CocoBox::from(CornerBox::from(coco)), coco);
            prop_assert_eq!(CocoBox::from(CenterBox::from(coco)), coco);
            let back = CenterBox::from(coco).to_yolo(SIZE).to_center(SIZE);
            let apart = |a: f64, b: f64| (a - b).abs();
            let back: [f64; 4] = CocoBox::from(back).into();
            let off = std::iter::zip(back, <[f64; 4]>::from(coco)).map(|(a, b)| apart(a, b));
            prop_assert!(off.fold(0.0, f64::max) < 1e-9);
        }
    }
}
