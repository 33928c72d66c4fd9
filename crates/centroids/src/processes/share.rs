//! Which worker of how many this process is, as a scheduler or a launcher says.

use std::fmt;

use crate::Error;

/// One worker's share of work that is cut into parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which worker, from 0.
    pub rank: usize,
    /// Of how many.
    pub size: usize,
    /// What says so, for people.
    pub source: String,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} of {} ({})", self.rank, self.size, self.source)
    }
}

/// A launcher's or scheduler's way of saying it.
struct Convention {
    rank: &'static str,
    size: &'static str,
}

const SLURM_STEP: Convention = Convention { rank: "SLURM_PROCID", size: "SLURM_NTASKS" };
const OPEN_MPI: Convention =
    Convention { rank: "OMPI_COMM_WORLD_RANK", size: "OMPI_COMM_WORLD_SIZE" };
const RANK: Convention = Convention { rank: "RANK", size: "WORLD_SIZE" };

impl Share {
    /// Reads `i/n`, worker `i` of `n`, counted from 0.
    ///
    /// # Errors
    /// [`Error::Processes`]
    pub fn parse(text: &str) -> Result<Self, Error> {
        let numbers =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let wrong = || refuse(format!("--shard {text}: want i/n, worker i of n, i from 0"));
        let (rank, size) = numbers.ok_or_else(wrong)?;
        Self::new(rank, size, "--shard".to_owned())
    }

    /// What the variables of a scheduler or launcher say, the first in this order: a Slurm job array,
    /// `mpirun` of Open MPI, a Slurm step, an Indexed Job of Kubernetes (of as many pods as there are
    /// `shards`), `RANK` and `WORLD_SIZE`. One that speaks of a single process says nothing beside
    /// another. Without any the work is not shared.
    ///
    /// # Errors
    /// [`Error::Processes`]: variables that are incomplete, no numbers, or contradict each other.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        shards: usize,
    ) -> Result<Self, Error> {
        let found: Vec<Self> = [
            slurm_array(&variable)?,
            pair(&variable, &OPEN_MPI)?,
            slurm_step(&variable)?,
            kubernetes(&variable, shards)?,
            pair(&variable, &RANK)?,
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut several = found.iter().filter(|share| share.size > 1);
        let first = several.next();
        if let Some(first) = first
            && let Some(other) = several.find(|other| !first.agrees_with(other))
        {
            return Err(refuse(format!("{first} contradicts {other}: say which with --shard i/n")));
        }
        let alone = || Self { rank: 0, size: 1, source: "no other".to_owned() };
        Ok(first.or(found.first()).cloned().unwrap_or_else(alone))
    }

    /// The parts of this worker: every `size`-th.
    pub fn parts(&self, shards: usize) -> Vec<usize> {
        (self.rank..shards).step_by(self.size).collect()
    }

    fn new(rank: usize, size: usize, source: String) -> Result<Self, Error> {
        match rank < size {
            true => Ok(Self { rank, size, source }),
            false => Err(refuse(format!("{source}: there is no worker {rank} among {size}"))),
        }
    }

    /// `mpirun` within a Slurm job passes on the variables of the step that it was started from.
    fn agrees_with(&self, other: &Self) -> bool {
        let within = self.source == OPEN_MPI.rank && other.source == SLURM_STEP.rank;
        within || (self.rank, self.size) == (other.rank, other.size)
    }
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn slurm_array(variable: Variables<'_>) -> Result<Option<Share>, Error> {
    let number = |name| number(variable, name);
    let [id, count] = ["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"];
    let Some((task, tasks)) = both(variable, id, count)? else {
        return Ok(None);
    };
    let min = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
    let max = number("SLURM_ARRAY_TASK_MAX")?.unwrap_or((min + tasks).saturating_sub(1));
    let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
    let even = (max.saturating_sub(min)) / step + 1 == tasks;
    if !even || task < min || !(task - min).is_multiple_of(step) {
        return Err(refuse(format!(
            "{id}={task} is one of {tasks} tasks from {min} to {max} with gaps, so its share is not \
             known: give --shard i/n"
        )));
    }
    Share::new((task - min) / step, tasks, id.to_owned()).map(Some)
}

/// A batch script has a rank, 0, but is a step of its own only under `srun`.
fn slurm_step(variable: Variables<'_>) -> Result<Option<Share>, Error> {
    let Convention { rank, size } = SLURM_STEP;
    match (number(variable, rank)?, number(variable, size)?) {
        (_, None) => Ok(None),
        (None, Some(1)) => Ok(None),
        (None, Some(tasks)) => Err(refuse(format!(
            "{size}={tasks}, but {rank} is not set: start with srun, or give --shard i/n"
        ))),
        (Some(task), Some(tasks)) => Share::new(task, tasks, rank.to_owned()).map(Some),
    }
}

fn kubernetes(variable: Variables<'_>, shards: usize) -> Result<Option<Share>, Error> {
    let name = "JOB_COMPLETION_INDEX";
    let index = number(variable, name)?;
    index.map(|index| Share::new(index, shards, name.to_owned())).transpose()
}

fn pair(
    variable: Variables<'_>,
    &Convention { rank, size }: &Convention,
) -> Result<Option<Share>, Error> {
    let numbers = both(variable, rank, size)?;
    numbers.map(|(which, of)| Share::new(which, of, rank.to_owned())).transpose()
}

/// Two variables that mean nothing without each other.
fn both(variable: Variables<'_>, a: &str, b: &str) -> Result<Option<(usize, usize)>, Error> {
    let lone = |there: &str, absent: &str| {
        refuse(format!("{there} is set, but not {absent}: set both, or give --shard i/n"))
    };
    match (number(variable, a)?, number(variable, b)?) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(lone(a, b)),
        (None, Some(_)) => Err(lone(b, a)),
    }
}

