//! Learning rates per epoch.

use centroids_model::{Decay, Schedule};
use serde_json::Value;

use crate::support::{Checks, beside_golden, section};

fn schedule(entry: &Value, defaults: &Value) -> Schedule {
    let option = |name: &str| {
        let options = entry["options"].as_object().unwrap();
        let found = options.iter().find(|(key, _)| {
            key.trim_end_matches(" (extension)").trim_start_matches("SOLVER.") == name
        });
        found.map(|(_, value)| value).or_else(|| defaults.get(name)).cloned()
    };
    let number = |name: &str, default: f64| option(name).map_or(default, |v| v.as_f64().unwrap());
    let warmup = option("USE_WARMUP_LR").is_none_or(|v| v.as_bool().unwrap());
    let decay = match option("LR_SCHEDULER_NAME").as_ref().and_then(Value::as_str) {
        Some("cosine_annealing") => Decay::Cosine {
            min_lr: number("MIN_LR", 0.0),
            max_epochs: number("MAX_EPOCHS", 0.0) as usize,
        },
        _ => Decay::MultiStep {
            milestones: serde_json::from_value(option("LR_STEPS").unwrap()).unwrap(),
            gamma: number("GAMMA", 0.0),
        },
    };
    Schedule {
        base_lr: number("BASE_LR", 1e-4),
        warmup_epochs: if warmup { number("WARMUP_EPOCHS", 0.0) as usize } else { 0 },
        decay,
    }
}

#[test]
fn learning_rates_equal_the_reference() {
    let Some(section) = section("schedule") else {
        return;
    };
    let mut checks = Checks::default();
    for entry in section.entries() {
        let schedule = schedule(entry, &section.manifest["defaults"]);
        // The reference cannot run its cosine schedule; ours is the closed form.
        let wanted = entry.get("lr_used").or_else(|| entry.get("lr_closed_form")).unwrap();
        for (epoch, lr) in wanted.as_array().unwrap().iter().enumerate() {
            let lr = lr.as_f64().unwrap();
            let what = format!("{} epoch {epoch}", entry["name"]);
            checks.close(&what, &[schedule.lr(epoch)], &[lr], 1e-12 * lr);
        }
    }
    checks.finish();
}

/// The reference logs the scheduler's rate before its warm-up has set it: epoch 0 shows the base
/// rate, and each epoch of the warm-up after it the rate of the epoch before.
fn logged(schedule: &Schedule, epoch: usize) -> f64 {
    match epoch {
        0 => schedule.base_lr,
        lagging if lagging < schedule.warmup_epochs => schedule.lr(epoch - 1),
        _ => schedule.lr(epoch),
    }
}

/// Nine public runs of the reference of 120 epochs each; columns run, dataset, amp, epoch, lr, ….
#[test]
fn learning_rates_equal_the_public_logs() {
    let Some(text) = beside_golden("reference-curves.csv") else {
        return;
    };
    let decay = Decay::MultiStep { milestones: vec![40, 70], gamma: 0.1 };
    let schedule = Schedule { base_lr: 3.5e-4, warmup_epochs: 10, decay };
    let (mut checks, mut epochs) = (Checks::default(), 0);
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let (epoch, lr) = (columns[3].parse().unwrap(), columns[4].parse::<f64>().unwrap());
        let what = format!("{} epoch {epoch}", columns[0]);
        checks.close(&what, &[logged(&schedule, epoch)], &[lr], 1e-12 * lr);
        epochs += 1;
    }
    assert_eq!(epochs, 9 * 120);
    checks.finish();
}
