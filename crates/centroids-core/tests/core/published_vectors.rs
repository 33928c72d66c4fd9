use centroids_core::{CamId, CameraRule, Embeddings, Metric, Pid, Report, Unit, evaluate};

const RAW: Metric = Metric {
    distance: centroids_core::Distance::SquaredEuclidean,
    normalize: false,
    centroid_of: centroids_core::CentroidOf::Raw,
};

fn set<const DIM: usize>(rows: &[[f32; DIM]], pids: &[i64], camids: &[u32]) -> Embeddings {
    Embeddings::new(
        DIM,
        rows.as_flattened().to_vec(),
        pids.iter().copied().map(Pid).collect(),
        camids.iter().map(|&camid| Some(CamId(camid))).collect(),
        vec![String::new(); rows.len()],
    )
    .unwrap()
}

/// mmdetection, `tests/test_evaluation/test_metrics/test_reid_metric.py`: every item is a query
/// against all others. Giving each item a camera of its own leaves out just itself.
#[test]
fn mmdetection() {
    let rows = [
        [1.0, 0.0, 0.1],
        [0.8, 0.0, 0.0],
        [0.1, 1.0, 0.1],
        [0.0, 0.9, 0.1],
        [0.9, 0.1, 0.0],
        [0.0, 0.1, 1.0],
    ];
    let items = set(&rows, &[0, 0, 1, 1, 1, 1], &[0, 1, 2, 3, 4, 5]);
    let report = evaluate(&items, &items, Unit::Instance, CameraRule::Market, &RAW).unwrap();
    let rounded = |value: f64, digits: i32| (value * 10_f64.powi(digits)).round();
    let precisions: Vec<f64> =
        report.average_precision.iter().map(|ap| rounded(ap.unwrap(), 2)).collect();
    assert_eq!(precisions, [50.0, 50.0, 92.0, 100.0, 48.0, 92.0]);
    assert_eq!(rounded(report.map, 3), 719.0);
    assert_eq!((report.rank(1), report.rank(5)), (0.5, 1.0));
}

/// Embeddings with given distances (up to a constant per query): gallery image `j` is the unit
/// vector `e_j` and query `i` is `−Σ d_ij e_j / 2`, so `|q_i − e_j|² = |q_i|² + 1 + d_ij`.
fn with_distances<const N: usize>(
    distances: &[[f32; N]],
    pids: &[i64; N],
    gallery_camids: &[u32; N],
) -> Report {
    let queries: Vec<[f32; N]> =
        distances.iter().map(|row| row.map(|distance| -distance / 2.0)).collect();
    let units: Vec<[f32; N]> =
        (0..N).map(|j| std::array::from_fn(|i| if i == j { 1.0 } else { 0.0 })).collect();
    let query = set(&queries, pids, &[0; N]);
    let gallery = set(&units, pids, gallery_camids);
    evaluate(&query, &gallery, Unit::Instance, CameraRule::Market, &RAW).unwrap()
}

/// Intel accuracy_checker, CMC: one match each, other camera.
#[test]
fn accuracy_checker_one_match_each() {
    let distances = [
        [0.0, 1.0, 2.0, 3.0, 4.0],
        [1.0, 0.0, 2.0, 3.0, 4.0],
        [0.0, 1.0, 2.0, 3.0, 4.0],
        [0.0, 1.0, 2.0, 3.0, 4.0],
        [1.0, 2.0, 3.0, 4.0, 0.0],
    ];
    let report = with_distances(&distances, &[0, 1, 2, 3, 4], &[1; 5]);
    assert_eq!(report.cmc(5), [0.6, 0.6, 0.8, 1.0, 1.0]);
}

/// Intel accuracy_checker, CMC: two matches each, no single-gallery-shot.
#[test]
fn accuracy_checker_two_matches_each() {
    let report = with_distances(&[[0.0, 1.0, 2.0, 3.0]; 4], &[0, 0, 1, 1], &[1; 4]);
    assert_eq!(report.cmc(4), [0.5, 0.5, 1.0, 1.0]);
}

/// Intel accuracy_checker, CMC: a match from the query's own camera does not count.
#[test]
fn accuracy_checker_own_camera() {
    let distances = [[0.0, 1.0, 2.0, 3.0, 4.0]; 5];
    let report = with_distances(&distances, &[0, 0, 0, 1, 1], &[0, 1, 1, 1, 1]);
    assert_eq!(report.cmc(5), [0.6, 0.6, 0.6, 1.0, 1.0]);
}
