//! Backbones with formula weights: features, stages, running statistics, gradients.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use centroids_model::Precision::F32;
use centroids_model::layers::Mode;
use centroids_model::weights::map_tensors;
use centroids_model::{Backbone, BackboneOptions, Device, ModelSpec, ReidModel, weights};
use serde_json::Value;

use crate::formula::{self, plain_name};
use crate::support::{Array, Checks, Precision, section, values};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Relative change of a gradient's sums that single precision may make.
const FLIPPED_RELU: f64 = 1e-2;

/// Pictures `[n, 3, h, w]` as the network sees them, in the reference's order of roundings.
pub fn normalised(pixels: &Array, device: &Device, precision: Precision) -> Tensor<4> {
    let plane: usize = pixels.shape[2..].iter().product();
    let value = |(i, &v): (usize, &f64)| {
        let channel = i / plane % 3;
        (v as f32 / 255.0 - MEAN[channel]) / STD[channel]
    };
    let values = pixels.values.iter().enumerate().map(value).map(f64::from).collect();
    Array { shape: pixels.shape.clone(), values }.tensor(device, precision)
}

/// A model with formula weights; every tensor of the neck too.
pub fn formula_model(
    options: BackboneOptions,
    classes: usize,
    seed: u64,
    device: &Device,
) -> ReidModel {
    let model = ReidModel::new(ModelSpec { backbone: options, num_classes: classes }, device);
    map_tensors(model, |name, shape| Some(formula::tensor(plain_name(name), shape, seed)))
}

/// sum, sum of absolute values, L2 norm, then the first values up to `len`.
fn summary(values: &[f64], len: usize) -> Vec<f64> {
    let sums = [
        values.iter().sum(),
        values.iter().map(|v| v.abs()).sum(),
        values.iter().map(|v| v * v).sum::<f64>().sqrt(),
    ];
    sums.into_iter().chain(values.iter().copied()).take(len).collect()
}

struct Case<'a> {
    entry: &'a Value,
    options: BackboneOptions,
    seed: u64,
    input: Array,
    golden: crate::support::Golden,
    checks: &'a mut Checks,
}

