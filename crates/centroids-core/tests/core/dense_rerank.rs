use centroids_core::KReciprocal;

/// `d*` of every vector to every other, from the distances of all to all; equal ones are ordered by
/// position.
pub(crate) fn reranked(distances: &[Vec<f64>], settings: &KReciprocal) -> Vec<Vec<f64>> {
    let original: Vec<Vec<f64>> = distances.iter().map(|row| over_largest(row)).collect();
    let ranks: Vec<Vec<usize>> = distances.iter().map(|row| order(row)).collect();
    let encodings: Vec<Vec<f64>> =
        (0..ranks.len()).map(|i| encoding(i, &original, &ranks, settings.k1)).collect();
    let averaged: Vec<Vec<f64>> = match settings.k2 {
        1 => encodings,
        k2 => ranks.iter().map(|ranks| mean(ranks, &encodings, k2)).collect(),
    };
    let blend = |jaccard: f64, original: f64| {
        jaccard * (1.0 - settings.lambda) + original * settings.lambda
    };
    let row = |i: usize| -> Vec<f64> {
        let jaccard = averaged.iter().map(|other| jaccard(&averaged[i], other));
        jaccard.zip(&original[i]).map(|(jaccard, original)| blend(jaccard, *original)).collect()
    };
    (0..ranks.len()).map(row).collect()
}

pub(crate) fn over_largest(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(0.0, f64::max);
    row.iter().map(|distance| if largest > 0.0 { distance / largest } else { 0.0 }).collect()
}

fn order(row: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[a].partial_cmp(&row[b]).unwrap());
    order
}

fn first(ranks: &[usize], count: usize) -> &[usize] {
    &ranks[..count.min(ranks.len())]
}

fn reciprocal(i: usize, ranks: &[Vec<usize>], k: usize) -> Vec<usize> {
    let near = first(&ranks[i], k + 1).iter().copied();
    near.filter(|&j| first(&ranks[j], k + 1).contains(&i)).collect()
}

fn encoding(i: usize, original: &[Vec<f64>], ranks: &[Vec<usize>], k1: usize) -> Vec<f64> {
    let half = match (k1 / 2, k1 % 2) {
        (half, 1) if half % 2 == 1 => half + 1,
        (half, _) => half,
    };
    let near = reciprocal(i, ranks, k1);
    let mut member = vec![false; ranks.len()];
    near.iter().for_each(|&j| member[j] = true);
    for &candidate in &near {
        let theirs = reciprocal(candidate, ranks, half);
        let shared = theirs.iter().filter(|j| near.contains(j)).count();
        if shared as f64 > 2.0 / 3.0 * theirs.len() as f64 {
            theirs.iter().for_each(|&j| member[j] = true);
        }
    }
    let weight = |j: usize| if member[j] { (-original[i][j]).exp() } else { 0.0 };
    let weights: Vec<f64> = (0..ranks.len()).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    if sum == 0.0 { weights } else { weights.iter().map(|weight| weight / sum).collect() }
}

fn mean(ranks: &[usize], encodings: &[Vec<f64>], k2: usize) -> Vec<f64> {
    let averaged = first(ranks, k2);
    let column = |c: usize| averaged.iter().map(|&j| encodings[j][c]).sum::<f64>();
    (0..encodings.len()).map(|c| column(c) / averaged.len() as f64).collect()
}

fn jaccard(a: &[f64], b: &[f64]) -> f64 {
    let shared: f64 = a.iter().zip(b).map(|(a, b)| a.min(*b)).sum();
    1.0 - shared / (2.0 - shared)
}

/// Four vectors on a line, with k1 = 1, k2 = 1, by hand: 0 and 1 find each other, so do 2 and 3.
#[test]
fn the_dense_form_is_right_by_hand() {
    let at = [0.0_f64, 1.0, 5.0, 7.0];
    let distances: Vec<Vec<f64>> =
        at.iter().map(|a| at.iter().map(|b| (a - b).powi(2)).collect()).collect();
    let settings = KReciprocal { k1: 1, k2: 1, lambda: 0.0 };
    let found = reranked(&distances, &settings);
    // V(0) ∝ (1, e^(-1/49)), V(1) ∝ (e^(-1/36), 1).
    let [a, b] = [(-1.0_f64 / 49.0).exp(), (-1.0_f64 / 36.0).exp()];
    let shared = (1.0 / (1.0 + a)).min(b / (1.0 + b)) + (a / (1.0 + a)).min(1.0 / (1.0 + b));
    assert!((found[0][1] - (1.0 - shared / (2.0 - shared))).abs() < 1e-15);
    assert_eq!((found[0][2], found[0][3], found[0][0]), (1.0, 1.0, 0.0));
    let blended = reranked(&distances, &KReciprocal { lambda: 0.5, ..settings });
    assert_eq!(blended[0][2], 0.5 + 0.5 * 25.0 / 49.0);
}
