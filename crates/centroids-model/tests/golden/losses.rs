//! Losses, their gradients, and whole steps of both trainers on given features.

use burn::module::Module;
use burn::tensor::Tensor;
use centroids_model::Precision::F32;
use centroids_model::loss::{
    LossConfig, Margin, Method, Metric, TrainLabels, center_loss, cross_entropy, total_loss,
    triplet_loss,
};
use centroids_model::weights::{self, Array};
use centroids_model::{Device, Head, Optimizer, OptimizerConfig};
use serde_json::Value;

use crate::support::{Checks, Golden, Precision, section, values};

/// One case: its manifest entry and tensors.
struct Case<'a> {
    entry: &'a Value,
    golden: &'a Golden,
    device: Device,
    precision: Precision,
    checks: &'a mut Checks,
}

/// Allowed in double precision, relative to the largest value (or 1).
const DOUBLE_TOLERANCE: f64 = 1e-9;

impl Case<'_> {
    /// Compares with the golden tensor of that name, if the case has it.
    fn check(&mut self, name: &str, ours: &[f64]) {
        self.check_as(name, ours, |theirs| theirs.to_vec());
    }

    /// [`Case::check`] against what `view` makes of the golden values.
    fn check_as(&mut self, name: &str, ours: &[f64], view: fn(&[f64]) -> Vec<f64>) {
        let key = match self.precision {
            Precision::Single => name.to_owned(),
            Precision::Double => format!("{name}.f64"),
        };
        let Some(theirs) = self.golden.find(&key) else {
            return;
        };
        let largest = theirs.values.iter().fold(1.0, |max: f64, v| max.max(v.abs()));
        let atol = match self.precision {
            Precision::Single => {
                self.entry["tolerance"][name]["atol"].as_f64().unwrap_or(1e-6 * largest)
            }
            Precision::Double => DOUBLE_TOLERANCE * largest,
        };
        let what = format!("{} {:?} {name}", self.entry["file"], self.precision);
        self.checks.close(&what, ours, &view(&theirs.values), atol);
    }

    /// Gradients of features; mock rows share one vector, so only their sum is defined.
    fn check_feature_gradient(&mut self, name: &str, gradient: Tensor<2>, real: &[bool]) {
        let [_, d] = gradient.dims();
        let mut rows = values(gradient);
        let mut mock_sum = vec![0.0; d];
        for (row, _) in rows.chunks_exact_mut(d).zip(real).filter(|(_, real)| !**real) {
            mock_sum.iter_mut().zip(row.iter()).for_each(|(sum, value)| *sum += value);
            row.fill(0.0);
        }
        self.check(name, &rows);
        self.check(&format!("{name}_mock_sum"), &mock_sum);
    }

    fn leaf(&self, name: &str) -> Tensor<2> {
        self.golden.get(name).tensor(&self.device, self.precision).require_grad()
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.entry[name].as_f64()
    }

    fn metric(&self) -> Metric {
        match self.entry["distance"].as_str() {
            Some("cosine") => Metric::Cosine,
            _ => Metric::Euclidean,
        }
    }

    fn margin(&self) -> Margin {
        self.number("margin").map_or(Margin::Soft, Margin::Hard)
    }

    fn cross_entropy(mut self) {
        let logits = self.leaf("logits");
        let labels = self.golden.get("labels").indices();
        let epsilon = self.number("epsilon").unwrap();
        let loss = cross_entropy(logits.clone(), &labels, epsilon);
        let gradients = loss.backward();
        self.check("loss", &values(loss));
        self.check("grad_logits", &values(logits.grad(&gradients).unwrap()));
    }

    fn triplet(mut self) {
        let features = self.leaf("features");
        let labels = self.golden.get("labels").indices();
        let anchors =
            self.golden.find("mask").map_or(vec![true; labels.len()], |mask| mask.bools());
        let input = match self.entry["normalize_feature"].as_bool() {
            Some(true) => {
                features.clone() / (features.clone().powi_scalar(2).sum_dim(1).sqrt() + 1e-12)
            }
            _ => features.clone(),
        };
        let (margin, metric) = (self.margin(), self.metric());
        let triplet = triplet_loss(input, &labels, &anchors, margin, metric);
        let gradients = triplet.loss.backward();
        self.check("loss", &values(triplet.loss));
        let gradient = features.grad(&gradients).unwrap();
        self.check_feature_gradient("grad_features", gradient, &anchors);
        for (name, ours) in [("dist_ap", triplet.dist_ap), ("dist_an", triplet.dist_an)] {
            self.check_as(name, &values(ours), |all| {
                vec![all.iter().sum::<f64>() / all.len() as f64]
            });
        }
    }

    fn center(mut self) {
        let (features, centers) = (self.leaf("features"), self.leaf("centers"));
        let labels = self.golden.get("labels").indices();
        let rows = vec![true; labels.len()];
        let weight = self.number("weight").unwrap();
        let loss = center_loss(features.clone(), centers.clone(), &labels, &rows);
        let weighted = loss.clone().mul_scalar(weight);
        let gradients = weighted.backward();
        self.check("loss_raw", &values(loss));
        self.check("loss_weighted", &values(weighted));
        let gradient = centers.grad(&gradients).unwrap();
        let lr = self.number("center_lr").unwrap();
        let after = centers.inner() - gradient.clone().div_scalar(weight).mul_scalar(lr);
        self.check("grad_features", &values(features.grad(&gradients).unwrap()));
        self.check("grad_centers", &values(gradient));
        self.check("centers_after", &values(after));
    }

    /// A whole step of a trainer with the identity as backbone.
    fn step(mut self, method: Method) {
        let features = self.leaf("features");
        let is_real = self.golden.get("is_real").bools();
        let labels = self.golden.get("labels").indices();
        let k = self.entry["K"].as_u64().unwrap() as usize;
        let batch = TrainLabels { labels, is_real: is_real.clone(), k };
        let config = LossConfig {
            method,
            margin: self.margin(),
            metric: self.metric(),
            ..LossConfig::default()
        };

        let head = self.head();
        let terms = total_loss(features.clone(), &head, &batch, &config, F32);
        let gradients = terms.total.backward();
        self.check("loss_total", &values(terms.total));
        self.check("loss_query_xent", &values(terms.query_xent));
        self.check("loss_query_triplet", &values(terms.query_triplet));
        self.check("loss_query_center", &values(terms.query_center));
        self.check("step_dist_ap", &values(terms.dist_ap));
        self.check("step_dist_an", &values(terms.dist_an));
        if let Some(loss) = terms.centroid_triplet {
            self.check("loss_centroid_triplet", &values(loss));
        }
        if let Some(norm) = terms.l2_mean_centroid {
            self.check("l2_mean_centroid", &values(norm));
        }
        let gradient = features.grad(&gradients).unwrap();
        self.check_feature_gradient("grad_features", gradient, &is_real);

        if method == Method::Ctl {
            self.centroid_triplet_alone(&batch, &is_real);
        }
        // What comes to the host is single precision, so the rest is compared there only.
        if self.precision == Precision::Double {
            return;
        }
        let before = weights::collect(&head);
        let mut optimizer = Optimizer::new(OptimizerConfig {
            weight_decay: 5e-4,
            center_lr: 0.5,
            center_weight: config.center_weight,
        });
        let head = optimizer.step(head, gradients, 0.4 * 3.5e-4);
        self.check_after(&before["center_loss.centers"], &weights::collect(&head));
        self.check_adam_gradients(&optimizer, &before);
    }

    fn head(&self) -> Head {
        let (fc, centers) = (self.golden.get("fc_weight"), self.golden.get("centers"));
        let [classes, d] = fc.shape[..] else { panic!("fc_weight is not a matrix") };
        let narrow = |a: &crate::support::Array| Array {
            shape: a.shape.clone(),
            values: a.values.iter().map(|&v| v as f32).collect(),
        };
        let head = Head::new(d, classes, &self.device);
        self.precision.of(weights::map_tensors(head, |name, _| match name {
            "fc_query.weight" => Some(narrow(fc)),
            "center_loss.centers" => Some(narrow(centers)),
            _ => None,
        }))
    }

    fn check_after(&mut self, centers_before: &Array, after: &weights::Tensors) {
        let wide = |a: &Array| a.values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        for (golden, name) in [
            ("centers_after", "center_loss.centers"),
            ("fc_weight_after", "fc_query.weight"),
            ("bn_weight_after", "bn.weight"),
            ("bn_running_mean_after", "bn.running_mean"),
            ("bn_running_var_after", "bn.running_var"),
        ] {
            self.check(golden, &wide(&after[name]));
        }
        assert!(after["bn.bias"].values.iter().all(|&bias| bias == 0.0), "the neck's bias moved");
        let moved: Vec<f64> = wide(centers_before)
            .iter()
            .zip(wide(&after["center_loss.centers"]))
            .map(|(before, after)| (before - after) / 0.5)
            .collect();
        // Recovered from the update, hence with the rounding of two numbers of size 1.
        if let Some(theirs) = self.golden.find("centers_grad_rescaled") {
            self.checks.close("centers_grad_rescaled", &moved, &theirs.values, 2e-6);
        }
    }

    /// After one step Adam's first moment is 0.1·(gradient + decay·weight).
    fn check_adam_gradients(&mut self, optimizer: &Optimizer, before: &weights::Tensors) {
        let state = optimizer.state();
        for (golden, name) in
            [("grad_fc_weight", "fc_query.weight"), ("grad_bn_weight", "bn.weight")]
        {
            let m = &state[&format!("adam.m.{name}")].values;
            let gradient: Vec<f64> = m
                .iter()
                .zip(&before[name].values)
                .map(|(&m, &w)| f64::from(m) / 0.1 - 5e-4 * f64::from(w))
                .collect();
            self.check(golden, &gradient);
        }
    }

    fn centroid_triplet_alone(&mut self, batch: &TrainLabels, is_real: &[bool]) {
        let features = self.leaf("features");
        let TrainLabels { labels, is_real: real, k } = batch;
        let loss = centroids_model::loss::centroid_triplet_loss(
            features.clone(),
            labels,
            real,
            *k,
            self.margin(),
            self.metric(),
        );
        let gradients = loss.loss.backward();
        let gradient = features.grad(&gradients).unwrap();
        self.check_feature_gradient("grad_features_ctl_only", gradient, is_real);
    }
}