impl Case<'_> {
    fn check(&mut self, name: &str, ours: &[f64]) {
        let Some(theirs) = self.golden.find(name) else {
            return;
        };
        let atol = self.entry["tolerance"][name]["atol"].as_f64().unwrap();
        let what = format!("{} {name}", self.entry["file"]);
        self.checks.close(&what, ours, &theirs.values, atol);
    }

    fn eval(&mut self) {
        let device = Device::flex();
        let model = formula_model(self.options, 1, self.seed, &device);
        let images = normalised(&self.input, &device, Precision::Single);
        let mut stages = Vec::new();
        let map = model.backbone().forward_stages(images.clone(), Mode::Eval, |name, x| {
            stages.push((name.to_owned(), values(x.clone())));
        });
        for (name, output) in stages {
            let name = format!("eval_stage.{name}");
            let len = self.golden.find(&name).map_or(0, |theirs| theirs.values.len());
            self.check(&name, &summary(&output, len));
        }
        let shape: Vec<f64> = map.dims().iter().map(|&size| size as f64).collect();
        assert_eq!(shape, self.golden.get("eval_map_shape").values);
        self.check("eval_feature", &values(model.features(images.clone(), Mode::Eval)));
        self.check("eval_after_neck", &values(model.embed(images)));
    }

    fn train(&mut self) {
        let device = Device::flex();
        let model = formula_model(self.options, 1, self.seed, &device);
        let images = normalised(&self.input, &device, Precision::Single);
        self.check("train_feature", &values(model.features(images, Mode::Train(F32))));
        for (name, array) in weights::collect(&model) {
            let ours: Vec<f64> = array.values.iter().map(|&v| f64::from(v)).collect();
            self.check(&format!("after_one_train_forward.{}", plain_name(&name)), &ours);
        }
    }

    /// In double precision within the recorded tolerance. In single precision another order of
    /// additions than the reference's may flip a ReLU whose input is zero but for rounding, and
    /// that changes sums by some 1e-3.
    fn backward(&mut self, mode: Mode, precision: Precision, golden: &Value) {
        let device = Device::flex().autodiff();
        let model = precision.of(formula_model(self.options, 1, self.seed, &device));
        let images = normalised(&self.input, &device, precision).require_grad();
        let features = model.features(images.clone(), mode);
        let [n, d] = features.dims();
        let cotangent: Vec<f32> =
            (0..(n * d) as u64).map(|i| formula::uniform("cotangent", self.seed, i)).collect();
        let cotangent = cotangent.into_iter().map(f64::from).collect();
        let cotangent: Tensor<2> =
            Array { shape: vec![n, d], values: cotangent }.tensor(&device, precision);
        let gradients = (features * cotangent).sum().backward();
        let mut ours = gradients_by_name(&model, &gradients);
        ours.push(("input".to_owned(), values(images.grad(&gradients).unwrap())));
        for (name, theirs) in golden["grads"].as_object().unwrap() {
            let (_, gradient) = ours.iter().find(|(ours, _)| plain_name(ours) == name).unwrap();
            let ours = summary(gradient, 3);
            // No tolerance is recorded where the true gradient is zero: rounding noise only.
            let Some(rtol) = theirs["recommended_rtol_l2_and_abs_sum"].as_f64() else {
                continue;
            };
            let rtol = if precision == Precision::Single { rtol.max(FLIPPED_RELU) } else { rtol };
            let theirs = &theirs["float64"];
            let number = |key: &str| theirs[key].as_f64().unwrap();
            let what = |part: &str| {
                format!("{} {mode:?} {precision:?} gradient of {name}: {part}", self.entry["file"])
            };
            self.checks.close(&what("sum"), &ours[..1], &[number("sum")], rtol * number("abs_sum"));
            self.checks.close(
                &what("abs_sum"),
                &ours[1..2],
                &[number("abs_sum")],
                rtol * number("abs_sum"),
            );
            self.checks.close(&what("l2"), &ours[2..], &[number("l2")], rtol * number("l2"));
        }
    }
}

fn gradients_by_name(model: &ReidModel, gradients: &Gradients) -> Vec<(String, Vec<f64>)> {
    struct Visitor<'a> {
        gradients: &'a Gradients,
        path: Vec<String>,
        found: Vec<(String, Vec<f64>)>,
    }
    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.gradients) {
                let name = weights::state_dict_name(&self.path);
                self.found.push((name, values(gradient)));
            }
        }
    }
    let mut visitor = Visitor { gradients, path: Vec::new(), found: Vec::new() };
    model.visit(&mut visitor);
    visitor.found
}

#[test]
fn backbones_equal_the_reference() {
    let Some(section) = section("backbones") else {
        return;
    };
    let mut checks = Checks::default();
    for entry in section.entries() {
        let backbone: Backbone = entry["model"].as_str().unwrap().parse().unwrap();
        let last_stride = entry["last_stride"].as_u64().unwrap() as usize;
        let (file, input) = entry["input"].as_str().unwrap().split_once(':').unwrap();
        let mut case = Case {
            entry,
            options: BackboneOptions { backbone, last_stride, stem_relu: false },
            seed: entry["weights_seed"].as_u64().unwrap(),
            input: section.tensors(file).get(input).clone(),
            golden: section.tensors(entry["file"].as_str().unwrap()),
            checks: &mut checks,
        };
        case.eval();
        case.train();
        for (mode, key) in [(Mode::Train(F32), "train"), (Mode::Eval, "eval")] {
            if let Some(golden) = entry.get("backward").and_then(|backward| backward.get(key)) {
                for precision in Precision::BOTH {
                    case.backward(mode, precision, golden);
                }
            }
        }
    }
    checks.finish();
}
