use std::fs;
use std::path::Path;

use assert_cmd::Command;

use crate::catalogue::{Shared, TINY};

/// A script of `scripts/` in an empty folder, with the command under test.
fn script(name: &str, folder: &Path) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name);
    let mut command = Command::new("bash");
    command.arg(path).current_dir(folder);
    command.env("CENTROIDS", assert_cmd::cargo::cargo_bin("centroids"));
    command
}

fn stdout(assert: assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
}

fn data_path() -> String {
    format!("--data_path={}", Shared::get().catalogue().display())
}

#[test]
fn the_performance_script_prints_and_keeps_the_ports_summary() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = script("train_performance.sh", folder.path());
    let text = stdout(command.arg(data_path()).args(TINY).assert());
    assert!(text.contains("step time: ") && text.contains("Final Train Accuracy : n/a"), "{text}");
    let logs = folder.path().join("logs/performance");
    assert_eq!(fs::read_to_string(logs.join("train.log")).unwrap(), text);
    let case = fs::read_to_string(logs.join("centroids-reid_bs4_1p_acc.log")).unwrap();
    assert!(case.starts_with("Network = centroids-reid\n"), "{case}");
}

#[test]
fn the_full_script_trains_evaluates_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let full = || {
        let mut command = script("train_full.sh", folder.path());
        command.args([&data_path(), "--output=run"]).args(TINY).args(["SOLVER.MAX_EPOCHS", "1"]);
        stdout(command.assert())
    };
    let text = full();
    let figure = |text: &str, name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" : "));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    };
    let accuracy = figure(&text, "Final Train Accuracy");
    assert!(accuracy > 0.0 && accuracy <= 1.0, "{text}");
    assert!(figure(&text, "Final Performance images/sec") > 0.0, "{text}");
    assert!(text.contains("E2E Training Duration sec : "), "{text}");
    let settings = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    for setting in ["names = \"DukeMTMC-reID\"", "base_lr = 0.00035", "use_resampling = false"] {
        assert!(settings.contains(setting), "{setting} is not in {settings}");
    }
    // A second call finds the run finished and shows its result again.
    assert_eq!(figure(&full(), "Final Train Accuracy"), accuracy);
}

#[test]
fn without_a_folder_they_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["train_performance.sh", "train_full.sh"] {
        for (argument, part) in [
            (None, "--data_path=DIR"),
            (Some("--data_path=nowhere"), "nowhere is not a folder"),
            (Some("--nonsense"), "unknown option --nonsense"),
            (Some("--data_path"), "needs a value"),
        ] {
            let assert = script(name, folder.path()).args(argument).assert().code(1);
            let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
            assert!(text.starts_with("error: ") && text.contains(part), "{name}: {text}");
        }
        let mut command = script(name, folder.path());
        command.env("MPIRUN", "echo not-mpirun");
        let assert = command.args([&data_path(), "--devices=8", "--device_id=2"]).assert();
        let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        let devices = "cuda:2,cuda:3,cuda:4,cuda:5,cuda:6,cuda:7,cuda:8,cuda:9";
        assert!(text.starts_with("not-mpirun -n 8 ") && text.contains(devices), "{name}: {text}");
        command.env("MPIRUN", "no-such-program");
        let assert = command.assert().code(1);
        let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert!(text.contains("several devices") && text.contains("MPIRUN"), "{name}: {text}");
    }
}