#[test]
fn losses_and_steps_equal_the_reference() {
    let Some(section) = section("losses") else {
        return;
    };
    let mut checks = Checks::default();
    for entry in section.entries() {
        let golden = section.tensors(entry["file"].as_str().unwrap());
        let reference = entry["reference"].as_str().unwrap_or_default();
        let has = |name: &str| golden.find(name).is_some();
        let kind = (has("logits"), has("fc_weight"), has("centers"));
        for precision in Precision::BOTH {
            let device = Device::flex().autodiff();
            let case = Case { entry, golden: &golden, device, precision, checks: &mut checks };
            match kind {
                (true, _, _) => case.cross_entropy(),
                (_, true, _) if reference.contains("train_base_model") => case.step(Method::Base),
                (_, true, _) => case.step(Method::Ctl),
                (_, _, true) => case.center(),
                _ => case.triplet(),
            }
        }
    }
    checks.finish();
}

#[test]
fn a_module_keeps_its_tensors_through_collect_and_load() {
    let device = Device::flex();
    let head = weights::initialise(Head::new(4, 3, &device), 7);
    let tensors = weights::collect(&head);
    let loaded = weights::load(Head::new(4, 3, &device), &tensors, "x".as_ref()).unwrap();
    assert_eq!(weights::collect(&loaded), tensors);
    assert!(weights::load(Head::new(4, 2, &device), &tensors, "x".as_ref()).is_err());
    assert_eq!(loaded.num_params(), 2 * 3 * 4 + 4 * 4);
}
