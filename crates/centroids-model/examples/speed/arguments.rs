//! What can be typed.

use std::error::Error;
use std::path::PathBuf;

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Forward, cross entropy, backward, Adam.
    Train,
    /// [`centroids_model::Embedder::embed_batch`]
    Embed,
    /// A square matrix product, for the peak of the machine.
    Matmul,
}

impl Task {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Task::Train => "train",
            Task::Embed => "embed",
            Task::Matmul => "matmul",
        }
    }
}

/// The options with their values.
pub struct Arguments {
    pub task: Task,
    pub backbone: String,
    /// Images of a step or a batch.
    pub batch: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// Side of the matrices.
    pub side: usize,
    pub repeats: usize,
    pub threads: usize,
    /// Folder with `weights.safetensors` and `inputs.safetensors`; without it both are random.
    pub data: Option<PathBuf>,
    /// safetensors file for the results of one run.
    pub outputs: Option<PathBuf>,
    pub on_demand: bool,
    /// Print where the time of one more run goes.
    pub profile: bool,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
        let mut arguments = Arguments {
            task: Task::Embed,
            backbone: "resnet50".to_owned(),
            batch: 16,
            size: [256, 128],
            side: 2048,
            repeats: 5,
            threads: 2,
            data: None,
            outputs: None,
            on_demand: false,
            profile: false,
        };
        while let Some(option) = words.next() {
            match option.as_str() {
                "--on-demand" => arguments.on_demand = true,
                "--profile" => arguments.profile = true,
                _ => {}
            }
            if ["--on-demand", "--profile"].contains(&option.as_str()) {
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--task" => arguments.task = task(&value)?,
                "--backbone" => arguments.backbone = value,
                "--batch" => arguments.batch = number(&option, &value)?,
                "--size" => {
                    let (height, width) = value.split_once('x').ok_or("--size is HEIGHTxWIDTH")?;
                    arguments.size = [number(&option, height)?, number(&option, width)?];
                }
                "--side" => arguments.side = number(&option, &value)?,
                "--repeats" => arguments.repeats = number(&option, &value)?,
                "--threads" => arguments.threads = number(&option, &value)?,
                "--data" => arguments.data = Some(value.into()),
                "--outputs" => arguments.outputs = Some(value.into()),
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        Ok(arguments)
    }
}

fn task(name: &str) -> Result<Task, String> {
    [Task::Train, Task::Embed, Task::Matmul]
        .into_iter()
        .find(|task| task.name() == name)
        .ok_or_else(|| format!("--task {name}: known are train, embed, matmul"))
}

fn number(option: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{option} {text}: must be a number from 1")),
        Ok(number) => Ok(number),
    }
}
