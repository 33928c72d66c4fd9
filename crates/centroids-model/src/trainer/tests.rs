//! Steps in half precision, beside the same steps in f32.

use std::path::PathBuf;

use centroids_core::Pid;
use centroids_data::{ImageRecord, InputSpec, TrainBatch, TrainTransform};

use super::*;
use crate::{Backbone, Decay};

const LR: f64 = 1e-3;

/// ResNet-18 on images of 32×32, 4 identities with 2 images each; no step is skipped at its scale.
fn trainer(precision: Precision) -> Trainer {
    let mut trainer = Trainer::new(config(precision), records(), &Device::flex()).unwrap();
    trainer.loss_scale = trainer.loss_scale.map(|_| LossScale::of(1024.0));
    trainer
}

fn config(precision: Precision) -> TrainConfig {
    TrainConfig {
        backbone: BackboneOptions {
            backbone: Backbone::ResNet18,
            last_stride: 1,
            stem_relu: false,
        },
        transform: TrainTransform {
            input: InputSpec { size: [32, 32], ..InputSpec::default() },
            flip: 0.0,
            padding: 0,
            erasing: 0.0,
        },
        eval_size: [32, 32],
        norm: Mode::Train(precision),
        gather: false,
        loss: LossConfig::default(),
        optimizer: OptimizerConfig { weight_decay: 5e-4, center_lr: 0.5, center_weight: 5e-4 },
        schedule: Schedule {
            base_lr: LR,
            warmup_epochs: 0,
            decay: Decay::MultiStep { milestones: Vec::new(), gamma: 1.0 },
        },
        epochs: 1,
        p: 4,
        k: 2,
        resample: true,
        seed: 3,
        workers: 1,
        max_pixels: 1 << 20,
        precision,
    }
}

fn records() -> Vec<ImageRecord> {
    let record = |image: i64| ImageRecord {
        path: PathBuf::from(format!("{image}.jpg")),
        pid: Pid(image / 2),
        camid: None,
    };
    (0..8).map(record).collect()
}

/// Images that differ from step to step and from identity to identity.
fn batch(step: usize) -> TrainBatch {
    let shape = [8, 3, 32, 32];
    let value = |index: usize| {
        let (image, pixel) = (index / (3 * 32 * 32), index % (3 * 32 * 32));
        let mixed = (index + 31 * step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40; // 24 bits
        let noise = mixed as f32 / (1 << 24) as f32 - 0.5;
        (pixel as f32 * 0.01 * (image / 2 + 1) as f32).sin() + noise
    };
    TrainBatch {
        images: (0..shape.iter().product()).map(value).collect(),
        shape,
        labels: (0..8).map(|image| image / 2).collect(),
        pids: (0..8).map(|image| Pid(image / 2)).collect(),
        camids: vec![None; 8],
        is_real: vec![true; 8],
    }
}

/// Total losses of these steps.
fn run(trainer: &mut Trainer, steps: std::ops::Range<usize>) -> Vec<f64> {
    steps.map(|step| step::step(trainer, batch(step), LR).terms.total).collect()
}

/// Weights and Adam's state, without the running statistics of the norms.
fn learned(trainer: &Trainer) -> Tensors {
    let mut tensors = weights::collect(&trainer.model);
    tensors.retain(|name, _| !name.contains("running_"));
    tensors.extend(trainer.optimizer.state());
    tensors
}

fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    difference / norm(&mut b.iter().map(|&b| f64::from(b)))
}

/// The gradient of this tensor in the first step, as Adam keeps it.
fn gradient(trainer: &Trainer, name: &str) -> Vec<f32> {
    trainer.optimizer.state()[&format!("adam.m.{name}")].values.clone()
}

#[test]
fn half_precision_follows_the_steps_of_f32_as_far_as_its_digits_go() {
    // The first has only the classifier behind it. Up to the last, rounding has flipped ReLUs.
    let ends = ["bn.weight", "backbone.base.conv1.weight"];
    let mut single = trainer(Precision::F32);
    let mut expected = run(&mut single, 0..1);
    let gradients = ends.map(|name| gradient(&single, name));
    expected.extend(run(&mut single, 1..4));
    let errors = |precision: Precision| {
        let mut half = trainer(precision);
        let mut losses = run(&mut half, 0..1);
        let of_gradients = [0, 1].map(|i| relative_error(&gradient(&half, ends[i]), &gradients[i]));
        losses.extend(run(&mut half, 1..4));
        let of_losses =
            losses.iter().zip(&expected).map(|(loss, exact)| (loss / exact - 1.0).abs());
        (of_gradients, of_losses.fold(0.0, f64::max))
    };
    let (bf16, f16) = (errors(Precision::Bf16), errors(Precision::F16));
    let text = format!("bf16 {bf16:?}, f16 {f16:?}");
    assert!(bf16.0[0] < 0.06 && bf16.0[1] < 0.6 && bf16.1 < 0.04, "{text}");
    assert!(f16.0[0] < 0.01 && f16.0[1] < 0.2 && f16.1 < 0.005, "{text}");
    assert!(f16.0[0] < bf16.0[0] / 4.0 && f16.0[0] > 1e-4, "f16 has three digits more: {text}");
}

#[test]
fn a_step_without_finite_gradients_changes_nothing_and_halves_the_scale() {
    let mut trainer = trainer(Precision::F16);
    run(&mut trainer, 0..2);
    let before = learned(&trainer);
    let scale = |trainer: &Trainer| trainer.loss_scale.unwrap().factor();
    trainer.loss_scale = Some(LossScale::of(2f64.powi(60)));
    let step::Done { terms, stepped, .. } = step::step(&mut trainer, batch(2), LR);
    assert!(!stepped && terms.total.is_finite());
    assert_eq!((scale(&trainer), trainer.optimizer.steps()), (2f64.powi(59), 2));
    assert!(learned(&trainer) == before, "the step changed something");
    trainer.loss_scale = Some(LossScale::of(512.0));
    assert!(step::step(&mut trainer, batch(2), LR).stepped);
    assert_eq!((scale(&trainer), trainer.optimizer.steps()), (512.0, 3));
    assert!(learned(&trainer) != before, "the step changed nothing");
}

#[test]
fn a_run_goes_on_where_it_was_with_the_same_scale() {
    let mut whole = trainer(Precision::F16);
    whole.loss_scale = Some(LossScale::of(2f64.powi(40)));
    run(&mut whole, 0..2);
    let scale = whole.loss_scale;
    assert!(scale.unwrap().factor() < 2f64.powi(40), "nothing was skipped");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    whole.checkpoint(String::new()).unwrap().save(&path).unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    let of = |precision, checkpoint| {
        Trainer::resume(config(precision), records(), &Device::flex(), checkpoint).unwrap()
    };
    let mut resumed = of(Precision::F16, &checkpoint);
    assert_eq!(resumed.loss_scale, scale);
    assert_eq!(run(&mut whole, 2..5), run(&mut resumed, 2..5));
    assert!(learned(&whole) == learned(&resumed), "the weights differ");
    assert_eq!(whole.loss_scale, resumed.loss_scale);
    // Where there was none it starts anew, and where there is none to be it is left.
    assert_eq!(of(Precision::Bf16, &checkpoint).loss_scale, None);
    let single = trainer(Precision::F32).checkpoint(String::new()).unwrap();
    assert_eq!(of(Precision::F16, &single).loss_scale, Some(LossScale::default()));
}
