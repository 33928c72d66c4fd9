use std::collections::BTreeMap;

use centroids_core::{CamId, CentroidOf, Distance, Metric, Pid, Unit};
use centroids_store::{
    EmbeddedGallery, Filter, Gallery, NewMember, OpenOptions, Precision, SearchOptions, Settings,
};

use crate::support::{Fresh, Numbers, add, member};

const DIM: usize = 9;

/// 50 identities of one to three looks, up to 14 images each, from three cameras or none.
fn members() -> Vec<NewMember> {
    let mut numbers = Numbers(11);
    let mut members = Vec::new();
    for pid in 0..50_i64 {
        let looks: Vec<Vec<f32>> = (0..=pid % 3).map(|_| numbers.vector(DIM)).collect();
        for image in 0..numbers.below(14) + 1 {
            let look = &looks[image as usize % looks.len()];
            let noise = numbers.vector(DIM);
            let vector: Vec<f32> = look.iter().zip(noise).map(|(a, b)| a + 0.3 * b).collect();
            let camera = u32::try_from(numbers.below(4)).ok().filter(|camera| *camera < 3);
            let mut new = member(&format!("{pid}-{image}"), pid, camera, &vector);
            new.weight = 0.5 + numbers.below(4) as f64;
            new.attributes.insert("even".to_owned(), (image % 2 == 0).into());
            members.push(new);
        }
    }
    members
}

fn filled(settings: &Settings) -> Fresh {
    let fresh = Fresh::new(settings);
    add(&fresh.gallery, &members());
    fresh
}

