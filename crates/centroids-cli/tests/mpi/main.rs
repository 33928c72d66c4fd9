//! Training in several processes, started as a user starts them: by mpirun.

#![expect(clippy::unwrap_used, reason = "a failing helper is a failing test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use centroids::model::Checkpoint;
use serde_json::Value;

/// A network and images that take no time; four identities of two images for all processes together.
const TINY: &str = "MODEL.NAME resnet18 INPUT.SIZE_TRAIN [16,16] INPUT.SIZE_TEST [16,16] \
    DATALOADER.NUM_INSTANCE 2 SOLVER.EVAL_PERIOD 0 SOLVER.MAX_EPOCHS 3 SOLVER.IMS_PER_BATCH";

/// No process waits longer for one that is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a catalogue in it, and the cores: one test at a time.
struct Place {
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Place {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Place { folder: tempfile::tempdir().unwrap(), _alone: alone };
        let sizes = "data synth --train-ids 8 --test-ids 4 --images-per-camera 2 --size 16 16";
        let output = place.command(1, sizes).arg(place.path("catalogue")).output().unwrap();
        success(&output);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command in so many processes, one thread each.
    fn command(&self, processes: usize, arguments: &str) -> Command {
        let program = assert_cmd::cargo::cargo_bin("centroids");
        let mut command = match processes {
            1 => Command::new(program),
            _ => {
                let mut command = Command::new("mpirun");
                command.args(["--oversubscribe", "--bind-to", "none", "-n"]);
                command.arg(processes.to_string()).arg(program);
                command
            }
        };
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        // Debian's Open MPI wants to be asked twice before it runs as root, as in a container.
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
            command.env(name, "1");
        }
        command.env("RAYON_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `train` into `run`, with P identities in each of so many processes and more settings.
    fn train(&self, run: &str, processes: usize, p: usize, more: &str) -> Command {
        let data = "DATASETS.ROOT_DIR catalogue";
        self.command(processes, &format!("train --output-dir {run} {data} {TINY} {p} {more}"))
    }

    /// The log without what depends on the clock.
    fn log(&self, run: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        let line = |line: &str| -> Value {
            let mut line: Value = serde_json::from_str(line).unwrap();
            for key in ["time", "seconds", "images_per_second"] {
                line.as_object_mut().unwrap().remove(key);
            }
            line
        };
        text.lines().map(line).collect()
    }

    fn last(&self, run: &str) -> Checkpoint {
        Checkpoint::load(&self.path(run).join("checkpoints/last.safetensors")).unwrap()
    }
}

fn success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn lines_of_errors(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect()
}

/// Process `rank` of the job that `mpirun` leads.
fn process(mpirun: u32, rank: usize) -> u32 {
    let children = fs::read_to_string(format!("/proc/{mpirun}/task/{mpirun}/children")).unwrap();
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    let is_it = |pid: &&str| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        environment.split(|&byte| byte == 0).any(|entry| entry == wanted.as_bytes())
    };
    children.split_whitespace().find(is_it).unwrap().parse().unwrap()
}

/// Starts it, sends a process of it the signal once the first epoch is in the log, and waits.
fn signal(command: &mut Command, metrics: &Path, rank: usize, signal: &str) -> Output {
    let child = command.spawn().unwrap();
    let begin = Instant::now();
    while fs::read_to_string(metrics).map_or(0, |text| text.lines().count()) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(120), "no epoch after two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = process(child.id(), rank).to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let begin = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < PATIENCE, "it hung for {:?}", begin.elapsed());
    output
}

#[test]
fn two_processes_learn_what_one_learns_from_both_batches() {
    let place = Place::new();
    let settings = "MODEL.FROZEN_NORM True SOLVER.GATHER_EMBEDDINGS True";
    success(&place.train("one", 1, 4, settings).output().unwrap());
    success(&place.train("two", 2, 2, settings).output().unwrap());
    let (one, two) = (place.log("one"), place.log("two"));
    assert_eq!((one.len(), two.len()), (4, 4), "three epochs and an evaluation");
    for (one, two) in one.iter().zip(&two).take(3) {
        assert_eq!(one["steps"], two["steps"]);
        for key in ["epoch_train_loss", "query_triplet", "centroid_triplet", "query_center"] {
            let (a, b) = (one[key].as_f64().unwrap(), two[key].as_f64().unwrap());
            assert!((a - b).abs() <= 1e-3 * a.abs().max(0.1), "{key}: {a} {b}");
        }
    }
    let (one, two) = (place.last("one"), place.last("two"));
    assert!(one.position.optimizer_steps > 10);
    assert_eq!(one.position.optimizer_steps, two.position.optimizer_steps);
    for (name, a) in &one.tensors {
        let norm = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
        };
        let mut pairs = a.values.iter().zip(&two.tensors[name].values);
        let (apart, size) =
            (norm(&mut pairs.by_ref().map(|(a, b)| a - b)), norm(&mut a.values.iter().copied()));
        let near_nothing = 1e-3 * (a.values.len() as f64).sqrt() * 1e-2;
        let weight = !name.starts_with("adam.");
        assert!(!weight || apart <= 1e-3 * size + near_nothing, "{name}: {apart} of {size}");
    }
}

