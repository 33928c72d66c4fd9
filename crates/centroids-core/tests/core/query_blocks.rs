use centroids_core::{
    BlockScores, CameraRule, Embeddings, Error, Preset, Report, Unit, evaluate_grid,
    evaluate_preset, score_grid, score_preset,
};
use proptest::prelude::*;

use crate::naive;
use crate::protocol_properties::{images, metric};

/// The report of blocks that were scored apart, as another process would get them.
fn joined(
    blocks: Vec<BlockScores>,
    query: &Embeddings,
    gallery: &Embeddings,
) -> Result<Report, Error> {
    let text = serde_json::to_string(&blocks).unwrap();
    let mut blocks: Vec<BlockScores> = serde_json::from_str(&text).unwrap();
    let first = blocks.remove(0);
    first.join(blocks).report(query, gallery)
}

proptest! {
    #[test]
    fn blocks_of_queries_give_the_figures_of_all(
        query in images(12), gallery in images(20), metric in metric(), cut in 0_usize..12,
    ) {
        let (query, gallery) = (naive::embeddings(&query), naive::embeddings(&gallery));
        let (units, rules) = (Unit::ALL, CameraRule::ALL);
        let cut = cut.min(query.len());
        let blocks = [0..cut, cut..cut, cut..query.len()];
        let scored = blocks.clone().map(|block| {
            score_grid(&query, &gallery, (units, rules), &metric, block).unwrap()
        });
        let mut reports = Vec::new();
        for question in 0..scored[0].len() {
            let parts = scored.iter().map(|block| block[question].clone()).collect();
            reports.push(joined(parts, &query, &gallery));
        }
        let whole = evaluate_grid(&query, &gallery, units, rules, &metric);
        match (reports.into_iter().collect::<Result<Vec<_>, _>>(), whole) {
            (Ok(reports), Ok(whole)) => prop_assert_eq!(reports, whole),
            (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
            (a, b) => prop_assert!(false, "{:?} and {:?}", a, b),
        }
        for &preset in Preset::ALL {
            let parts = blocks.clone().map(|block| {
                score_preset(&query, &gallery, preset, &metric, block).unwrap()
            });
            let whole = evaluate_preset(&query, &gallery, preset, &metric);
            match (joined(parts.to_vec(), &query, &gallery), whole) {
                (Ok(report), Ok(whole)) => prop_assert_eq!(report, whole),
                (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
                (a, b) => prop_assert!(false, "{:?} and {:?}", a, b),
            }
        }
    }
}
