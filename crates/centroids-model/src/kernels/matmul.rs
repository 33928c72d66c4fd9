//! Matrix product of strided views, on the thread that calls it.

/// A matrix of `rows` × `cols` inside a slice: element (i, j) is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that start every `row_stride` elements.
    ///
    /// # Panics
    /// If the slice is too short.
    pub(super) fn new(data: &'a [f32], [rows, cols]: [usize; 2], row_stride: usize) -> Self {
        let end = if rows * cols == 0 { 0 } else { (rows - 1) * row_stride + cols };
        assert!(end <= data.len(), "matrix lies outside its slice");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// `c = a · b`, or `c += a · b` with `accumulate`, where row i of `c` starts at `c + i * c_stride`.
///
/// Runs on the calling thread: the loops around it are parallel.
///
/// # Safety
/// `c` must be valid for the rows and columns of the product, in no use elsewhere, and initialised
/// if `accumulate`.
pub(super) unsafe fn matmul(
    c: *mut f32,
    c_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    accumulate: bool,
) {
    assert_eq!(a.cols, b.rows, "inner sizes of a matrix product");
    // SAFETY: both views were checked against their slices when made, and the caller answers for
    // `c`. Strides of slices fit `isize`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            c,
            1,
            c_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            if accumulate { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
