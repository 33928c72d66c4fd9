use std::fs;
use std::path::{Path, PathBuf};

use centroids::Experiment;
use serde_json::Value;

use crate::catalogue::{Shared, TINY, centroids, everything, json, synth, train_command};

/// The keys of the reference's files, with the sizes of a test.
const YAML: &str = "\
MODEL:
  PRETRAIN_PATH: './models/resnet50-19c8e357.pth'
  PRETRAINED: False
  NAME: 'resnet18'
  BACKBONE_EMB_SIZE: 512
  KEEP_CAMID_CENTROIDS: True
INPUT:
  SIZE_TRAIN: [32, 32]
  SIZE_TEST: [32, 32]
DATALOADER:
  NUM_INSTANCE: 2
SOLVER:
  OPTIMIZER_NAME: 'Adam'
  MOMENTUM: 0.9
  MAX_EPOCHS: 1
  BASE_LR: 1e-4
  EVAL_PERIOD: 40
USE_MIXED_PRECISION: False
REPRODUCIBLE_NUM_RUNS: 2
";

/// Pictures of the first two queries.
const PICTURES: [&str; 4] = ["TEST.VISUALIZE", "yes", "TEST.VISUALIZE_MAX_NUMBER", "2"];

/// `centroids train` with the reference's words.
fn of_the_reference(folder: &Path, more: &[&str]) -> assert_cmd::Command {
    let config = folder.join("256_resnet50.yml");
    fs::write(&config, YAML).unwrap();
    let mut command = centroids(["train", "--config_file"]);
    command.arg(config).args(["GPU_IDS", "[0]", "DATASETS.NAMES", "market1501"]);
    command.arg("DATASETS.ROOT_DIR").arg(Shared::get().catalogue());
    command.args(["SOLVER.IMS_PER_BATCH", "4", "TEST.IMS_PER_BATCH", "8", "OUTPUT_DIR"]);
    command.arg(folder.join("logs")).args(more).arg("--json");
    command
}

fn last(run: &Path) -> PathBuf {
    run.join("checkpoints/last.safetensors")
}

#[test]
fn the_references_command_trains_with_several_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let output = of_the_reference(folder.path(), &["SOLVER.BASE_LR", "3.5e-4"]).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["solver.momentum has no effect", "gpu_ids has no effect", "run 2 of 2, seed 1"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("emb_size"), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let logs = folder.path().join("logs");
    for seed in 0..2 {
        let run = logs.join(format!("seed_{seed}"));
        let settings = Experiment::read(&run.join("config.toml")).unwrap();
        assert_eq!((settings.seed, settings.solver.base_lr), (seed, 3.5e-4));
        assert_eq!(result["runs"][seed as usize]["run"], run.to_str().unwrap());
    }
    let summary = &result["summary"];
    let written = fs::read_to_string(logs.join("summary.json")).unwrap();
    assert_eq!(*summary, serde_json::from_str::<Value>(&written).unwrap());
    let maps: Vec<f64> =
        (0..2).map(|run| result["runs"][run]["results"][0]["mAP"].as_f64().unwrap()).collect();
    let (mean, std) = ((maps[0] + maps[1]) / 2.0, (maps[0] - maps[1]).abs() / 2f64.sqrt());
    let close = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 1e-12;
    assert!(close(&summary[0]["mAP"]["mean"], mean) && close(&summary[0]["mAP"]["std"], std));

    // A second start is refused, continuing finished runs changes nothing.
    let before = everything(&logs);
    let again = of_the_reference(folder.path(), &[]).assert().code(1).get_output().clone();
    assert!(String::from_utf8(again.stderr).unwrap().contains("--resume"));
    let resumed = json([Path::new("train"), "--resume".as_ref(), &logs]);
    assert_eq!((&resumed["summary"], before), (summary, everything(&logs)));

    // A missing run is made up for.
    fs::remove_dir_all(logs.join("seed_1")).unwrap();
    let resumed = json([Path::new("train"), "--resume".as_ref(), &logs]);
    assert_eq!(resumed["summary"], *summary);
}