#[test]
fn a_killed_process_ends_the_job_and_the_run_goes_on_to_the_same_figures() {
    let place = Place::new();
    success(&place.train("whole", 2, 2, "").output().unwrap());
    let metrics = place.path("killed/metrics.jsonl");
    for rank in [1, 0] {
        let _ = fs::remove_dir_all(place.path("killed"));
        let output = signal(&mut place.train("killed", 2, 2, ""), &metrics, rank, "-KILL");
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("exited on signal 9"), "{text}");
        assert!(place.log("killed").len() < place.log("whole").len());
        assert!(place.last("killed").position.epoch < 3, "a whole checkpoint of an unfinished run");
    }
    let mut copy = Command::new("cp");
    copy.args(["-r", "killed", "alone"]).current_dir(&place.folder);
    assert!(copy.status().unwrap().success());

    success(&place.command(2, "train --resume killed").output().unwrap());
    assert_eq!(place.log("killed"), place.log("whole"));
    let (killed, whole) = (place.last("killed"), place.last("whole"));
    assert!(killed.position == whole.position && killed.tensors == whole.tensors);

    success(&place.command(1, "train --resume alone").output().unwrap());
    let log = place.log("alone");
    assert_eq!(log.len(), 4);
    assert!(log[2]["steps"].as_u64() > place.log("whole")[2]["steps"].as_u64());
}

#[test]
fn a_signal_to_one_process_stops_all_after_their_step() {
    let place = Place::new();
    let metrics = place.path("stopped/metrics.jsonl");
    let mut train = place.train("stopped", 2, 2, "SOLVER.MAX_EPOCHS 50");
    let output = signal(&mut train, &metrics, 1, "-INT");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("go on with: centroids train --resume stopped"), "{text}");
    assert_eq!(output.status.code(), Some(130), "{text}");
    let position = place.last("stopped").position;
    assert!(position.epoch > 0 && position.epoch < 50 && position.processes == 2, "{position:?}");
}

#[test]
fn rates_are_those_of_all_processes() {
    let place = Place::new();
    let bench = "bench train --data catalogue --steps 6 --devices";
    let run = |processes, devices: &str, more: &str| {
        let arguments = format!("{bench} {devices} {TINY} 2 {more}");
        place.command(processes, &arguments).output().unwrap()
    };
    let output = run(2, "2", "--json");
    success(&output);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| value[key].as_f64().unwrap();
    assert_eq!((number("processes"), number("steps")), (2.0, 6.0));
    assert_eq!((number("identities_per_step"), number("images_per_step")), (4.0, 8.0));
    assert!(
        number("exchange_seconds") > 0.0 && number("exchange_seconds") < number("step_seconds")
    );
    let rate = number("images_per_step") / number("step_seconds");
    assert!((number("images_per_second") / rate - 1.0).abs() < 1e-9);

    let output = run(2, "2", "--out logs");
    success(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let steps = text.lines().filter(|line| line.starts_with("step time: ")).count();
    assert!(steps == 6 && text.contains("processes : 2"), "{text}");
    let log = fs::read_to_string(place.path("logs/centroids-reid_bs4_2p_acc.log")).unwrap();
    assert!(log.contains("RankSize = 2\nBatchSize = 4\n"), "{log}");

    for (processes, devices, hint) in [(2, "3", "mpirun -n 3 "), (1, "2", "mpirun -n 2 ")] {
        let output = run(processes, devices, "");
        let errors = lines_of_errors(&output);
        assert!(!output.status.success() && errors.len() == 1, "{errors:?}");
        assert!(errors[0].contains(hint), "{errors:?}");
    }
}

#[test]
fn queries_shared_among_processes_give_the_figures_of_one() {
    let place = Place::new();
    success(&place.train("run", 1, 4, "").output().unwrap());
    for split in ["query", "gallery"] {
        let arguments =
            format!("embed --model run catalogue --split {split} --out {split}.safetensors");
        success(&place.command(1, &arguments).output().unwrap());
    }
    let files = "evaluate --query query.safetensors --gallery gallery.safetensors --json";
    let figures = |processes, more: &str| {
        let output = place.command(processes, &format!("{files} {more}")).output().unwrap();
        success(&output);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value["results"].clone()
    };
    for question in ["--unit all --cameras all", "--preset paper-as-published"] {
        let one = figures(1, question);
        assert!(one[0]["mAP"].as_f64().unwrap() > 0.0, "{one}");
        for processes in [2, 3] {
            assert_eq!(figures(processes, question), one, "{processes} processes");
        }
    }
    let output = place.command(2, &format!("{files} --rerank")).output().unwrap();
    let errors = lines_of_errors(&output);
    assert!(!output.status.success() && errors.len() == 1, "{errors:?}");
    assert!(errors[0].contains("in one process"), "{errors:?}");
}

#[test]
fn what_all_processes_meet_is_said_once() {
    let place = Place::new();
    let output = place.train("run", 2, 5, "").output().unwrap();
    let errors = lines_of_errors(&output);
    assert!(!output.status.success() && errors.len() == 1, "{errors:?}");
    assert!(errors[0].contains("process 1 of 2") && errors[0].contains("lower P"), "{errors:?}");
    assert!(!place.path("run").exists());
    let output = place.train("run", 2, 2, "GPU_IDS [0,1,2]").output().unwrap();
    assert!(lines_of_errors(&output)[0].contains("3 devices want 3 processes"));
}
