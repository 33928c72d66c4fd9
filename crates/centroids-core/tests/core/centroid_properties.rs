use centroids_core::{
    CamId, CentroidOf, CentroidsInParts, ClassSums, Concatenated, Embeddings, Pid, centroids,
    concatenate,
};
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

    #[test]
    fn parts_give_the_centroids_of_the_whole(
        gallery in galleries(), of in prop::sample::select(CentroidOf::ALL),
        cuts in prop::collection::vec(0_usize..30, 0..4),
    ) {
        let names = gallery.pids().iter().map(|pid| (*pid, format!("name {pid}"))).collect();
        let gallery = gallery.with_pid_names(names).with_model("m".to_owned());
        let parts = cut(&gallery, cuts);
        let mut means = CentroidsInParts::like(&parts[0], of);
        parts.iter().for_each(|part| means.add(part).unwrap());
        means = means.average();
        parts.iter().for_each(|part| means.choose(part));
        prop_assert_eq!(means.finish().unwrap(), centroids(&gallery, of));
    }

    #[test]
    fn files_that_are_joined_are_the_file_of_the_whole(
        gallery in galleries(), cuts in prop::collection::vec(0_usize..30, 0..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(format!("{name}.safetensors"));
        let gallery = gallery.with_model("m".to_owned()).with_model_path("runs/m".to_owned());
        gallery.save(&path("whole")).unwrap();
        let mut files = Vec::new();
        for (i, part) in cut(&gallery, cuts).iter().enumerate() {
            files.push(path(&i.to_string()));
            part.save(&files[i]).unwrap();
        }
        let joined = concatenate(&files, &path("joined")).unwrap();
        prop_assert_eq!(joined, Concatenated { rows: gallery.len(), dim: gallery.dim() });
        let bytes = |name| std::fs::read(path(name)).unwrap();
        prop_assert_eq!(bytes("joined"), bytes("whole"));

        gallery.select(&[]).with_model("other".to_owned()).save(&path("other")).unwrap();
        files.push(path("other"));
        let error = concatenate(&files, &path("joined")).unwrap_err().to_string();
        prop_assert!(error.contains("other.safetensors: its model is `other`, but `m`"), "{}", error);
        prop_assert_eq!(bytes("joined"), bytes("whole"));
    }
}

/// The rows before, between and behind the cuts.
fn cut(gallery: &Embeddings, mut cuts: Vec<usize>) -> Vec<Embeddings> {
    cuts.extend([0, gallery.len()]);
    cuts.iter_mut().for_each(|cut| *cut = (*cut).min(gallery.len()));
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| gallery.select(&(ends[0]..ends[1]).collect::<Vec<_>>())).collect()
}