#[test]
fn a_checkpoint_is_tested_or_continued_with_the_references_keys() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = last(&Shared::get().run());
    let path = ["MODEL.PRETRAIN_PATH", checkpoint.to_str().unwrap()];
    let parsed = |mut command: assert_cmd::Command| -> Value {
        serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap()
    };
    let only_test = [&path[..], &["TEST.ONLY_TEST", "True"]].concat();
    let tested = parsed(of_the_reference(folder.path(), &only_test));
    let resume = [&path[..], &["MODEL.RESUME_TRAINING", "True"]].concat();
    let resumed = parsed(of_the_reference(folder.path(), &resume));
    assert_eq!(tested["results"], resumed["results"]);
    assert_eq!(tested["results"].as_array().unwrap().len(), 3);
    assert!(!folder.path().join("logs").exists());

    let copy = folder.path().join("alone.safetensors");
    fs::copy(checkpoint, &copy).unwrap();
    let path = ["MODEL.PRETRAIN_PATH", copy.to_str().unwrap(), "MODEL.RESUME_TRAINING", "True"];
    let refused = of_the_reference(folder.path(), &path).assert().code(1).get_output().clone();
    assert!(String::from_utf8(refused.stderr).unwrap().contains("in no run folder"));
    let empty = ["MODEL.PRETRAIN_PATH", "", "TEST.ONLY_TEST", "True"];
    let refused = of_the_reference(folder.path(), &empty).assert().code(1).get_output().clone();
    assert!(String::from_utf8(refused.stderr).unwrap().contains("MODEL.PRETRAIN_PATH"));
}

#[test]
fn identities_may_ignore_cameras_where_images_do_not() {
    let (folder, shared) = (tempfile::tempdir().unwrap(), Shared::get());
    let mut command = centroids(["train", "--json", "--output-dir"]);
    command.arg(folder.path().join("run")).arg("DATASETS.ROOT_DIR").arg(shared.catalogue());
    command.args(TINY).args(["SOLVER.MAX_EPOCHS", "1", "MODEL.KEEP_CAMID_CENTROIDS", "False"]);
    let output = command.assert().success().get_output().clone();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds = ["market", "any", "any"];
    assert_eq!(
        kinds.map(Value::from).to_vec(),
        *(0..3).map(|i| result["results"][i]["cameras"].clone()).collect::<Vec<_>>()
    );
}

#[test]
fn every_configuration_of_the_repository_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let files: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let experiment = Experiment::read(&file).unwrap_or_else(|error| panic!("{error}"));
        experiment.check().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(experiment.notes.is_empty(), "{}: {:?}", file.display(), experiment.notes);
    }
}

#[test]
fn several_datasets_train_together_and_each_is_tested() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["market1501", "DukeMTMC-reID"] {
        synth(&folder.path().join(name));
    }
    let run = folder.path().join("run");
    let names = ["DATASETS.NAMES", "('market1501', 'DukeMTMC-reID')", "SOLVER.MAX_EPOCHS", "1"];
    let mut command = train_command(folder.path(), &run, &[&names[..], &PICTURES].concat());
    let output = command.arg("--json").assert().success().get_output().clone();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("of 16 identities"), "8 of each: {said}");
    // Both catalogues are the same pictures.
    assert_eq!(result["results"], result["others"]["dukemtmcreid"]);
    assert_eq!(result["results"].as_array().unwrap().len(), 3);
    for unit in ["instance", "centroid"] {
        let pictures = everything(&run.join("visrank").join(unit));
        assert_eq!(pictures.len(), 3, "two queries and the page: {pictures:?}");
    }
    let mut annotated = train_command(folder.path(), &run, &["DATASETS.JSON_TRAIN_PATH", "x.json"]);
    let said = annotated.assert().code(1).get_output().stderr.clone();
    assert!(String::from_utf8(said).unwrap().contains("datasets.json_train_path"));
}
