//! Trains from a configuration file and prints what the command line would show as JSON.
//!
//!     cargo run --release --example train -- configs/omniglot.toml runs/omniglot SEED 0

use std::path::Path;
use std::sync::atomic::AtomicBool;

use centroids::model::alone;
use centroids::pipeline::{Outcome, TrainEvent};
use centroids::{Error, Experiment, train};

#[expect(clippy::print_stdout, reason = "an example shows its results")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, output, pairs @ ..] = arguments.as_slice() else {
        return Err("usage: train CONFIG OUTPUT_DIR [KEY VALUE]...".into());
    };
    let experiment = Experiment::read(Path::new(config))?.with_pairs(pairs)?;

    let mut observer = |event: TrainEvent<'_>| match event {
        TrainEvent::Epoch { metrics, images_per_second } => println!(
            "epoch {:3}  loss {:.4}  {images_per_second:.1} images/s",
            metrics.epoch + 1,
            metrics.epoch_train_loss
        ),
        TrainEvent::Evaluated { reports, .. } => {
            for report in reports {
                println!("{:9} mAP {:.4}  rank-1 {:.4}", report.unit, report.map, report.rank(1));
            }
        }
        _ => {}
    };
    let stop = AtomicBool::new(false);
    let result: Result<_, Error> =
        train(&experiment, Path::new(output), &alone(), &stop, &mut observer);
    let (run, outcome) = result?;
    if let Outcome::Finished { .. } = outcome {
        println!("{}", run.best().display());
    }
    Ok(())
}