/// Where members belong, as the file has it.
fn belonging(fresh: &Fresh) -> BTreeMap<i64, i64> {
    let file = rusqlite::Connection::open(fresh.path()).unwrap();
    let mut statement = file.prepare("SELECT member, sub FROM sub_member").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// By the definition: the nearest of the means of each identity's images that belong together.
fn brute_force(
    fresh: &Fresh,
    metric: &Metric,
    query: &[f32],
    camera: Option<CamId>,
) -> Vec<(f64, Pid)> {
    let of = belonging(fresh);
    let mut sums: BTreeMap<(Pid, i64), (f64, Vec<f64>)> = BTreeMap::new();
    for member in fresh.gallery.members(None, None, usize::MAX).unwrap() {
        if camera.is_some() && member.camid == camera {
            continue;
        }
        let sub = of.get(&member.id.0).copied().unwrap_or(0);
        let sum = sums.entry((member.pid, sub)).or_insert_with(|| (0.0, vec![0.0; DIM]));
        let scale = member.weight * metric.centroid_of.weight(&member.embedding);
        sum.0 += member.weight;
        for (sum, value) in sum.1.iter_mut().zip(&member.embedding) {
            *sum += scale * f64::from(*value);
        }
    }
    let query = metric.prepared(query);
    let mut nearest: BTreeMap<Pid, f64> = BTreeMap::new();
    for ((pid, _), (weight, mut mean)) in sums {
        mean.iter_mut().for_each(|value| *value /= weight);
        metric.prepare(&mut mean);
        let distance = metric.distance.between_prepared(&query, &mean);
        let least = nearest.entry(pid).or_insert(f64::INFINITY);
        *least = least.min(distance);
    }
    let mut order: Vec<(f64, Pid)> = nearest.into_iter().map(|(pid, d)| (d, pid)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order
}

#[test]
fn the_nearest_sub_centroid_counts_with_and_without_a_camera() {
    for distance in Distance::ALL {
        for (&centroid_of, normalize) in CentroidOf::ALL.iter().zip([true, false]) {
            let metric = Metric { distance: *distance, normalize, centroid_of };
            let settings = Settings { sub_centroids: 3, ..Settings::new(DIM) }.with_metric(metric);
            let fresh = filled(&settings);
            let subs = belonging(&fresh);
            assert!(subs.values().any(|sub| *sub == 3) && subs.len() < members().len());
            for rows in [Precision::F32, Precision::F16] {
                let options = OpenOptions { rows, ..OpenOptions::default() };
                let gallery = EmbeddedGallery::open(&fresh.path(), options).unwrap();
                for seed in 0..6 {
                    let query = Numbers(seed).vector(DIM);
                    for without_camera in [None, Some(CamId(0)), Some(CamId(2))] {
                        let right = brute_force(&fresh, &metric, &query, without_camera);
                        for k in [1, 5, 99] {
                            let options = SearchOptions { k, without_camera, ..Default::default() };
                            let answer = gallery.search(&[&query], &options).unwrap().remove(0);
                            assert_eq!(answer.hits.len(), k.min(right.len()));
                            for (hit, (distance, pid)) in answer.hits.iter().zip(&right) {
                                assert_eq!(hit.pid, *pid);
                                assert!((hit.distance - distance).abs() < 1e-12);
                            }
                            let margin = right[1].0 - right[0].0;
                            assert!((answer.margin.unwrap() - margin).abs() < 1e-12);
                        }
                    }
                }
            }
        }
    }
}

/// With a filter, and by images, several centroids make no difference.
#[test]
fn filters_and_images_know_no_sub_centroids() {
    let one = filled(&Settings::new(DIM));
    let three = filled(&Settings { sub_centroids: 3, ..Settings::new(DIM) });
    let query = Numbers(4).vector(DIM);
    let filter = Filter::default().and("even", true.into()).unwrap();
    for options in [
        SearchOptions { filter, ..SearchOptions::default() },
        SearchOptions { unit: Unit::Nearest, ..SearchOptions::default() },
        SearchOptions { unit: Unit::Instance, ..SearchOptions::default() },
    ] {
        let ask = |fresh: &Fresh| fresh.gallery.search(&[&query], &options).unwrap();
        assert_eq!(ask(&one), ask(&three));
    }
}

#[test]
fn faults_of_sub_centroids_are_found_and_mended() {
    for sql in [
        "UPDATE sub_member SET sub = 3 - sub WHERE pid = (SELECT min(pid) FROM sub_part) AND member % 2 = 0",
        "DELETE FROM sub_member WHERE pid = (SELECT max(pid) FROM sub_part)",
        "INSERT INTO sub_member VALUES (0, 9999, 1)",
        "UPDATE sub_part SET sum = zeroblob(72) WHERE pid = (SELECT min(pid) FROM sub_part)",
        "UPDATE sub_part SET sum = x'00' WHERE pid = (SELECT min(pid) FROM sub_part)",
        "UPDATE sub_part SET weight = weight * 1.00001 WHERE pid = (SELECT min(pid) FROM sub_part)",
        "DELETE FROM sub_part WHERE rowid = (SELECT min(rowid) FROM sub_part)",
        "INSERT INTO sub_part SELECT 77, sub, camid, members, weight, sum FROM sub_part LIMIT 1",
        "UPDATE sub_centroid SET norm = 9 WHERE pid = (SELECT min(pid) FROM sub_part) AND sub = 2",
        "DELETE FROM sub_centroid WHERE pid = (SELECT min(pid) FROM sub_part) AND sub = 2",
    ] {
        let fresh = filled(&Settings { sub_centroids: 2, ..Settings::new(DIM) });
        assert!(fresh.gallery.verify(false).unwrap().sound());
        let ask = |gallery: &EmbeddedGallery| {
            let options = SearchOptions { k: 99, ..SearchOptions::default() };
            gallery.search(&[&Numbers(5).vector(DIM)], &options).unwrap()
        };
        let right = ask(&fresh.gallery);
        let other = rusqlite::Connection::open(fresh.path()).unwrap();
        assert!(other.execute(sql, []).unwrap() > 0, "{sql}");
        let found = fresh.gallery.verify(false).unwrap();
        let named = |problem: &String| problem.contains("the sub-centroids are not its members'");
        assert!(found.problems.iter().any(named), "{sql}: {found:?}");
        assert!(fresh.gallery.verify(true).unwrap().sound(), "{sql}");
        let reopened = EmbeddedGallery::open(&fresh.path(), OpenOptions::default()).unwrap();
        assert_eq!(ask(&reopened), right, "{sql}");
        assert_eq!(ask(&fresh.gallery), right, "{sql}");
    }
}

/// A gallery that has no sub-centroids is one of version 1, which older programs read.
#[test]
fn only_sub_centroids_need_a_newer_file() {
    for (sub_centroids, version) in [(1, 1), (2, 2)] {
        let fresh = Fresh::new(&Settings { sub_centroids, ..Settings::new(2) });
        assert_eq!(fresh.gallery.settings().format_version(), version);
        let header = std::fs::read(fresh.path()).unwrap();
        assert_eq!(header[60..64], [0, 0, 0, version as u8]);
        let names = serde_json::to_string(fresh.gallery.settings()).unwrap();
        assert_eq!(names.contains("sub_centroids"), version == 2);
    }
}
