//! The experiment: every setting of a run, read from TOML or YAML, checked, and written back into
//! the run.
//!
//! Keys are those of the reference in lower case (`solver.base_lr`), and its spelling
//! (`SOLVER.BASE_LR`) is read too, so that its YAML files and its trailing `KEY VALUE` pairs work
//! unchanged. Keys that it never reads itself are noted. Defaults are the reference's, but for
//! `repeats` (1 instead of 3) and `use_mixed_precision` (off).

mod monitor;
mod overlay;
mod parts;
mod reference;
mod sections;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use monitor::Monitor;
pub use sections::{
    DataloaderSection, DatasetSection, InputSection, ModelSection, SolverSection, TestSection,
};

use crate::Error;

/// All settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Seed of weights, sampler and augmentation.
    pub seed: u64,
    /// Runs with the seeds `seed`, `seed + 1`, …
    pub repeats: usize,
    /// Device: `cpu`, `cuda:0`, …; with commas between them several, one for each process.
    pub device: String,
    /// Half precision in the convolutions and the classifier while training.
    pub use_mixed_precision: bool,
    /// With `use_mixed_precision`: `f16` (the reference; the loss is scaled) or `bf16`.
    pub half_type: String,
    /// Run folder; empty = `runs/<name of the dataset>`.
    pub output_dir: PathBuf,
    /// MLflow folder (`mlruns`) that gets the run too; empty = none.
    pub mlflow_dir: PathBuf,
    /// The network.
    pub model: ModelSection,
    /// Images and augmentation.
    pub input: InputSection,
    /// Where the images are.
    pub datasets: DatasetSection,
    /// How batches are made.
    pub dataloader: DataloaderSection,
    /// Losses, optimisers, schedule.
    pub solver: SolverSection,
    /// Evaluation.
    pub test: TestSection,
    /// What there is to say about the settings read: keys without effect, devices that are missing.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Default for Experiment {
    fn default() -> Experiment {
        Experiment {
            seed: 0,
            repeats: 1,
            device: "cpu".to_owned(),
            use_mixed_precision: false,
            half_type: "f16".to_owned(),
            output_dir: PathBuf::new(),
            mlflow_dir: PathBuf::new(),
            model: ModelSection::default(),
            input: InputSection::default(),
            datasets: DatasetSection::default(),
            dataloader: DataloaderSection::default(),
            solver: SolverSection::default(),
            test: TestSection::default(),
            notes: Vec::new(),
        }
    }
}

