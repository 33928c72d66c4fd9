//! Several workers against one with the whole batch.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use centroids_core::Pid;
use centroids_data::synth::{SynthConfig, synthesize};
use centroids_data::{DatasetSource, Layout};

use super::*;
use crate::Backbone;
use crate::schedule::Decay;
use crate::workers::testing::together;

const STEPS: usize = 10;

/// Eight products, of which some have only two or three pictures.
fn records() -> Vec<ImageRecord> {
    static RECORDS: OnceLock<(tempfile::TempDir, Vec<ImageRecord>)> = OnceLock::new();
    let (_, records) = RECORDS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("catalogue");
        let config = SynthConfig {
            train_ids: 8,
            test_ids: 2,
            images_per_camera: 2,
            size: [16, 16],
            distractors: 0,
            junk: 0,
            ..SynthConfig::default()
        };
        synthesize(&dir, &config, &mut |_, _| {}).unwrap();
        let mut train = DatasetSource::new(Layout::Market1501, &dir).load().unwrap().train;
        let mut seen: BTreeMap<Pid, usize> = BTreeMap::new();
        train.retain(|record| {
            let count = seen.entry(record.pid).or_default();
            *count += 1;
            *count <= [8, 8, 3, 8, 2, 8, 3, 8][(record.pid.0 % 8) as usize]
        });
        (folder, train)
    });
    records.clone()
}

/// Four identities of four images for all workers together, frozen batch norms. (The features of
/// MobileNetV2 are nearly all the same then, which only mining minds.)
fn config(workers: usize, loss: LossConfig, gather: bool) -> TrainConfig {
    TrainConfig {
        backbone: BackboneOptions {
            backbone: match loss.method {
                Method::Ctl => Backbone::ResNet18,
                Method::Base => Backbone::MobileNetV2,
            },
            last_stride: 1,
            stem_relu: false,
        },
        transform: TrainTransform {
            input: InputSpec { size: [16, 16], ..InputSpec::default() },
            flip: 0.5,
            padding: 2,
            erasing: 0.5,
        },
        eval_size: [16, 16],
        norm: Mode::Eval,
        loss,
        gather,
        optimizer: OptimizerConfig { weight_decay: 5e-4, center_lr: 0.5, center_weight: 5e-4 },
        schedule: Schedule {
            base_lr: 1e-4,
            warmup_epochs: 0,
            decay: Decay::MultiStep { milestones: Vec::new(), gamma: 1.0 },
        },
        epochs: 100,
        p: 4 / workers,
        k: 4,
        resample: loss.method == Method::Base,
        seed: 3,
        workers: 1,
        max_pixels: 1 << 20,
        precision: Precision::F32,
    }
}

/// The terms of so many steps, and the weights and optimiser state after them.
fn train(
    config: &TrainConfig,
    steps: usize,
    workers: Rc<dyn Workers>,
) -> (Vec<StepTerms>, Tensors) {
    let trainer = Trainer::new(config.clone(), records(), &Device::flex()).unwrap();
    let mut trainer = trainer.join(workers).unwrap();
    let (mut terms, stop) = (Vec::new(), AtomicBool::new(false));
    while terms.len() < steps {
        let mut observer = |step: &StepReport| {
            assert_eq!(step.images, 16);
            terms.push(step.terms);
            stop.store(terms.len() == steps, Ordering::Relaxed);
        };
        trainer.run_epoch(&stop, &mut observer).unwrap();
    }
    (terms, trainer.checkpoint(String::new()).unwrap().tensors)
}

/// How far two trainings are apart, as a share of the way they went. (Single numbers may be farther:
/// Adam makes steps of equal size from gradients that are nearly nothing but rounding.)
fn apart(loss: LossConfig, a: &Tensors, b: &Tensors) -> f64 {
    let trainer = Trainer::new(config(1, loss, false), records(), &Device::flex());
    let start = weights::collect(&trainer.unwrap().model);
    let distance = |a: &Tensors, b: &Tensors| {
        let squares = start.keys().flat_map(|name| {
            let pairs = a[name].values.iter().zip(&b[name].values);
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).collect::<Vec<f64>>()
        });
        squares.sum::<f64>().sqrt()
    };
    let way = distance(a, &start);
    assert!(way > 1e-3, "nothing was learned: {way}");
    distance(a, b) / way
}

