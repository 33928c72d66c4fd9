use std::collections::{BTreeMap, BTreeSet};

use centroids_core::{CamId, Pid};
use centroids_data::{Draw, ImageRecord, LabelMap, PkOptions, PkSampler};
use serde_json::Value;

use crate::support::{golden, list, manifest, number};

const EPOCHS: usize = 200;

/// Identities with the given numbers of images, each image by a camera of its own.
fn records(counts: &BTreeMap<i64, usize>) -> Vec<ImageRecord> {
    let images = counts.iter().flat_map(|(&pid, &count)| (0..count).map(move |image| (pid, image)));
    let record = |(pid, image): (i64, usize)| ImageRecord {
        path: format!("{pid}/{image}.jpg").into(),
        pid: Pid(pid),
        camid: Some(CamId(image as u32)),
    };
    images.map(record).collect()
}

fn counts(entry: &Value, key: &str) -> BTreeMap<i64, usize> {
    let counts = entry[key].as_object().unwrap().iter();
    counts.map(|(pid, count)| (pid.parse().unwrap(), count.as_u64().unwrap() as usize)).collect()
}

#[test]
fn epochs_have_the_properties_of_the_references() {
    let Some(folder) = golden("sampler") else {
        return;
    };
    for entry in list(&manifest(&folder), "entries") {
        check_entry(entry);
    }
}

fn check_entry(entry: &Value) {
    let name = entry["name"].as_str().unwrap();
    let records = records(&counts(entry, "images_per_identity"));
    let labels = LabelMap::of(&records);
    let (p, k, world) = (number(entry, "P"), number(entry, "K"), number(entry, "world"));
    let options = |rank| PkOptions { p, k, resample: false, world, rank };
    let ranks: Vec<PkSampler> =
        (0..world).map(|rank| PkSampler::new(&records, &labels, options(rank)).unwrap()).collect();
    let most = number(&entry["bounds_that_always_hold"], "batches_per_rank_at_most");
    let allowed = counts(entry, "draws_allowed_per_identity");
    assert_eq!(ranks[0].max_batches(), most, "{name}");

    let mut batches = 0;
    for epoch in 0..EPOCHS {
        let parts: Vec<Vec<Vec<Draw>>> =
            ranks.iter().map(|sampler| sampler.epoch(0, epoch)).collect();
        assert!(
            parts.iter().all(|part| part.len() == parts[0].len() && part.len() <= most),
            "{name}"
        );
        batches += parts[0].len();
        let mut drawn: BTreeMap<i64, usize> = BTreeMap::new();
        for batch in parts.iter().flatten() {
            let pids: BTreeSet<Pid> = batch.iter().map(|draw| records[draw.record].pid).collect();
            assert_eq!((batch.len(), pids.len()), (p * k, p), "{name}");
            pids.iter().for_each(|pid| *drawn.entry(pid.0).or_default() += 1);
        }
        assert!(drawn.iter().all(|(pid, times)| *times <= allowed[pid]), "{name} epoch {epoch}");
        // Fewer than P·world identities may have draws left.
        let left =
            allowed.iter().filter(|(pid, times)| drawn.get(*pid).unwrap_or(&0) < *times).count();
        assert!(left < p * world, "{name} epoch {epoch}: {left} identities left");
    }
    check_mean(entry, batches as f64 / EPOCHS as f64);
}

/// The mean number of batches is that of uniform drawing: 0.35 is several standard errors of 200
/// epochs.
fn check_mean(entry: &Value, ours: f64) {
    let theirs = entry["batches_per_rank_over_200_epochs"]["mean"].as_f64().unwrap();
    assert!((ours - theirs).abs() < 0.35, "{}: {ours} batches, reference {theirs}", entry["name"]);
}

#[test]
fn items_are_composed_as_the_references() {
    let Some(folder) = golden("sampler") else {
        return;
    };
    for rule in list(&manifest(&folder), "item_rules") {
        let (images, k) = (number(rule, "images"), number(rule, "returned"));
        let resample = rule["use_resampling"].as_bool().unwrap();
        // The second identity only makes K possible.
        let records = records(&BTreeMap::from([(5, images), (6, k)]));
        let options = PkOptions { resample, ..PkOptions::new(1, k) };
        let sampler = PkSampler::new(&records, &LabelMap::of(&records), options).unwrap();
        let item = sampler.epoch(1, 0).into_iter().find(|item| item[0].label == 0).unwrap();

        let is_real: Vec<bool> = item.iter().map(|draw| draw.is_real).collect();
        let wanted: Vec<bool> =
            list(rule, "is_real").iter().map(|v| v.as_bool().unwrap()).collect();
        assert_eq!(is_real, wanted, "{rule}");
        let real: Vec<usize> =
            item.iter().filter(|draw| draw.is_real).map(|draw| draw.record).collect();
        let distinct: BTreeSet<&usize> = real.iter().collect();
        assert_eq!(distinct.len(), number(rule, "number_of_distinct_real_images"), "{rule}");
        let last = real.last().unwrap();
        assert!(
            item.iter().filter(|draw| !draw.is_real).all(|mock| mock.record == *last),
            "{rule}"
        );
    }
}

#[test]
fn an_identity_with_one_image_is_left_out_and_reported() {
    let records = records(&BTreeMap::from([(1, 1), (2, 4), (3, 4)]));
    let sampler = PkSampler::new(&records, &LabelMap::of(&records), PkOptions::new(2, 4)).unwrap();
    assert_eq!(sampler.skipped(), [Pid(1)]);
    assert!(sampler.epoch(0, 0).concat().iter().all(|draw| records[draw.record].pid != Pid(1)));
}
