//! Images and class centroids on a plane.

use std::collections::BTreeMap;

use bhtsne::tSNE;
use centroids_core::{Embeddings, Metric, Pid, Projection, centroids, principal_plane};

use super::chart::{Dot, dots};
use super::search::pid_name;

/// Most images of a map: more cannot be told apart, and t-SNE takes its time.
const IMAGES: usize = 1500;
/// Most classes: as many as colours and shapes tell apart.
const CLASSES: usize = 27;
/// Rounds of t-SNE, and how far the repulsion of distant points is summarised.
const ROUNDS: usize = 500;
const THETA: f32 = 0.5;
/// About how many neighbours an image has.
const PERPLEXITY: f32 = 30.0;
/// Rows without which there is nothing to see.
const FEWEST: usize = 8;

/// Two maps of the same images: the plane of most variance, and neighbourhoods by t-SNE
/// (van der Maaten, 2014). Of more classes than can be told apart evenly spaced ones are shown.
pub(super) fn embedding_map(gallery: &Embeddings, metric: &Metric) -> String {
    let (images, classes) = shown_images(gallery);
    let shown = gallery.select(&images);
    let means = centroids(&shown, metric.centroid_of);
    let points = if metric.normalize {
        [shown.to_normalized(), means.to_normalized()]
    } else {
        [shown, means]
    };
    let Some(all) = one_below_the_other(&points).filter(|all| all.len() >= FEWEST) else {
        return String::new();
    };
    let [images, means] = &points;
    let map = |title: &str, places: &[[f64; 2]], note: &str| {
        let dot = |(row, &at): (usize, &[f64; 2])| {
            let (pid, centre) = (all.pids()[row], row >= images.len());
            let class = pid_name(gallery, pid);
            let name = if centre { class } else { format!("{class}: {}", all.paths()[row]) };
            let group = means.pids().iter().position(|&mean| mean == pid).unwrap_or_default();
            Dot { at, name, group, centre }
        };
        dots(title, &places.iter().enumerate().map(dot).collect::<Vec<_>>(), note)
    };
    let plane = principal_plane(&all);
    let [first, second] = plane.explained.map(|share| 100.0 * share);
    let note = format!(
        "{} images of {} of {classes} classes; a large mark is a centroid. The axes hold {first:.1} % \
         and {second:.1} % of the variance.",
        images.len(),
        means.len()
    );
    map("Map: principal components", &plane.points, &note)
        + &map(
            "Map: t-SNE",
            &neighbourhoods(&all, &plane),
            "The same images. Near is alike; distances between groups say little.",
        )
}

/// Rows of the images to show, ascending, and how many classes there are to choose from.
fn shown_images(gallery: &Embeddings) -> (Vec<usize>, usize) {
    let mut members: BTreeMap<Pid, Vec<usize>> = BTreeMap::new();
    for (row, &pid) in gallery.pids().iter().enumerate().filter(|(_, pid)| **pid != Pid::JUNK) {
        members.entry(pid).or_default().push(row);
    }
    let classes = members.len();
    let shown = classes.min(CLASSES);
    let chosen = members.values().enumerate().filter(|(i, _)| (i * shown) % classes < shown);
    let mut rows: Vec<usize> =
        chosen.flat_map(|(_, rows)| rows.iter().copied().take(IMAGES / shown)).collect();
    rows.sort_unstable();
    (rows, classes)
}

fn one_below_the_other(sets: &[Embeddings; 2]) -> Option<Embeddings> {
    let values = sets.iter().flat_map(|set| set.values()).copied().collect();
    let pids = sets.iter().flat_map(|set| set.pids()).copied().collect();
    let paths: Vec<String> = sets.iter().flat_map(|set| set.paths()).cloned().collect();
    Embeddings::new(sets[0].dim(), values, pids, vec![None; paths.len()], paths).ok()
}

/// Places by t-SNE, which starts from the plane of most variance.
fn neighbourhoods(all: &Embeddings, plane: &Projection) -> Vec<[f64; 2]> {
    let rows: Vec<&[f32]> = (0..all.len()).map(|row| all.row(row)).collect();
    let spread = plane.points.iter().map(|[x, _]| x * x).sum::<f64>() / rows.len() as f64;
    let scale = 1e-4 / spread.sqrt().max(1e-12);
    let start: Vec<f32> =
        plane.points.iter().flatten().map(|place| (place * scale) as f32).collect();
    let distance = |a: &&[f32], b: &&[f32]| -> f32 {
        a.iter().zip(*b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    };
    let places = tSNE::<f32, &[f32], 2>::new(&rows)
        .perplexity(PERPLEXITY.min((rows.len() - 1) as f32 / 3.0 - 0.1))
        .epochs(ROUNDS)
        .initial_embedding(start)
        .barnes_hut(THETA, distance)
        .embedding();
    places.as_chunks::<2>().0.iter().map(|place| place.map(f64::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of four that are far from each other.
    fn groups() -> Embeddings {
        let corner = |i: usize| [(0.0, 0.0), (9.0, 0.0), (0.0, 9.0)][i / 4];
        let row = |i: usize| [corner(i).0 as f32 + 0.1 * (i % 4) as f32, corner(i).1 as f32];
        let values = (0..12).flat_map(row).collect();
        let pids = (0..12).map(|i| Pid(i / 4 + 1)).collect();
        Embeddings::new(2, values, pids, vec![None; 12], vec!["<a>".to_owned(); 12]).unwrap()
    }

    #[test]
    fn alike_images_are_near_each_other() {
        let set = groups();
        let places = neighbourhoods(&set, &principal_plane(&set));
        let distance = |a: usize, b: usize| -> f64 {
            places[a].iter().zip(places[b]).map(|(a, b)| (a - b).powi(2)).sum()
        };
        for row in 0..12 {
            let nearest = (0..12).filter(|&other| other != row);
            let nearest = nearest.min_by(|&a, &b| distance(row, a).total_cmp(&distance(row, b)));
            assert_eq!(nearest.unwrap() / 4, row / 4, "of row {row}: {places:?}");
        }
    }

    #[test]
    fn a_map_has_all_images_and_a_named_centroid_per_class() {
        let metric = Metric { normalize: false, ..Metric::default() };
        let html = embedding_map(&groups(), &metric);
        assert_eq!(html.matches("<circle").count(), 2 * (12 + 3));
        assert!(html.contains("12 images of 3 of 3 classes") && html.contains(">2</text>"));
        assert!(html.contains("2: &lt;a&gt;"));
        assert_eq!(embedding_map(&groups().select(&[0, 1]), &metric), "");
    }
}