#[test]
fn two_workers_learn_what_one_learns_from_both_batches() {
    let loss = LossConfig { method: Method::Base, triplet_weight: 0.0, ..LossConfig::default() };
    let (_, whole) = train(&config(1, loss, false), STEPS, alone());
    let both = together(2, |workers| train(&config(2, loss, false), STEPS, workers));
    let error = apart(loss, &whole, &both[0].1);
    assert!(error < 1e-3, "{error}");
    let same = both[0].1 == both[1].1;
    assert!(same, "both workers have the same weights, bit for bit");
}

#[test]
fn gathered_features_give_the_losses_of_the_whole_batch() {
    let loss = LossConfig::default();
    let (terms, whole) = train(&config(1, loss, false), STEPS, alone());
    let both = together(2, |workers| train(&config(2, loss, true), STEPS, workers));
    let values = |terms: &StepTerms| {
        let StepTerms { total, query_xent, query_triplet, query_center, dist_ap, dist_an, .. } =
            *terms;
        let (centroid, norm) = (terms.centroid_triplet.unwrap(), terms.l2_mean_centroid.unwrap());
        [total, query_xent, query_triplet, query_center, dist_ap, dist_an, centroid, norm]
    };
    for (step, (ours, theirs)) in both[0].0.iter().zip(&terms).enumerate() {
        for (ours, theirs) in values(ours).into_iter().zip(values(theirs)) {
            let close = (ours - theirs).abs() <= 1e-4 * theirs.abs().max(0.1);
            assert!(close, "step {step}: {ours} {theirs}");
        }
    }
    let error = apart(loss, &whole, &both[0].1);
    assert!(error < 1e-3, "{error}");
    let own = together(2, |workers| train(&config(2, loss, false), 1, workers));
    let triplet = |terms: &[StepTerms]| terms[0].query_triplet;
    let difference = (triplet(&own[0].0) - triplet(&terms)).abs();
    assert!(difference > 1e-2, "mining in the own batch finds other triplets: {difference}");
}

#[test]
fn another_number_of_workers_goes_on_behind_as_many_images() {
    let loss = LossConfig::default();
    let stop = AtomicBool::new(true);
    let states = together(2, |workers| {
        let trainer = Trainer::new(config(2, loss, false), records(), &Device::flex()).unwrap();
        let mut trainer = trainer.join(workers).unwrap();
        trainer.run_epoch(&stop, &mut |_| {}).unwrap();
        trainer.checkpoint(String::new()).unwrap()
    });
    let state = &states[0];
    assert_eq!((state.position.step, state.position.processes), (1, 2));
    let resume = |config| Trainer::resume(config, records(), &Device::flex(), state).unwrap();
    assert_eq!(resume(config(1, loss, false)).step, 2, "steps of half as many images");
    let two = together(2, |workers| {
        let fresh = Trainer::new(config(2, loss, false), records(), &Device::flex()).unwrap();
        let leads = workers.leads();
        let trainer = if leads { resume(config(2, loss, false)) } else { fresh };
        let trainer = trainer.join(workers).unwrap();
        (
            trainer.step,
            trainer.optimizer.steps(),
            trainer.checkpoint(String::new()).unwrap().tensors,
        )
    });
    for (step, steps, tensors) in two {
        assert!((step, steps) == (1, 1) && tensors == state.tensors);
    }
}

#[test]
fn another_dataset_than_process_0_has_is_refused() {
    let messages = together(2, |workers| {
        let mut records = records();
        records.truncate(records.len() - workers.rank());
        let trainer =
            Trainer::new(config(2, LossConfig::default(), false), records, &Device::flex());
        trainer.unwrap().join(workers).err().map(|error| error.to_string())
    });
    assert_eq!(messages[0], None);
    let message = messages[1].clone().unwrap();
    assert!(message.contains("process 0") && message.contains("other images"), "{message}");
}
