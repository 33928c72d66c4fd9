//! Twelve whole training steps: losses of every step, tensors after the first and the last.

use burn::module::Module;
use burn::tensor::Tensor;
use centroids_model::Precision::F32;
use centroids_model::layers::Mode;
use centroids_model::loss::{LossConfig, Metric, TrainLabels, total_loss};
use centroids_model::weights::{self, map_tensors};
use centroids_model::{BackboneOptions, Device, ModelSpec, Optimizer, OptimizerConfig, ReidModel};
use serde_json::Value;

use crate::backbones::normalised;
use crate::formula::{self, plain_name};
use crate::support::{Array, Checks, Golden, Precision, section, values};

struct Run<'a> {
    manifest: &'a Value,
    entry: &'a Value,
    golden: &'a Golden,
    checks: &'a mut Checks,
    device: Device,
    precision: Precision,
}

impl Run<'_> {
    fn name(&self) -> &str {
        self.entry["name"].as_str().unwrap()
    }

    fn tensor(&self, name: &str) -> &Array {
        self.golden.get(&format!("{}.{name}", self.name()))
    }

    fn start(&self) -> ReidModel {
        let number = |key: &str| self.manifest[key].as_u64().unwrap();
        let backbone = BackboneOptions {
            backbone: self.manifest["model"].as_str().unwrap().parse().unwrap(),
            last_stride: number("last_stride") as usize,
            stem_relu: false,
        };
        let spec = ModelSpec { backbone, num_classes: number("num_classes") as usize };
        self.precision.of(map_tensors(ReidModel::new(spec, &self.device), |name, shape| {
            let neck = name.starts_with("bn.");
            (!neck).then(|| formula::tensor(plain_name(name), shape, number("seed")))
        }))
    }

    /// Rows of the pool; mock rows are zero after normalisation.
    fn batch(&self, pool: &Tensor<4>, step: usize, rows: usize) -> Tensor<4> {
        let indices = &self.tensor("indices").values[step * rows..][..rows];
        let real = indices.iter().map(|&i| if i < 0.0 { 0.0 } else { 1.0 }).collect();
        let real = Array { shape: vec![rows, 1, 1, 1], values: real };
        let indices: Vec<usize> = indices.iter().map(|&i| i.max(0.0) as usize).collect();
        pool.clone().select(0, crate::support::ints(&indices, &self.device))
            * real.tensor(&self.device, self.precision)
    }

    fn check_term(&mut self, step: usize, key: &str, ours: Tensor<1>) {
        let record = match self.precision {
            Precision::Single => "float32",
            Precision::Double => "float64",
        };
        let theirs = self.entry[record][key][step].as_f64().unwrap();
        // Rounding grows tenfold from some step on; when that begins is chance, so the largest drift
        // of the recorded run counts, not that of the step.
        let drifts = self.entry["drift_per_step"][key].as_array().unwrap().iter();
        let drift = drifts.map(|drift| drift.as_f64().unwrap()).fold(0.0, f64::max);
        let atol = match (self.precision, step) {
            (Precision::Double, _) => 1e-7 * theirs.abs().max(1.0),
            (Precision::Single, 0) => 2e-5 * theirs.abs(),
            (Precision::Single, _) => (10.0 * drift).max(1e-4 * theirs.abs()),
        };
        let what = format!("{} {:?} step {step} {key}", self.name(), self.precision);
        self.checks.close(&what, &values(ours), &[theirs], atol);
    }

    fn check_state(&mut self, when: &str, model: &ReidModel) {
        for (name, array) in weights::collect(model) {
            let ours: Vec<f64> = array.values.iter().map(|&v| f64::from(v)).collect();
            let key = format!("{when}.{name}");
            if let Some(theirs) = self.golden.find(&format!("{}.{key}", self.name())) {
                let theirs = theirs.values.clone();
                self.check_tensor(&key, &ours, &theirs);
            }
        }
    }

    fn check_tensor(&mut self, key: &str, ours: &[f64], theirs: &[f64]) {
        let atol = self.entry["tolerance"][key]["atol"].as_f64().unwrap();
        let what = format!("{} {key}", self.name());
        self.checks.close(&what, ours, theirs, atol);
    }

    fn run(mut self) {
        let pool = normalised(self.golden.get("pool_images"), &self.device, self.precision);
        let rows = self.tensor("labels").shape[1];
        let k = self.manifest["K"].as_u64().unwrap() as usize;
        let config = LossConfig {
            metric: match self.entry["distance"].as_str() {
                Some("cosine") => Metric::Cosine,
                _ => Metric::Euclidean,
            },
            ..LossConfig::default()
        };
        let optimizer = OptimizerConfig { weight_decay: 5e-4, center_lr: 0.5, center_weight: 5e-4 };
        let mut optimizer = Optimizer::new(optimizer);
        let mut model = self.start();
        let steps = self.tensor("labels").shape[0];
        for step in 0..steps {
            let row = |name: &str| Array {
                shape: vec![rows],
                values: self.tensor(name).values[step * rows..][..rows].to_vec(),
            };
            let labels =
                TrainLabels { labels: row("labels").indices(), is_real: row("is_real").bools(), k };
            let lr = self.entry["float64"]["lr"][step].as_f64().unwrap();
            let features = model.features(self.batch(&pool, step, rows), Mode::Train(F32));
            let terms = total_loss(features, model.head(), &labels, &config, F32);
            let gradients = terms.total.backward();
            model = optimizer.step(model, gradients, lr);
            self.check_term(step, "total", terms.total);
            self.check_term(step, "query_xent", terms.query_xent);
            self.check_term(step, "query_triplet", terms.query_triplet);
            self.check_term(step, "query_center_weighted", terms.query_center);
            self.check_term(step, "centroid_triplet", terms.centroid_triplet.unwrap());
            self.check_term(step, "dist_ap", terms.dist_ap);
            self.check_term(step, "dist_an", terms.dist_an);
            self.check_term(step, "l2_mean_centroid", terms.l2_mean_centroid.unwrap());
            if step == 0 {
                self.check_state("after_step1", &model);
            }
        }
        self.check_state("final", &model);
        let model = model.valid();
        let test = self.golden.get("test_images");
        let test = normalised(test, &Device::flex(), self.precision);
        let feature = values(model.features(test.clone(), Mode::Eval));
        let embedding = values(model.embed(test));
        for (key, ours) in [("final_test_feature", feature), ("final_test_embedding", embedding)] {
            let theirs = self.tensor(key).values.clone();
            self.check_tensor(key, &ours, &theirs);
        }
    }
}

#[test]
fn trajectories_equal_the_reference() {
    let Some(section) = section("train") else {
        return;
    };
    let golden = section.tensors(section.manifest["file"].as_str().unwrap());
    let mut checks = Checks::default();
    for entry in section.entries() {
        for precision in Precision::BOTH {
            Run {
                manifest: &section.manifest,
                entry,
                golden: &golden,
                checks: &mut checks,
                device: Device::flex().autodiff(),
                precision,
            }
            .run();
        }
    }
    checks.finish();
}
