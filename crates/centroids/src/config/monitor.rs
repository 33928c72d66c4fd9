//! What chooses the best checkpoint.

use centroids_core::{Report, Unit};

use super::Experiment;
use super::parts::setting;
use crate::Error;

/// A figure of an evaluation, and which of two values of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor {
    unit: Unit,
    figure: Figure,
    smallest: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Map,
    Minp,
    Rank(usize),
}

impl Monitor {
    /// The figure in the report of the unit, if that is among them.
    pub fn value(&self, reports: &[Report]) -> Option<f64> {
        let report = reports.iter().find(|report| report.unit == self.unit)?;
        Some(match self.figure {
            Figure::Map => report.map,
            Figure::Minp => report.minp,
            Figure::Rank(k) => report.rank(k),
        })
    }

    /// Whether `value` is better than all `others`.
    pub fn is_best(&self, value: f64, others: &[f64]) -> bool {
        others.iter().all(|&other| if self.smallest { value < other } else { value > other })
    }
}

impl Experiment {
    /// What chooses the best checkpoint of a run.
    ///
    /// # Errors
    /// An unknown `solver.monitor_metric_name` or `_mode`.
    pub fn monitor(&self) -> Result<Monitor, Error> {
        let name = self.solver.monitor_metric_name.as_str();
        let rank = || name.strip_prefix("Top-")?.parse().ok().filter(|k| *k > 0);
        let figure = match (name, rank()) {
            ("mAP", _) => Figure::Map,
            ("mINP", _) => Figure::Minp,
            (_, Some(k)) => Figure::Rank(k),
            _ => {
                let reason = "must be mAP, mINP, or Top-k with k from 1";
                return Err(setting("solver.monitor_metric_name", name, reason));
            }
        };
        let smallest = match self.solver.monitor_metric_mode.as_str() {
            "max" => false,
            "min" => true,
            other => {
                return Err(setting("solver.monitor_metric_mode", other, "must be max or min"));
            }
        };
        let unit = if self.model.use_centroids { Unit::Centroid } else { Unit::Instance };
        Ok(Monitor { unit, figure, smallest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor(pairs: &[&str]) -> Result<Monitor, Error> {
        Experiment::default().with_pairs(pairs)?.monitor()
    }

    #[test]
    fn the_reference_watches_the_instance_map() {
        let watched = monitor(&[]).unwrap();
        let wanted = Monitor { unit: Unit::Instance, figure: Figure::Map, smallest: false };
        assert_eq!(watched, wanted);
        assert!(watched.is_best(0.5, &[]) && watched.is_best(0.5, &[0.4]));
        assert!(!watched.is_best(0.5, &[0.5]) && !watched.is_best(0.5, &[0.4, 0.6]));
    }

    #[test]
    fn other_figures_can_be_named() {
        let pairs = ["SOLVER.MONITOR_METRIC_NAME", "Top-10", "MODEL.USE_CENTROIDS", "True"];
        let watched = monitor(&pairs).unwrap();
        assert_eq!((watched.unit, watched.figure), (Unit::Centroid, Figure::Rank(10)));
        assert!(monitor(&["SOLVER.MONITOR_METRIC_MODE", "min"]).unwrap().is_best(1.0, &[2.0]));
        for wrong in [["NAME", "Top-0"], ["NAME", "accuracy"], ["MODE", "high"]] {
            let key = format!("SOLVER.MONITOR_METRIC_{}", wrong[0]);
            assert!(monitor(&[&key, wrong[1]]).is_err(), "{wrong:?}");
        }
    }
}
