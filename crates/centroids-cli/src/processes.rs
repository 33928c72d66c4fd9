//! Several processes of one command: the first speaks, and where one fails, all end.

use std::process::ExitCode;
use std::rc::Rc;

use centroids::model::{Workers, alone};
use centroids::processes::launched;

use crate::output::Output;

/// Does the work together with the processes that a launcher started with this one, if it did.
#[cfg(not(feature = "mpi"))]
pub(crate) fn together(
    command: &str,
    output: &Output,
    work: impl FnOnce(&Rc<dyn Workers>, &Output) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let (processes, how) = (launched(), centroids::processes::how_to_start);
    anyhow::ensure!(
        processes == 1,
        "{processes} processes were started, but this binary works in one: {}",
        how(processes, command)
    );
    work(&alone(), output)
}

/// Does the work together with the processes that a launcher started with this one, if it did.
#[cfg(feature = "mpi")]
pub(crate) fn together(
    _: &str,
    output: &Output,
    work: impl FnOnce(&Rc<dyn Workers>, &Output) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    if launched() == 1 {
        return work(&alone(), output);
    }
    let speaker = *output;
    let mpi = Rc::new(centroids::processes::Mpi::start(move || {
        speaker.error(&anyhow::anyhow!(
            "another process does not answer, it hangs or is gone; the last checkpoint is kept, go \
             on with `centroids train --resume`"
        ));
        std::process::exit(1);
    })?);
    let workers: Rc<dyn Workers> = mpi.clone();
    let output = if workers.leads() { *output } else { output.mute() };
    match work(&workers, &output) {
        Ok(code) => {
            mpi.finish();
            Ok(code)
        }
        Err(error) => {
            // What all processes meet is said by the first, which then ends the others.
            if !workers.leads() {
                std::thread::sleep(std::time::Duration::from_secs(2));
            }
            let which = format!("process {} of {}", workers.rank() + 1, workers.size());
            output.error(&error.context(which));
            mpi.abort();
        }
    }
}
