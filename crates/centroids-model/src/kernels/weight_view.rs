//! A convolution's weight `[out, in, kh, kw]` as right factor of a matrix product.

use std::ops::Range;

use super::gemm::Packed;
use super::lanes::Isa;

/// Elements of a weight that multiply one window: row (tap, channel), one column for each output
/// channel of the product.
#[derive(Clone, Copy)]
pub(super) struct WeightView<'a> {
    pub(super) weight: &'a [f32],
    /// Offsets of the elements under the window, in its order.
    pub(super) taps: &'a [usize],
    /// Channels under the window, and the distance of their elements.
    pub(super) depth: [usize; 2],
    /// Channels of the product, and the distance of their elements.
    pub(super) columns: [usize; 2],
    /// What each column is multiplied with.
    pub(super) scale: Option<&'a [f32]>,
}

impl WeightView<'_> {
    /// Packs the elements.
    pub(super) fn pack(&self, isa: Isa) -> Packed {
        let [depth, _] = self.depth;
        let shape = [self.taps.len() * depth, self.columns[0]];
        Packed::new(isa, 1, shape, |rows, columns, panels, nr| {
            self.fill(rows, columns, panels[0], nr);
        })
    }

    fn fill(&self, rows: Range<usize>, columns: Range<usize>, panel: &mut [f32], nr: usize) {
        /// Rows copied at once: one cache line of every column.
        const LINE: usize = 16;
        let ([depth, depth_step], [_, column_step]) = (self.depth, self.columns);
        let mut start = rows.start;
        while start < rows.end {
            let (tap, channel) = (start / depth, start % depth);
            let len = (depth - channel).min(rows.end - start).min(LINE);
            let offset = self.taps[tap] + channel * depth_step;
            let target = &mut panel[(start - rows.start) * nr..][..len * nr];
            for (j, column) in columns.clone().enumerate() {
                let source = &self.weight[offset + column * column_step..];
                let scale = self.scale.map_or(1.0, |scale| scale[column]);
                for (row, value) in
                    target.chunks_exact_mut(nr).zip(source.iter().step_by(depth_step))
                {
                    row[j] = value * scale;
                }
            }
            start += len;
        }
    }
}
