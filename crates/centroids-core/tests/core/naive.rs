use std::collections::{BTreeMap, BTreeSet};

use centroids_core::{
    CamId, CameraRule, CentroidOf, Distance, Embeddings, Metric, Pid, Preset, Unit,
};

/// One image of two dimensions. Two, because then no order of summation can change a bit, and ties
/// are ties in both implementations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image {
    pub(crate) pid: i64,
    pub(crate) camera: Option<u32>,
    pub(crate) at: [f32; 2],
}

pub(crate) fn embeddings(images: &[Image]) -> Embeddings {
    Embeddings::new(
        2,
        images.iter().flat_map(|image| image.at).collect(),
        images.iter().map(|image| Pid(image.pid)).collect(),
        images.iter().map(|image| image.camera.map(CamId)).collect(),
        vec![String::new(); images.len()],
    )
    .unwrap()
}

/// Something ranked for one query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) pid: i64,
    pub(crate) distance: f64,
}

/// AP, INP and rank of the first match of a list ordered by distance.
pub(crate) fn metrics(mut items: Vec<Item>, wanted: i64) -> Option<(f64, f64, usize)> {
    items.sort_by(|a, b| a.distance.partial_cmp(&b.distance).unwrap());
    let ranks: Vec<usize> =
        (1..=items.len()).filter(|rank| items[rank - 1].pid == wanted).collect();
    let precision = |(found, rank): (usize, &usize)| (found + 1) as f64 / *rank as f64;
    let ap = ranks.iter().enumerate().map(precision).sum::<f64>() / ranks.len() as f64;
    let inp = ranks.len() as f64 / *ranks.last()? as f64;
    Some((ap, inp, ranks[0]))
}

/// What a query is compared with, in tie order.
pub(crate) fn items(
    query: &Image,
    gallery: &[Image],
    unit: Unit,
    rule: CameraRule,
    metric: &Metric,
) -> Vec<Item> {
    let counts = |image: &&Image| {
        let own_camera = image.camera.is_some() && image.camera == query.camera;
        image.pid != -1
            && match rule {
                CameraRule::Market => image.pid != query.pid || !own_camera,
                CameraRule::Cross => !own_camera,
                CameraRule::Any => true,
            }
    };
    let images: Vec<Image> = gallery.iter().filter(counts).copied().collect();
    let distance = |vector: [f64; 2]| distance(widen(query.at), vector, metric);
    let image_item = |image: &Image| Item { pid: image.pid, distance: distance(widen(image.at)) };
    if unit == Unit::Instance {
        return images.iter().map(image_item).collect();
    }
    let pids: BTreeSet<i64> = images.iter().map(|image| image.pid).collect();
    let class_item = |pid: i64| {
        let members: Vec<Image> = images.iter().filter(|image| image.pid == pid).copied().collect();
        let distance = match unit {
            Unit::Centroid => distance(mean(&members, metric)),
            _ => members.iter().map(|member| image_item(member).distance).fold(f64::MAX, f64::min),
        };
        Item { pid, distance }
    };
    pids.into_iter().map(class_item).collect()
}

/// The preset's list for one query, in tie order.
pub(crate) fn preset_items(
    queries: &[Image],
    query: &Image,
    gallery: &[Image],
    preset: Preset,
    metric: &Metric,
) -> Vec<Item> {
    let no_junk = |images: &[Image]| -> Vec<Image> {
        images.iter().filter(|image| image.pid != -1).copied().collect()
    };
    let (queries, gallery) = (no_junk(queries), no_junk(gallery));
    let list = [queries.clone(), gallery.clone()].concat();
    let camera_of = |j: usize| match preset {
        Preset::Paper => gallery[j].camera,
        Preset::PaperAsPublished => list[j].camera,
    };
    // The map orders by pid and then by query camera, and knows which sets were there before.
    let mut made: BTreeMap<(i64, Option<u32>), Vec<usize>> = BTreeMap::new();
    for asked in &queries {
        let other = |j: &usize| asked.camera.is_none() || camera_of(*j) != asked.camera;
        let rows = (0..gallery.len()).filter(|j| gallery[*j].pid == asked.pid).filter(other);
        made.insert((asked.pid, asked.camera), rows.collect());
    }
    let mut seen = BTreeSet::new();
    let mut items = Vec::new();
    for ((pid, _), rows) in made {
        let cameras: BTreeSet<Option<u32>> = rows.iter().map(|j| camera_of(*j)).collect();
        if rows.is_empty() || !seen.insert((pid, cameras.clone())) {
            continue;
        }
        let own_camera = query.camera.is_some() && cameras.contains(&query.camera);
        if pid != query.pid || !own_camera {
            let members: Vec<Image> = rows.iter().map(|j| gallery[*j]).collect();
            let vector = mean(&members, metric);
            items.push(Item { pid, distance: distance(widen(query.at), vector, metric) });
        }
    }
    items
}

pub(crate) fn widen(vector: [f32; 2]) -> [f64; 2] {
    vector.map(f64::from)
}

fn unit([x, y]: [f64; 2]) -> [f64; 2] {
    let scale = 1.0 / (x * x + y * y).sqrt().max(1e-12);
    [x * scale, y * scale]
}

pub(crate) fn mean(members: &[Image], metric: &Metric) -> [f64; 2] {
    let mut sum = [0.0, 0.0];
    for member in members {
        let vector = match metric.centroid_of {
            CentroidOf::Raw => widen(member.at),
            CentroidOf::Unit => unit(widen(member.at)),
        };
        sum = [sum[0] + vector[0], sum[1] + vector[1]];
    }
    sum.map(|sum| sum / members.len() as f64)
}

pub(crate) fn distance(a: [f64; 2], b: [f64; 2], metric: &Metric) -> f64 {
    let cosine = metric.distance == Distance::Cosine;
    let (a, b) = if metric.normalize || cosine { (unit(a), unit(b)) } else { (a, b) };
    if cosine {
        (1.0 - (a[0] * b[0] + a[1] * b[1])).abs().max(1e-12)
    } else {
        (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
    }
}