fn number(variable: Variables<'_>, name: &str) -> Result<Option<usize>, Error> {
    let Some(text) = variable(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let wrong = |_| refuse(format!("{name}={text} is no number: unset it, or give --shard i/n"));
    text.trim().parse().map(Some).map_err(wrong)
}

fn refuse(reason: String) -> Error {
    Error::Processes { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rank, size and source by `NAME=value` words, of 12 parts.
    fn share(variables: &str) -> Result<(usize, usize, String), String> {
        let value = |name: &str| {
            let mut words = variables.split_whitespace().filter_map(|word| word.split_once('='));
            words.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let share = Share::from_environment(value, 12).map_err(|error| error.to_string())?;
        Ok((share.rank, share.size, share.source))
    }

    fn said(variables: &str, rank: usize, size: usize, source: &str) {
        assert_eq!(share(variables), Ok((rank, size, source.to_owned())), "{variables}");
    }

    #[test]
    fn every_convention_is_understood() {
        said("", 0, 1, "no other");
        said("RANK=1 WORLD_SIZE=4", 1, 4, "RANK");
        said("OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4", 3, 4, "OMPI_COMM_WORLD_RANK");
        said("SLURM_PROCID=2 SLURM_NTASKS=3", 2, 3, "SLURM_PROCID");
        said("JOB_COMPLETION_INDEX=11", 11, 12, "JOB_COMPLETION_INDEX");
        said("SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_COUNT=4", 2, 4, "SLURM_ARRAY_TASK_ID");
    }

    #[test]
    fn an_array_may_begin_anywhere_and_go_in_steps() {
        let array = |id, min, max, step, count| {
            format!(
                "SLURM_ARRAY_TASK_ID={id} SLURM_ARRAY_TASK_MIN={min} SLURM_ARRAY_TASK_MAX={max} \
                 SLURM_ARRAY_TASK_STEP={step} SLURM_ARRAY_TASK_COUNT={count} SLURM_PROCID=0"
            )
        };
        said(&array(5, 3, 8, 1, 6), 2, 6, "SLURM_ARRAY_TASK_ID");
        said(&array(7, 3, 9, 2, 4), 2, 4, "SLURM_ARRAY_TASK_ID");
        // One task that is run again alone goes through everything that is not complete.
        said(&array(5, 5, 5, 1, 1), 0, 1, "SLURM_ARRAY_TASK_ID");
        assert!(share(&array(3, 0, 7, 1, 3)).unwrap_err().contains("with gaps"));
        assert!(share(&array(4, 3, 9, 2, 4)).unwrap_err().contains("with gaps"));
    }

    #[test]
    fn a_launcher_within_a_job_counts_and_one_process_says_nothing() {
        let one_task = "SLURM_PROCID=0 SLURM_NTASKS=1";
        said(&format!("{one_task} RANK=1 WORLD_SIZE=2"), 1, 2, "RANK");
        let mpirun = "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 SLURM_PROCID=0 SLURM_NTASKS=2";
        said(mpirun, 1, 2, "OMPI_COMM_WORLD_RANK");
        said("RANK=1 WORLD_SIZE=3 SLURM_PROCID=1 SLURM_NTASKS=3", 1, 3, "SLURM_PROCID");
        said("SLURM_PROCID=0", 0, 1, "no other");
        said("SLURM_NTASKS=1", 0, 1, "no other");
    }

    #[test]
    fn what_is_incomplete_or_contradicts_is_refused_by_name() {
        for (variables, parts) in [
            ("RANK=1", ["RANK is set", "not WORLD_SIZE"]),
            ("WORLD_SIZE=2", ["WORLD_SIZE is set", "not RANK"]),
            ("OMPI_COMM_WORLD_RANK=0", ["OMPI_COMM_WORLD_RANK is set", "--shard"]),
            ("SLURM_ARRAY_TASK_ID=0", ["SLURM_ARRAY_TASK_ID is set", "SLURM_ARRAY_TASK_COUNT"]),
            ("SLURM_NTASKS=2", ["SLURM_PROCID is not set", "srun"]),
            ("RANK=x WORLD_SIZE=2", ["RANK=x is no number", "--shard"]),
            ("RANK=2 WORLD_SIZE=2", ["RANK: there is no worker 2", "among 2"]),
            ("JOB_COMPLETION_INDEX=12", ["JOB_COMPLETION_INDEX", "among 12"]),
            (
                "RANK=0 WORLD_SIZE=2 JOB_COMPLETION_INDEX=0",
                ["worker 0 of 12 (JOB_COMPLETION_INDEX)", "worker 0 of 2 (RANK)"],
            ),
            (
                "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_PROCID=1 SLURM_NTASKS=2",
                ["worker 1 of 4 (SLURM_ARRAY_TASK_ID)", "worker 1 of 2 (SLURM_PROCID)"],
            ),
        ] {
            let message = share(variables).unwrap_err();
            assert!(parts.iter().all(|part| message.contains(part)), "{variables}: {message}");
        }
    }

    #[test]
    fn shares_cover_all_parts_once() {
        for (size, shards) in [(1, 5), (3, 7), (8, 3), (4, 4)] {
            let share = |rank| Share::parse(&format!("{rank}/{size}")).unwrap();
            let mut parts: Vec<usize> =
                (0..size).flat_map(|rank| share(rank).parts(shards)).collect();
            parts.sort_unstable();
            assert!(parts.into_iter().eq(0..shards));
        }
        for wrong in ["", "1", "2/2", "a/2", "1/0", "-1/2"] {
            assert!(Share::parse(wrong).unwrap_err().to_string().contains("--shard"), "{wrong}");
        }
    }
}
