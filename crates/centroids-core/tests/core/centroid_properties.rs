use centroids_core::{CamId, CentroidOf, ClassSums, Embeddings, Pid, centroids};
use proptest::prelude::*;

fn galleries() -> impl Strategy<Value = Embeddings> {
    (1_usize..40).prop_flat_map(|dim| {
        let camera = prop::option::of(0_u32..3);
        let image = (-1_i64..4, camera, prop::collection::vec(-9.0_f32..9.0, dim));
        prop::collection::vec(image, 0..30).prop_map(move |images| {
            let pids = images.iter().map(|image| Pid(image.0)).collect();
            let camids = images.iter().map(|image| image.1.map(CamId)).collect();
            let paths = (0..images.len()).map(|row| row.to_string()).collect();
            let values = images.into_iter().flat_map(|image| image.2).collect();
            Embeddings::new(dim, values, pids, camids, paths).unwrap()
        })
    })
}

/// The mean of the members that are left, made anew; `None` if none is.
fn recomputed(
    gallery: &Embeddings,
    of: CentroidOf,
    counts: impl Fn(usize) -> bool,
) -> Option<Vec<f64>> {
    let unit = gallery.to_normalized();
    let rows: Vec<usize> = (0..gallery.len()).filter(|&row| counts(row)).collect();
    let value = |row: usize, column: usize| match of {
        CentroidOf::Raw => f64::from(gallery.row(row)[column]),
        CentroidOf::Unit => f64::from(unit.row(row)[column]),
    };
    let mean = |column| rows.iter().map(|&row| value(row, column)).sum::<f64>() / rows.len() as f64;
    (!rows.is_empty()).then(|| (0..gallery.dim()).map(mean).collect())
}

fn assert_close(found: &Option<Vec<f64>>, expected: &Option<Vec<f64>>, of: CentroidOf) {
    assert_eq!(found.is_some(), expected.is_some());
    // The oracle's unit vectors are rounded to f32.
    let tolerance = if of == CentroidOf::Raw { 1e-13 } else { 1e-7 };
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
    }
}

proptest! {
    #[test]
    fn subtraction_equals_the_mean_of_the_rest(
        gallery in galleries(), of in prop::sample::select(CentroidOf::ALL),
    ) {
        let sums = ClassSums::of(&gallery, of);
        for pid in (0..4).map(Pid) {
            for camera in [None, Some(CamId(0)), Some(CamId(1)), Some(CamId(2)), Some(CamId(9))] {
                let expected = recomputed(&gallery, of, |row| {
                    let camid = gallery.camids()[row];
                    gallery.pids()[row] == pid && (camid.is_none() || camid != camera)
                });
                assert_close(&sums.centroid(pid, camera), &expected, of);
            }
        }
        prop_assert_eq!(sums.centroid(Pid::JUNK, None), None);
    }

    #[test]
    fn images_come_and_go_one_by_one(
        gallery in galleries(), of in prop::sample::select(CentroidOf::ALL), keep in 0_usize..30,
    ) {
        let keep = keep.min(gallery.len());
        let mut sums = ClassSums::new(gallery.dim(), of);
        let image = |row: usize| (gallery.pids()[row], gallery.camids()[row], gallery.row(row));
        for row in 0..gallery.len() {
            let (pid, camid, vector) = image(row);
            sums.add(pid, camid, vector).unwrap();
        }
        for row in keep..gallery.len() {
            let (pid, camid, vector) = image(row);
            sums.remove(pid, camid, vector).unwrap();
        }
        let rest = gallery.select(&(0..keep).collect::<Vec<_>>());
        let expected = ClassSums::of(&rest, of);
        prop_assert!(sums.pids().eq(expected.pids()));
        for pid in sums.pids() {
            prop_assert_eq!(sums.count(pid), expected.count(pid));
            for camera in [None, Some(CamId(1))] {
                assert_close(&sums.centroid(pid, camera), &expected.centroid(pid, camera), CentroidOf::Raw);
            }
        }
    }

    #[test]
    fn rows_of_centroids_are_the_sums_rounded(
        gallery in galleries(), of in prop::sample::select(CentroidOf::ALL),
    ) {
        let (means, sums) = (centroids(&gallery, of), ClassSums::of(&gallery, of));
        prop_assert!(means.pids().iter().copied().eq(sums.pids()));
        for (row, pid) in means.pids().iter().enumerate() {
            let expected: Vec<f32> =
                sums.centroid(*pid, None).unwrap().into_iter().map(|value| value as f32).collect();
            prop_assert_eq!(means.row(row), expected);
            let example = gallery.paths().iter().position(|path| path == &means.paths()[row]);
            prop_assert_eq!(gallery.pids()[example.unwrap()], *pid);
        }
    }
}