impl Experiment {
    /// Reads a TOML file, or a YAML file (`.yml`, `.yaml`), over the defaults. Relative paths are
    /// meant from the working folder, as on a command line.
    ///
    /// # Errors
    /// A missing or malformed file, an unknown key (with the nearest known one), a wrong type.
    pub fn read(path: &Path) -> Result<Experiment, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let yaml =
            path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        let experiment =
            if yaml { Experiment::parse_yaml(&text) } else { Experiment::parse(&text) };
        experiment.map_err(|source| Error::Config { path: path.to_owned(), source: source.into() })
    }

    /// [`Experiment::read`] from TOML.
    ///
    /// # Errors
    /// See there.
    pub fn parse(text: &str) -> Result<Experiment, Error> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| Error::Syntax {
            format: "TOML",
            reason: error.to_string().trim_end().to_owned(),
        })?;
        Experiment::default().overlaid(&table)
    }

    /// [`Experiment::read`] from YAML.
    ///
    /// # Errors
    /// See there.
    pub fn parse_yaml(text: &str) -> Result<Experiment, Error> {
        let table: toml::Table = serde_saphyr::from_str(text).map_err(|error| {
            // A picture of the place follows in further lines.
            let (message, advice) = (error.to_string(), ", set DuplicateKeyPolicy");
            let line = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let reason = line.split(advice).next().unwrap_or_default().to_owned();
            Error::Syntax { format: "YAML", reason }
        })?;
        Experiment::default().overlaid(&table)
    }

    /// Applies `KEY VALUE` pairs as the reference takes them: `SOLVER.BASE_LR 3.5e-4`.
    ///
    /// Values are TOML or Python literals (`True`, `(40, 70)`), anything else is a string.
    ///
    /// # Errors
    /// A key without value, an unknown key, a wrong type.
    pub fn with_pairs<S: AsRef<str>>(self, pairs: &[S]) -> Result<Experiment, Error> {
        pairs.chunks(2).try_fold(self, |experiment, pair| match pair {
            [key, value] => experiment.overlaid(&overlay::pair(key.as_ref(), value.as_ref())),
            rest => Err(Error::PairWithoutValue { key: rest[0].as_ref().to_owned() }),
        })
    }

    /// The experiment as TOML, complete.
    ///
    /// # Errors
    /// What TOML cannot hold: paths that are not UTF-8, numbers above `i64::MAX`.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self)
            .map_err(|error| Error::Syntax { format: "TOML", reason: error.to_string() })
    }

    /// What a user may not expect of the precision that is asked for.
    pub fn precision_note(&self) -> Option<&'static str> {
        match (self.use_mixed_precision, self.device.starts_with("cpu")) {
            (true, true) => Some(
                "the CPU rounds to half precision and computes in f32: the results are those of \
                 mixed precision, the speed is not",
            ),
            (false, _) if self.half_type == "bf16" => {
                Some("half_type has no effect without use_mixed_precision")
            }
            _ => None,
        }
    }

    fn overlaid(mut self, table: &toml::Table) -> Result<Experiment, Error> {
        let mut notes = std::mem::take(&mut self.notes);
        let wrong = |reason: String| Error::Syntax { format: "TOML", reason };
        let mut all = toml::Table::try_from(&self).map_err(|error| wrong(error.to_string()))?;
        notes.extend(overlay::apply(&mut all, table)?);
        let experiment: Experiment =
            all.try_into().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
        Ok(Experiment { notes, ..experiment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_survive_toml() {
        let experiment = Experiment::default();
        assert_eq!(Experiment::parse(&experiment.to_toml().unwrap()).unwrap(), experiment);
    }

    #[test]
    fn both_spellings_are_read_and_integers_become_floats() {
        let text = "[solver]\nbase_lr = 1\nGAMMA = 0.5\n";
        let experiment = Experiment::parse(text).unwrap();
        assert_eq!((experiment.solver.base_lr, experiment.solver.gamma), (1.0, 0.5));
    }

    #[test]
    fn pairs_follow_the_reference() {
        let pairs = ["SOLVER.LR_STEPS", "(8,14)", "INPUT.SIZE_TEST", "[64, 32]"];
        let more = ["DATASETS.ROOT_DIR", "/data/x", "SOLVER.USE_WARMUP_LR", "False"];
        let experiment =
            Experiment::default().with_pairs(&pairs).unwrap().with_pairs(&more).unwrap();
        assert_eq!(experiment.solver.lr_steps, [8, 14]);
        assert_eq!(experiment.input.size_test, [64, 32]);
        assert_eq!(experiment.datasets.root_dir, Path::new("/data/x"));
        assert!(!experiment.solver.use_warmup_lr);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| Experiment::parse(text).unwrap_err().to_string();
        assert!(message("[solver]\nbase_lrr = 1.0").contains("`solver.base_lr`"));
        assert!(message("[sovler]\nbase_lr = 1.0").contains("`solver.base_lr`"));
        assert!(message("[solver]\nbase_lr = \"fast\"").contains("solver.base_lr"));
        assert!(message("[solver]\nmax_epochs = 1.5").contains("whole number"));
        assert!(message("[solver]\nmax_epochs = -1").contains("max_epochs"));
        assert!(message("[input]\nsize_train = [64]").contains("size_train"));
        assert!(message("[solver]\nbase_lr = 1\nBASE_LR = 2").contains("twice"));
        assert!(message("[solver]\n[SOLVER]\n").contains("twice"));
        assert!(message("solver = 3").contains("`solver`"));
        assert!(Experiment::default().with_pairs(&["SEED"]).is_err());
        assert!(message("[model.name]\nx = 1").contains("`model.name.x`"));
        assert!(message("GPU_IDS = [0, -1]").contains("e.g. [0]"));
        assert!(message("[solver]\noptimizer_name = \"SGD\"").contains("\"Adam\""));
        let yaml = |text: &str| Experiment::parse_yaml(text).unwrap_err().to_string();
        assert!(yaml("SOLVER:\n  BASE_LRR: 1").contains("`solver.base_lr`"));
        assert!(yaml("SOLVER: [").contains("not valid YAML"));
        assert!(yaml("- 1").contains("not valid YAML"));
        let twice = yaml("MODEL:\n  NAME: a\n  NAME: b\n");
        assert_eq!(twice, "not valid YAML: line 3 column 3: duplicate mapping key: NAME");
    }

    #[test]
    fn several_gpus_are_a_device_for_each_process() {
        let devices = |ids: &str| {
            let experiment = Experiment::default().with_pairs(&["GPU_IDS", ids]).unwrap();
            experiment.devices().unwrap().len()
        };
        assert_eq!(["[]", "[0]", "[0, 1, 2]"].map(devices), [1, 1, 3]);
        let experiment = Experiment { device: "cpu,npu".to_owned(), ..Experiment::default() };
        assert!(experiment.check().unwrap_err().to_string().contains("`npu`"));
    }

    /// Both files of the reference have these keys; it wrote the numbers so that PyYAML reads texts.
    #[test]
    fn the_references_yaml_is_read() {
        let text = "MODEL:\n  PRETRAIN_PATH: './models/resnet50-19c8e357.pth'\n  NAME: resnet50\n  \
                    BACKBONE_EMB_SIZE: 2048\n  KEEP_CAMID_CENTROIDS: False\nINPUT:\n  SIZE_TRAIN: \
                    [320, 320]\nDATASETS:\n  NAMES: ('market1501', 'msmt17')\nSOLVER:\n  BASE_LR: \
                    1e-4\n  LR_STEPS: (40, 60)\n  MOMENTUM: 0.9\n  OPTIMIZER_NAME: Adam\n\
                    REPRODUCIBLE_NUM_RUNS: 3\nREPRODUCIBLE_SEED: 7\nTEST:\n  VISUALIZE: \"no\"\n";
        let experiment = Experiment::parse_yaml(text).unwrap();
        assert_eq!((experiment.repeats, experiment.seed), (3, 7));
        assert_eq!(experiment.input.size_train, [320, 320]);
        assert_eq!((experiment.solver.base_lr, experiment.solver.lr_steps), (1e-4, vec![40, 60]));
        assert_eq!(experiment.datasets.names, "market1501,msmt17");
        assert!(!experiment.model.keep_camid_centroids && !experiment.test.visualize);
        assert_eq!(experiment.notes.len(), 1, "{:?}", experiment.notes);
        assert!(experiment.notes[0].contains("solver.momentum"));
    }

    #[test]
    fn a_text_stays_one_where_a_text_is_wanted() {
        let pairs =
            ["OUTPUT_DIR", "2024", "DATASETS.NAMES", "'DukeMTMC-reID'", "TEST.VISUALIZE", "yes"];
        let more = ["SOLVER.BASE_LR", "1.", "SOLVER.MARGIN", ".5", "DATALOADER.DROP_LAST", "False"];
        let experiment =
            Experiment::default().with_pairs(&pairs).unwrap().with_pairs(&more).unwrap();
        assert_eq!(experiment.output_dir, Path::new("2024"));
        assert_eq!(experiment.datasets.names, "DukeMTMC-reID");
        assert_eq!((experiment.solver.base_lr, experiment.solver.margin), (1.0, 0.5));
        assert!(experiment.test.visualize && experiment.notes[0].contains("drop_last"));
    }
}
