//! Progress of long work: a bar on a terminal, lines elsewhere.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use centroids::core::Report;
use centroids::model::{EpochMetrics, StepReport};
use centroids::pipeline::TrainEvent;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::commands::evaluate::report_table;
use crate::output::Output;

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// Progress over a known number of things.
pub(crate) struct Counter<'a> {
    output: &'a Output,
    bar: ProgressBar,
    what: &'static str,
    total: usize,
    last_line: Instant,
}

impl<'a> Counter<'a> {
    pub(crate) fn new(output: &'a Output, what: &'static str, total: usize) -> Counter<'a> {
        let template = "{prefix} {bar:30} {pos}/{len}  {rate}  {eta} left";
        let bar = bar(output, total, template).with_prefix(what);
        Counter { output, bar, what, total, last_line: Instant::now() }
    }

    /// Shows how much is done; never breaks the work off.
    pub(crate) fn at(&mut self, done: usize) -> ControlFlow<()> {
        self.bar.set_position(done as u64);
        if !self.output.live() && self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            self.output.note(format!("{} {done}/{}", self.what, self.total));
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn bar(output: &Output, total: usize, template: &str) -> ProgressBar {
    if !output.live() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.1} images/s", state.per_sec());
        })
        .progress_chars("=> ");
    ProgressBar::new(total as u64).with_style(style)
}

/// Progress of a training.
pub(crate) struct Training<'a> {
    output: &'a Output,
    epochs: usize,
    bar: ProgressBar,
    /// For the time left: steps done since the start.
    start: Instant,
    steps: usize,
    /// For the rate: images seen since the epoch began.
    epoch_start: Instant,
    images: usize,
    last_line: Instant,
}

impl<'a> Training<'a> {
    pub(crate) fn new(output: &'a Output, epochs: usize) -> Training<'a> {
        let now = Instant::now();
        Training {
            output,
            epochs,
            bar: bar(output, 0, "{prefix} {bar:24} {pos}/{len}  {msg}"),
            start: now,
            steps: 0,
            epoch_start: now,
            images: 0,
            last_line: now,
        }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &TrainEvent<'_>) {
        match event {
            TrainEvent::Run { number, of, seed } => {
                self.steps = 0;
                self.say(format!("run {number} of {of}, seed {seed}"));
            }
            TrainEvent::Pretrained(import) => {
                self.say(format!("pretrained weights: {import}"));
                for notice in &import.notices {
                    self.say(format!("note: {}: {notice}", import.path.display()));
                }
            }
            TrainEvent::Ready { dataset, num_classes, skipped, epoch } => {
                let images = dataset.train.len();
                self.say(format!("training on {images} images of {num_classes} identities"));
                if *skipped > 0 {
                    self.say(format!("{skipped} identities have one image and are left out"));
                }
                if *epoch >= self.epochs {
                    self.say("all epochs are done; evaluating once more".to_owned());
                } else if *epoch > 0 {
                    self.say(format!("continuing after epoch {epoch}"));
                }
                self.start = Instant::now();
                self.begin_epoch();
            }
            TrainEvent::Step(step) => self.step(step),
            TrainEvent::Epoch { metrics, images_per_second } => {
                self.epoch(metrics, *images_per_second);
                self.begin_epoch();
            }
            TrainEvent::Embedding(done, total) => self.embedding(*done, *total),
            TrainEvent::Unreadable(reason) => self.say(format!("warning: left out: {reason}")),
            TrainEvent::Evaluated { epoch, reports, best } => {
                self.evaluated(*epoch, reports, *best);
                self.begin_epoch();
            }
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn begin_epoch(&mut self) {
        (self.epoch_start, self.images) = (Instant::now(), 0);
    }

    fn step(&mut self, step: &StepReport) {
        self.images += step.images;
        self.steps += 1;
        let left = step.steps - step.step + (self.epochs - step.epoch - 1) * step.steps;
        let eta = self.start.elapsed().div_f64(self.steps as f64).mul_f64(left as f64);
        let seconds = self.epoch_start.elapsed().as_secs_f64();
        let terms = &step.terms;
        let message = format!(
            "loss {:.3} (ce {:.3}, tri {:.3}, ctl {:.3}, cen {:.3})  {:.1} images/s  {} left",
            terms.total,
            terms.query_xent,
            terms.query_triplet,
            terms.centroid_triplet.unwrap_or(0.0),
            terms.query_center,
            self.images as f64 / seconds.max(1e-9),
            indicatif::HumanDuration(eta)
        );
        let prefix = format!("epoch {}/{}", step.epoch + 1, self.epochs);
        self.advance(prefix, "step", step.step, step.steps, message);
    }

    fn embedding(&mut self, done: usize, total: usize) {
        self.advance("evaluating".to_owned(), "image", done, total, String::new());
    }

    /// Moves the bar, or writes a line where there is none and it is time for one.
    fn advance(&mut self, prefix: String, what: &str, done: usize, total: usize, message: String) {
        if self.output.live() {
            self.bar.set_message(message);
            self.bar.set_prefix(prefix);
            self.bar.set_length(total as u64);
            self.bar.set_position(done as u64);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            let line = format!("{prefix}  {what} {done}/{total}  {message}");
            self.say(line.trim_end().to_owned());
        }
    }

    fn epoch(&mut self, metrics: &EpochMetrics, images_per_second: f64) {
        let (epoch, loss) = (metrics.epoch + 1, metrics.epoch_train_loss);
        let centroid = metrics.centroid_triplet.unwrap_or(0.0);
        let scale = match (metrics.loss_scale, metrics.skipped_steps) {
            (Some(scale), Some(skipped)) => {
                format!("  loss scale {scale}, {skipped} of {} steps skipped", metrics.steps)
            }
            _ => String::new(),
        };
        self.say(format!(
            "epoch {epoch:3}/{}  loss {loss:.4}  (cross entropy {:.4}, triplet {:.4}, centroid \
             triplet {centroid:.4}, centre {:.4})  lr {:.2e}  {images_per_second:.1} images/s{scale}",
            self.epochs,
            metrics.query_xent,
            metrics.query_triplet,
            metrics.query_center,
            metrics.lr
        ));
    }

    /// The last evaluation is the command's result and shown as such.
    fn evaluated(&mut self, epoch: usize, reports: &[Report], best: bool) {
        if epoch + 1 == self.epochs {
            return;
        }
        let best = if best { " (best so far)" } else { "" };
        let table = report_table(reports);
        self.say(format!("evaluation after epoch {}{best}\n{table}", epoch + 1));
    }

    fn say(&mut self, text: String) {
        self.bar.suspend(|| self.output.note(text));
        self.last_line = Instant::now();
    }
}
