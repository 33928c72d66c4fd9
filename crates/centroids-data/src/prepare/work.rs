//! Many independent jobs on threads, with progress and a way to break them off.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::ordered_workers::{Cancelled, OrderedWorkers};

/// Jobs begun beyond the one that is waited for: enough that a large picture does not stop the
/// others, few enough that their results are small.
const AHEAD: usize = 64;

/// Called after every job with what is done, how many jobs are done and how many there are; breaking
/// ends the work when the jobs begun are done.
pub type Progress<'a> = dyn FnMut(&'static str, usize, usize) -> ControlFlow<()> + 'a;

/// Does `work` for every job, results in the order of the jobs; `None` when broken off. A job is
/// known by its path.
///
/// # Errors
/// The first error of `work`; a panic of it.
pub(super) fn for_all<J, R>(
    what: &'static str,
    jobs: &Arc<Vec<J>>,
    threads: usize,
    work: impl Fn(&J) -> Result<R, Error> + Clone + Send + 'static,
    progress: &mut Progress<'_>,
) -> Result<Option<Vec<R>>, Error>
where
    J: AsRef<Path> + Send + Sync + 'static,
    R: Send + 'static,
{
    let worker = || {
        let (jobs, work) = (jobs.clone(), work.clone());
        move |index: usize, _: &Cancelled| work(&jobs[index])
    };
    let mut results = Vec::with_capacity(jobs.len());
    for result in OrderedWorkers::new(0..jobs.len(), threads, AHEAD, worker) {
        let path = jobs[results.len()].as_ref();
        results.push(result.map_err(|_| Error::WorkerPanicked { first: path.into() })??);
        if progress(what, results.len(), jobs.len()).is_break() {
            return Ok(None);
        }
    }
    Ok(Some(results))
}
