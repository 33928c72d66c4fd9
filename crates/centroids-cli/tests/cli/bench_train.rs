use std::fs;

use crate::catalogue::{Shared, TINY, centroids, everything, synth};

/// `bench train` on the shared catalogue with the tiny network: P = 4, K = 2.
fn bench(more: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = centroids(["bench", "train", "--data"]);
    command.arg(Shared::get().catalogue()).args(TINY).args(more).assert()
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The numbers of every line of a step, after checking their names.
fn step_lines(text: &str) -> Vec<[f64; 6]> {
    let names = [
        "step time",
        "total_loss",
        "contrastive loss",
        "center loss",
        "xent_query",
        "contrastive loss query",
    ];
    let numbers = |line: &str| {
        let fields: Vec<(&str, &str)> =
            line.split(", ").map(|field| field.split_once(": ").unwrap()).collect();
        assert_eq!(fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        let number = |i: usize| {
            assert_eq!(fields[i].1.split_once('.').unwrap().1.len(), 3, "{line}");
            fields[i].1.parse().unwrap()
        };
        std::array::from_fn(number)
    };
    text.lines().filter(|line| line.starts_with("step time")).map(numbers).collect()
}

/// The number behind `name : `.
fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" : "));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn the_ports_lines_and_its_summary_agree() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("logs");
    let text = stdout(&bench(&["--steps", "9", "--out", out.to_str().unwrap()]).success());
    let steps = step_lines(&text);
    assert_eq!(steps.len(), 9, "{text}");
    for [seconds, total, parts @ ..] in &steps {
        assert!(*seconds > 0.0 && (total - parts.iter().sum::<f64>()).abs() < 4e-3, "{text}");
    }
    let counted = &steps[4..];
    let mean = counted.iter().map(|step| step[0]).sum::<f64>() / counted.len() as f64;
    let close = |a: f64, b: f64| (a - b).abs() <= 0.02 * b;
    let identities = figure(&text, "identities/s");
    assert!(close(identities, 4.0 / mean), "{identities} against {mean} s a step");
    assert_eq!(figure(&text, "Final Performance images/sec"), identities);
    assert!(close(figure(&text, "images/s"), 2.0 * identities), "K = 2: {text}");
    assert!(figure(&text, "images/s with data loading") <= figure(&text, "images/s") + 0.01);
    assert!(text.contains("Final Train Accuracy : n/a\n"), "{text}");
    assert!(figure(&text, "E2E Training Duration sec") >= (9.0 * mean).floor(), "{text}");

    let name = "centroids-reid_bs4_1p_acc";
    assert_eq!(everything(folder.path()).len(), 2);
    let log = fs::read_to_string(out.join(format!("{name}.log"))).unwrap();
    let fields: Vec<(&str, &str)> =
        log.lines().map(|line| line.split_once(" = ").unwrap()).collect();
    let value = |name: &str| fields.iter().find(|(key, _)| *key == name).unwrap().1;
    let names = "Network RankSize BatchSize DeviceType CaseName ActualFPS TrainingTime TrainAccuracy \
                 ActualLoss E2ETrainingTime";
    let found: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
    assert_eq!(found, names.split_whitespace().collect::<Vec<_>>());
    assert_eq!((value("CaseName"), value("BatchSize"), value("RankSize")), (name, "4", "1"));
    assert_eq!(value("ActualFPS").parse(), Ok(identities));
    assert_eq!(value("ActualLoss"), format!("{:.3}", steps[8][1]));
    assert!(close(value("TrainingTime").parse().unwrap(), 1000.0 * mean), "{log}");
}

#[test]
fn json_is_one_value_with_both_rates() {
    let text = stdout(&bench(&["--steps", "5", "--json"]).success());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let number = |key: &str| value[key].as_f64().unwrap();
    assert_eq!((number("steps"), number("images_per_step")), (5.0, 8.0));
    let ratio = number("images_per_second") / number("identities_per_second");
    assert!((ratio - 2.0).abs() < 1e-9 && value["accuracy"].is_null(), "{value}");
}

#[test]
fn several_datasets_train_together() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["market1501", "DukeMTMC-reID"] {
        synth(&folder.path().join(name));
    }
    let mut command = centroids(["bench", "train", "--steps", "5", "--data"]);
    command.arg(folder.path()).args(TINY);
    let names = ["DATASETS.NAMES", "('market1501', 'DukeMTMC-reID')"];
    let output = command.args(names).assert().success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("of 16 identities"), "8 of each: {said}");
}

#[test]
fn the_epochs_end_it_too() {
    let text = stdout(&bench(&["--epochs", "2"]).success());
    let per_epoch = step_lines(&text).len() / 2;
    assert!(per_epoch > 2, "{text}");
    let text = stdout(&bench(&["--epochs", "2", "--steps", "1000"]).success());
    assert!((step_lines(&text).len() / 2).abs_diff(per_epoch) <= 1, "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |more: &[&str], part: &str| {
        let output = bench(more).code(1).get_output().clone();
        let text = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<&str> =
            text.lines().filter(|line| !line.starts_with("training on")).collect();
        assert!(errors.len() == 1 && errors[0].contains(part), "{part}: {text}");
    };
    refused(&["--devices", "8"], "`mpirun -n 8 centroids bench train --devices 8 …`");
    let several = ["GPU_IDS", "[0,1]"];
    refused(&several, "2 devices want 2 processes, this is 1: ");
    refused(&["--epochs", "1", "SOLVER.IMS_PER_BATCH", "8"], "solver.max_epochs = 1: gives");
    refused(&["--epochs", "0"], "solver.max_epochs = 0");
    refused(&["SOLVER.NONSENSE", "1"], "nonsense");
    let output = centroids(["bench", "train", "--data", "/nowhere"]).assert().code(1);
    let text = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(text.starts_with("error: `/nowhere` does not exist"), "{text}");
    centroids(["bench", "train", "--data", "x", "--steps", "4"]).assert().code(2);
}
