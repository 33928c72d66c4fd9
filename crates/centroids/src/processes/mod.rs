//! Several processes of one command: those of MPI train together, others share out work by number.

#[cfg(feature = "mpi")]
mod mpi;

mod share;

#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use share::Share;

/// In how many processes a launcher (mpirun, srun) has started this program; 1 without one.
pub fn launched() -> usize {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let slurm = || std::env::var_os("PMIX_RANK").and_then(|_| number("SLURM_NTASKS"));
    number("OMPI_COMM_WORLD_SIZE").or_else(|| number("PMI_SIZE")).or_else(slurm).unwrap_or(1)
}

/// How to start a command in several processes.
pub fn how_to_start(processes: usize, command: &str) -> String {
    let build = match cfg!(feature = "mpi") {
        true => "",
        false => "build with `cargo build --release --workspace --features mpi` and ",
    };
    format!("{build}start with `mpirun -n {processes} centroids {command}`")
}
