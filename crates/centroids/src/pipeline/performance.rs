//! Training for the clock alone: no evaluation, no run folder, nothing saved.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use centroids_model::{StepReport, StepTerms, Workers};

use super::TrainEvent;
use super::train::{Observer, beginning, joined};
use crate::{Error, Experiment};

/// Steps at the start that no mean counts: caches and buffers fill in them. The NPU port leaves out
/// as many.
pub const WARM_UP_STEPS: usize = 4;

/// What [`measure_training`] measured; means are over the steps after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingSpeed {
    /// Steps, those of the warm-up too.
    pub steps: usize,
    /// Those of them that the optimisers left out: gradients that f16 could not hold.
    pub skipped: usize,
    /// Processes that trained together.
    pub processes: usize,
    /// Identities of a step (P of every process).
    pub identities: usize,
    /// Images of a step (K of every identity), mock ones too.
    pub images: usize,
    /// Mean seconds of a step: images to the device, forward, backward, both optimisers.
    pub step_seconds: f64,
    /// Those of them in which gradients went from process to process, with the wait for the slowest.
    pub exchange_seconds: f64,
    /// Mean seconds from the end of a step to the end of the next, so with the wait for the loader.
    pub cycle_seconds: f64,
    /// Loss terms of the last step.
    pub last: StepTerms,
    /// Seconds in all, from reading the dataset on.
    pub seconds: f64,
    /// Threads that compute in a process.
    pub threads: usize,
}

impl TrainingSpeed {
    /// What the NPU port calls FPS: identities per second, without loading.
    pub fn identities_per_second(&self) -> f64 {
        self.identities as f64 / self.step_seconds
    }

    /// Images per second, without loading.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.step_seconds
    }

    /// Images per second, with loading.
    pub fn images_per_second_with_loading(&self) -> f64 {
        self.images as f64 / self.cycle_seconds
    }
}

/// Trains for `solver.max_epochs`, or until `max_steps` are done, together with the other `workers`,
/// and measures it.
///
/// # Errors
/// As [`super::train`]; fewer steps than the warm-up has; [`Error::Interrupted`].
pub fn measure_training(
    experiment: &Experiment,
    max_steps: Option<usize>,
    workers: &Rc<dyn Workers>,
    stop: &AtomicBool,
    observer: &mut Observer<'_>,
) -> Result<TrainingSpeed, Error> {
    let begin = Instant::now();
    experiment.check()?;
    let dataset = joined(experiment)?;
    let mut trainer = beginning(experiment, &dataset, workers, observer)?;
    observer(TrainEvent::Ready {
        dataset: &dataset,
        num_classes: trainer.num_classes(),
        skipped: trainer.skipped_identities(),
        epoch: 0,
    });
    let (mut watch, enough) = (StopWatch::default(), AtomicBool::new(false));
    while !trainer.finished() && !enough.load(Ordering::Relaxed) {
        trainer.run_epoch(&enough, &mut |step| {
            watch.step_ended(step);
            observer(TrainEvent::Step(step));
            let done = max_steps == Some(watch.steps) || stop.load(Ordering::Relaxed);
            enough.store(done, Ordering::Relaxed);
        })?;
    }
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    watch.speed(experiment, workers.size(), begin)
}

/// Times of the steps so far.
#[derive(Default)]
struct StopWatch {
    steps: usize,
    skipped: usize,
    /// Sum over the counted steps.
    step_seconds: f64,
    /// And those of the exchange.
    exchange_seconds: f64,
    /// Ends of the last step of the warm-up and of the last step.
    counted: Option<(Instant, Instant)>,
    last: Option<StepReport>,
}

impl StopWatch {
    fn step_ended(&mut self, step: &StepReport) {
        let now = Instant::now();
        self.steps += 1;
        self.skipped += usize::from(!step.stepped);
        self.last = Some(*step);
        if self.steps <= WARM_UP_STEPS {
            self.counted = Some((now, now));
        } else if let Some((_, end)) = &mut self.counted {
            *end = now;
            self.step_seconds += step.seconds;
            self.exchange_seconds += step.exchange_seconds;
        }
    }

    fn speed(
        self,
        experiment: &Experiment,
        processes: usize,
        begin: Instant,
    ) -> Result<TrainingSpeed, Error> {
        let (Some(last), Some((start, end)), true) =
            (self.last, self.counted, self.steps > WARM_UP_STEPS)
        else {
            let reason = format!(
                "gives {} steps with these images, and the first {WARM_UP_STEPS} only warm up; \
                 train more epochs",
                self.steps
            );
            let value = experiment.solver.max_epochs.to_string();
            return Err(Error::Setting { key: "solver.max_epochs", value, reason });
        };
        let counted = (self.steps - WARM_UP_STEPS) as f64;
        Ok(TrainingSpeed {
            steps: self.steps,
            processes,
            skipped: self.skipped,
            identities: last.images / experiment.dataloader.num_instance,
            images: last.images,
            step_seconds: self.step_seconds / counted,
            exchange_seconds: self.exchange_seconds / counted,
            cycle_seconds: (end - start).as_secs_f64() / counted,
            last: last.terms,
            seconds: begin.elapsed().as_secs_f64(),
            threads: rayon::current_num_threads(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(seconds: f64) -> StepReport {
        let terms = StepTerms { total: seconds, ..StepTerms::default() };
        StepReport {
            epoch: 0,
            step: 1,
            steps: 9,
            images: 64,
            lr: 0.0,
            terms,
            loss_scale: None,
            stepped: true,
            seconds,
            exchange_seconds: seconds / 4.0,
        }
    }

    #[test]
    fn the_first_four_steps_do_not_count() {
        let mut watch = StopWatch::default();
        for seconds in [100.0, 100.0, 100.0, 100.0, 0.125, 0.375] {
            watch.step_ended(&step(seconds));
        }
        let speed = watch.speed(&Experiment::default(), 2, Instant::now()).unwrap();
        assert_eq!((speed.steps, speed.identities, speed.images), (6, 16, 64));
        assert_eq!(
            (speed.step_seconds, speed.exchange_seconds, speed.last.total),
            (0.25, 0.0625, 0.375)
        );
        assert_eq!((speed.identities_per_second(), speed.images_per_second()), (64.0, 256.0));
        assert!(speed.cycle_seconds < 1.0, "the clock ran for no second: {speed:?}");
    }

    #[test]
    fn too_few_steps_are_no_measurement() {
        let mut watch = StopWatch::default();
        (0..4).for_each(|_| watch.step_ended(&step(0.5)));
        let error = watch.speed(&Experiment::default(), 1, Instant::now()).unwrap_err().to_string();
        assert!(error.contains("max_epochs") && error.contains("4 steps"), "{error}");
    }
}
